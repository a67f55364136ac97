# escape=`
# A Windows image, with its line endings
FROM mcr.microsoft.com/windows/servercore:ltsc2022
SHELL ["powershell", "-Command", "$ErrorActionPreference = 'Stop';"]
ENV APP=C:\app `
    DATA="C:\my data"
WORKDIR C:\app\
COPY ["src dir\\*", "C:\\app\\"]
COPY bin\ .\
RUN Invoke-WebRequest -Uri "https://example.com/a.zip" `
      -OutFile a.zip ; `
    # unpack it

    Expand-Archive a.zip -DestinationPath C:\ ; `
    Remove-Item a.zip
RUN <<EOF
echo "C:\path`"
EOF
USER ContainerUser
CMD ["cmd", "/c", "start.bat"]
