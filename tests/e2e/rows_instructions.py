"""Every instruction: what changes its key, and what does not."""

from __future__ import annotations

from tests.e2e.row import BASE, Row

ALL = f"""FROM {BASE}
MAINTAINER somebody
LABEL one=1
ARG VERSION=1
ENV SHOWN=yes
WORKDIR /work
COPY file /work/file
ADD file /work/added
RUN echo $VERSION > /version
RUN ["touch", "/exec"]
USER 1000
EXPOSE 80
VOLUME /data
STOPSIGNAL SIGINT
HEALTHCHECK CMD true
SHELL ["/bin/sh", "-e", "-c"]
ONBUILD RUN true
ENTRYPOINT ["sh"]
CMD ["-c", "true"]
"""


def one_changed(name: str, line: str, changed: str) -> Row:
    """An instruction of metadata changes: it misses, with what follows it."""
    text = f"FROM {BASE}\nRUN echo before > /before\n{line}\nRUN echo after > /after\n"
    return Row(
        name=name,
        dockerfile=text,
        then_dockerfile=text.replace(line, changed),
        expect="hmm",
        result={"/after": "after\n"},
    )


ROWS = (
    Row(name="every instruction", dockerfile=ALL, files={"file": "x"}, expect="h" * 18, everywhere=True),
    Row(
        name="the last of many changes",
        dockerfile=ALL,
        files={"file": "x"},
        then_dockerfile=ALL.replace('true"]', 'false"]'),
        expect="h" * 17 + "m",
    ),
    Row(
        name="a copied file changes in the midst of many",
        dockerfile=ALL,
        files={"file": "x"},
        then_files={"file": "y"},
        expect="h" * 5 + "m" * 13,
        result={"/work/file": "y", "/work/added": "y"},
        everywhere=True,
    ),
    one_changed("LABEL", "LABEL one=1", "LABEL one=2"),
    one_changed("LABEL gets another key", "LABEL one=1", "LABEL two=1"),
    one_changed("ENV", "ENV SHOWN=1", "ENV SHOWN=2"),
    one_changed("WORKDIR", "WORKDIR /a", "WORKDIR /b"),
    one_changed("USER", "USER 0:0", "USER 0"),
    one_changed("EXPOSE", "EXPOSE 80", "EXPOSE 81/udp"),
    one_changed("VOLUME", "VOLUME /data", 'VOLUME ["/data", "/more"]'),
    one_changed("STOPSIGNAL", "STOPSIGNAL SIGINT", "STOPSIGNAL SIGTERM"),
    one_changed("HEALTHCHECK", "HEALTHCHECK --interval=5s CMD true", "HEALTHCHECK NONE"),
    one_changed("SHELL", 'SHELL ["/bin/sh", "-c"]', 'SHELL ["/bin/sh", "-ec"]'),
    one_changed("MAINTAINER", "MAINTAINER me", "MAINTAINER you"),
    one_changed("ENTRYPOINT", 'ENTRYPOINT ["a"]', "ENTRYPOINT a"),
    one_changed("CMD", 'CMD ["a"]', 'CMD ["b"]'),
    one_changed("ONBUILD", "ONBUILD RUN true", "ONBUILD RUN false"),
    one_changed("RUN in shell form", "RUN echo 1", "RUN echo 2"),
    one_changed("RUN in exec form", 'RUN ["echo", "1"]', 'RUN ["echo", "2"]'),
    one_changed("the case of a keyword", "LABEL one=1", "label one=1"),
    one_changed("blanks within an instruction", "LABEL one=1", "LABEL  one=1"),
    Row(
        name="the case of RUN, and comments and blank lines between and in instructions",
        dockerfile=f"FROM {BASE}\nRUN echo a && \\\n  echo b > /b\nRUN echo c > /c\n",
        then_dockerfile=f"# new\nFROM {BASE}\n\n# why\n"
        "run echo a && \\\n# inside\n\n  echo b > /b\n\nRUN echo c > /c\n\n",
        expect="hh",
    ),
    Row(
        name="another indentation of a continued line",
        dockerfile=f"FROM {BASE}\nRUN echo a && \\\n  echo b > /b\nRUN echo c > /c\n",
        then_dockerfile=f"FROM {BASE}\nRUN echo a && \\\n    echo b > /b\nRUN echo c > /c\n",
        expect="mm",
    ),
    Row(
        name="lines end with CR LF",
        dockerfile=f"FROM {BASE}\nRUN echo b > /b\nENV A=1\n",
        then_dockerfile=f"FROM {BASE}\r\nRUN echo b > /b\r\nENV A=1\r\n",
        expect="hh",
    ),
    Row(
        name="blanks behind an instruction",
        dockerfile=f"FROM {BASE}\nRUN echo b > /b\nENV A=1\nRUN echo c > /c\n",
        then_dockerfile=f"FROM {BASE}\nRUN echo b > /b\nENV A=1  \nRUN echo c > /c\n",
        expect="hmm",
    ),
    Row(
        name="instructions change places",
        dockerfile=f"FROM {BASE}\nRUN echo a > /a\nENV A=1\nRUN echo b > /b\nENV B=1\n",
        then_dockerfile=f"FROM {BASE}\nRUN echo a > /a\nRUN echo b > /b\nENV A=1\nENV B=1\n",
        expect="hmmm",
    ),
    Row(
        name="an instruction comes between",
        dockerfile=f"FROM {BASE}\nRUN echo a > /a\nRUN echo b > /b\n",
        then_dockerfile=f"FROM {BASE}\nRUN echo a > /a\nLABEL new=1\nRUN echo b > /b\n",
        expect="hmm",
    ),
    Row(
        name="an instruction goes",
        dockerfile=f"FROM {BASE}\nRUN echo a > /a\nLABEL new=1\nRUN echo b > /b\n",
        then_dockerfile=f"FROM {BASE}\nRUN echo a > /a\nRUN echo b > /b\n",
        expect="hm",
    ),
    Row(
        name="an instruction is added at the end",
        dockerfile=f"FROM {BASE}\nRUN echo a > /a\n",
        then_dockerfile=f"FROM {BASE}\nRUN echo a > /a\nRUN cat /a > /b\n",
        expect="hm",
        result={"/b": "a\n"},
    ),
    Row(
        name="the last instruction goes",
        dockerfile=f"FROM {BASE}\nRUN echo a > /a\nRUN echo b > /b\n",
        then_dockerfile=f"FROM {BASE}\nRUN echo a > /a\n",
        expect="h",
    ),
    Row(
        name="the escape character changes",
        dockerfile=f"FROM {BASE}\nRUN echo a \\\n  > /a\nCMD true\n",
        then_dockerfile=f"# escape=`\nFROM {BASE}\nRUN echo a `\n  > /a\nCMD true\n",
        expect="hh",
        result={"/a": "a\n"},
    ),
    Row(
        name="RUN writes below a VOLUME",
        dockerfile=f"FROM {BASE}\nRUN mkdir /v && echo 1 > /v/a\nVOLUME /v\nRUN echo 2 > /v/a\nCOPY file /file\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="hhhm",
    ),
    Row(
        name="USER and WORKDIR before a COPY",
        dockerfile=f"FROM {BASE}\nWORKDIR /w\nUSER 5:6\nCOPY file here/\nRUN id -u > /tmp/u\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="hhmm",
        result={"/w/here/file": "2", "/tmp/u": "5\n"},
    ),
    Row(
        name="FROM alone",
        dockerfile=f"FROM {BASE}\n",
        expect="",
    ),
    Row(
        name="a step that is never the same",
        dockerfile=f"FROM {BASE}\nRUN head -c 8 /dev/urandom > /a\nCOPY file /file\nRUN cat /a > /b\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="hmm",
    ),
)
