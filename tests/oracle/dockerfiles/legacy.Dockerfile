# An image of ten years ago.
from ubuntu:14.04
maintainer Somebody <somebody@example.com>
env DEBIAN_FRONTEND noninteractive
env JAVA_OPTS  -Xmx512m -Dname="a b"
label description This is one value with = in it
run apt-get update && \
    apt-get install -y \
      curl \
# nothing in between

      git
run echo "a \
  b" 'c \
  d' \\
onbuild add . /app
onbuild run ["make", "-C", "/app"]
onbuild copy <<EOF /etc/motd
Welcome
EOF
onbuild env A=b C="d e"
onbuild healthcheck --interval=5s cmd ["true"]
volume /data /logs
expose 80 443
healthcheck none
cmd exec java $JAVA_OPTS -jar app.jar
