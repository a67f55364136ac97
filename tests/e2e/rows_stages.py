"""Stages, what they take from one another, from images and from named contexts; mounts; options of the build."""

from __future__ import annotations

from tests.e2e.row import BASE, File, Row

CHAIN = f"""FROM {BASE} AS base
RUN echo base > /base
FROM base AS middle
COPY file /file
RUN cat /file > /middle
FROM middle
RUN cat /middle > /last
"""
DIAMOND = f"""FROM {BASE} AS base
RUN echo base > /base
FROM base AS left
COPY left /left
RUN cat /left > /l
FROM base AS right
COPY right /right
RUN cat /right > /r
FROM base
COPY --from=left /l /l
COPY --from=right /r /r
RUN cat /l /r > /both
"""
SAME = f"""FROM {BASE} AS builder
COPY source /source
RUN sed s/x.*// /source > /out
FROM {BASE}
COPY --from=builder /out /out
RUN cat /out > /seen
"""
BIND = "before 1.39 the engine does not count what a bind mount shows, and would reuse the old result"

ROWS = (
    Row(
        name="stages on stages",
        dockerfile=CHAIN,
        files={"file": "1"},
        then_files={"file": "2"},
        expect="h mm m",
        result={"/last": "2"},
    ),
    Row(
        name="stages on stages, nothing changed",
        dockerfile=CHAIN,
        files={"file": "1"},
        expect="h hh h",
        result={"/last": "1"},
        everywhere=True,
    ),
    Row(name="a diamond, nothing changed", dockerfile=DIAMOND, files={"left": "1", "right": "1"}, expect="h hh hh hhh"),
    Row(
        name="a diamond, one side changes",
        dockerfile=DIAMOND,
        files={"left": "1", "right": "1"},
        then_files={"left": "2"},
        expect="h mm hh MMM",
        result={"/both": "21"},
        everywhere=True,
    ),
    Row(
        name="a stage changes, what is copied from it stays the same",
        dockerfile=SAME,
        files={"source": "code x1"},
        then_files={"source": "code x2"},
        expect="mm HH",
        result={"/seen": "code "},
        everywhere=True,
    ),
    Row(
        name="a stage changes, and what is copied from it",
        dockerfile=SAME,
        files={"source": "code x1"},
        then_files={"source": "CODE x1"},
        expect="mm MM",
        result={"/seen": "CODE "},
    ),
    Row(
        name="a stage that is not needed changes",
        dockerfile=f"FROM {BASE} AS other\nCOPY file /file\nFROM {BASE}\nRUN echo 1 > /one\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="- h",
    ),
    Row(
        name="--from a stage by its number",
        dockerfile=f"FROM {BASE}\nRUN echo 1 > /one\nFROM {BASE}\nCOPY --from=0 /one /one\n",
        then_dockerfile=f"FROM {BASE}\nRUN echo 2 > /one\nFROM {BASE}\nCOPY --from=0 /one /one\n",
        expect="m M",
        result={"/one": "2\n"},
    ),
    Row(
        name="a stage is renamed",
        dockerfile=f"FROM {BASE} AS a\nRUN echo 1 > /one\nFROM {BASE}\nCOPY --from=a /one /one\nRUN true\n",
        then_dockerfile=f"FROM {BASE} AS b\nRUN echo 1 > /one\nFROM {BASE}\nCOPY --from=b /one /one\nRUN true\n",
        expect="h hh",
    ),
    Row(
        name="a stage comes before the others",
        dockerfile=f"FROM {BASE} AS a\nRUN echo 1 > /one\nFROM {BASE}\nCOPY --from=a /one /one\n",
        then_dockerfile=f"FROM {BASE} AS x\nRUN echo 0 > /zero\nFROM {BASE} AS a\nRUN echo 1 > /one\n"
        f"FROM {BASE}\nCOPY --from=x /zero /zero\nCOPY --from=a /one /one\n",
        expect="m h MM",
    ),
    Row(
        name="--from an image",
        dockerfile=f"FROM {BASE}\nCOPY --from={BASE} /etc/passwd /copied\nCOPY file /file\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="hm",
        result={"/copied": "root:x:0:0:root:/root:/bin/sh\n"},
        everywhere=True,
    ),
    Row(
        name="FROM scratch",
        dockerfile=f"FROM {BASE} AS b\nRUN echo 1 > /one\nFROM scratch\nCOPY --from=b /one /one\n"
        "COPY file /file\nLABEL a=1\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="h hmm",
    ),
    Row(
        name="an image argument in FROM",
        dockerfile="ARG IMAGE\nFROM $IMAGE\nRUN echo 1 > /one\n",
        options=(f"--build-arg=IMAGE={BASE}",),
        expect="h",
    ),
    Row(
        name="--target, a stage in the middle",
        dockerfile=CHAIN,
        files={"file": "1"},
        options=("--target=middle",),
        then_files={"file": "2"},
        expect="h mm -",
        result={"/middle": "2"},
    ),
    Row(
        name="--target goes to another stage",
        dockerfile=CHAIN,
        files={"file": "1"},
        options=("--target=middle",),
        then_options=(),
        expect="h hh m",
        result={"/last": "1"},
    ),
    Row(
        name="ONBUILD of a stage that is built on",
        dockerfile=f"FROM {BASE} AS parent\nONBUILD COPY file /file\nONBUILD RUN cat /file > /seen\n"
        "FROM parent\nRUN echo 1 > /one\n",
        files={"file": "1"},
        then_files={"file": "2"},
        engine_options=("--format=docker",),
        expect="hh mmm",
        result={"/seen": "2"},
    ),
    Row(
        name="ONBUILD of a stage that is built on, in OCI's format, which has none",
        dockerfile=f"FROM {BASE} AS parent\nONBUILD RUN echo 1 > /seen\nFROM parent\nRUN echo 1 > /one\n",
        expect="h h",
    ),
    Row(
        name="--label",
        dockerfile=f"FROM {BASE}\nRUN echo 1 > /one\n",
        options=("--label=a=1",),
        expect="hh",
    ),
    Row(
        name="--label changes",
        dockerfile=f"FROM {BASE}\nRUN echo 1 > /one\n",
        options=("--label=a=1", "--label=b=1"),
        then_options=("--label=a=2", "--label=b=1"),
        expect="hmm",
        newer="hm",
    ),
    Row(
        name="--no-cache",
        dockerfile=f"FROM {BASE}\nRUN echo 1 > /one\nRUN cat /one > /two\n",
        then_options=("--no-cache",),
        expect="mm",
        again="mm",
    ),
    Row(
        name="--build-context, a folder",
        dockerfile=f"FROM {BASE}\nCOPY --from=extra a /a\nRUN true\n",
        files={"../extra/a": "1", "../extra/b": "1"},
        options=("--build-context=extra=/SITE/extra",),
        then_files={"../extra/a": "2"},
        expect="mm",
        result={"/a": "2"},
    ),
    Row(
        name="--build-context, another file of the folder changes",
        dockerfile=f"FROM {BASE}\nCOPY --from=extra a /a\nRUN true\n",
        files={"../extra/a": "1", "../extra/b": "1"},
        options=("--build-context=extra=/SITE/extra",),
        then_files={"../extra/b": "2"},
        expect="hh",
        result={"/a": "1"},
    ),
    Row(
        name="--build-context, an image",
        dockerfile=f"FROM {BASE}\nCOPY --from=other /etc/passwd /copied\nCOPY file /file\n",
        files={"file": "1"},
        options=(f"--build-context=other=docker-image://{BASE}",),
        then_files={"file": "2"},
        expect="hm",
    ),
    Row(
        name="FROM a named context",
        dockerfile="FROM other\nRUN echo 1 > /one\nCOPY file /file\n",
        files={"file": "1"},
        options=(f"--build-context=other=docker-image://{BASE}",),
        then_files={"file": "2"},
        expect="hm",
    ),
    Row(
        name="--platform is named, as it is",
        dockerfile=f"FROM {BASE}\nRUN echo 1 > /one\n",
        then_options=("--platform=linux/amd64",),
        expect="h",
    ),
    Row(
        name="FROM --platform",
        dockerfile=f"FROM --platform=linux/amd64 {BASE}\nRUN echo 1 > /one\nCOPY file /file\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="hm",
    ),
    Row(
        name="RUN --network",
        dockerfile=f"FROM {BASE}\nRUN --network=none echo 1 > /one\nCOPY file /file\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="hm",
        only="new",
    ),
    Row(
        name="a bind mount, a file becomes executable",
        dockerfile=f"FROM {BASE}\nRUN --mount=type=bind,source=dir,target=/in test ! -x /in/file || echo x > /x\n",
        files={"dir/file": "1"},
        then_files={"dir/file": File("1", 0o755)},
        expect="m",
        kept="h",
        kept_differs=BIND,
        result={"/x": "x\n"},
    ),
    Row(
        name="a bind mount of the context",
        dockerfile=f"FROM {BASE}\nRUN --mount=type=bind,source=file,target=/in cat /in > /out\nRUN true\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="mm",
        kept="hh",
        kept_differs=BIND,
        result={"/out": "2"},
    ),
    Row(
        name="a bind mount of the context, unchanged",
        dockerfile=f"FROM {BASE}\nRUN --mount=type=bind,source=dir,target=/in cat /in/* > /out\nRUN true\n",
        files={"dir/file": "1", "other": "1"},
        then_files={"other": "2"},
        expect="hh",
        result={"/out": "1"},
    ),
    Row(
        name="a bind mount of a stage",
        dockerfile=f"FROM {BASE} AS a\nRUN echo 1 > /one\n"
        f"FROM {BASE}\nRUN --mount=from=a,target=/in cat /in/one > /out\nRUN true\n",
        then_dockerfile=f"FROM {BASE} AS a\nRUN echo 1 > /one\n"
        f"FROM {BASE}\nRUN --mount=from=a,target=/in cat /in/one > /out\nRUN true\nRUN true\n",
        expect="h hhm",
        result={"/out": "1\n"},
    ),
    Row(
        name="a bind mount of a stage that changes",
        dockerfile=f"FROM {BASE} AS a\nCOPY file /file\n"
        f"FROM {BASE}\nRUN --mount=from=a,target=/in cat /in/file > /out\nRUN true\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="m mm",
        kept="m hh",
        kept_differs="before 1.33 the engine does not count that a stage that is mounted changed",
        result={"/out": "2"},
    ),
    Row(
        name="a cache mount",
        dockerfile=f"FROM {BASE}\nRUN --mount=type=cache,target=/cache echo 1 > /cache/x && echo 1 > /one\n"
        "COPY file /file\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="hm",
        result={"/one": "1\n"},
    ),
    Row(
        name="a tmpfs mount",
        dockerfile=f"FROM {BASE}\nRUN --mount=type=tmpfs,target=/t echo 1 > /t/x && echo 1 > /one\nCOPY file /file\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="hm",
    ),
    Row(
        name="a secret, whose content never counts",
        dockerfile=f"FROM {BASE}\nRUN --mount=type=secret,id=s cat /run/secrets/s | wc -c > /size\nRUN true\n",
        files={"../secret": "12"},
        options=("--secret=id=s,src=/SITE/secret",),
        then_files={"../secret": "123"},
        expect="hh",
        result={"/size": "2\n"},
    ),
    Row(
        name="a mount is changed",
        dockerfile=f"FROM {BASE}\nRUN --mount=type=cache,target=/c echo 1 > /one\n",
        then_dockerfile=f"FROM {BASE}\nRUN --mount=type=cache,target=/d echo 1 > /one\n",
        expect="m",
    ),
    Row(
        name="COPY of a heredoc",
        dockerfile=f"FROM {BASE}\nCOPY <<END /one\n1\nEND\nRUN true\n",
        then_dockerfile=f"FROM {BASE}\nCOPY <<END /one\n2\nEND\nRUN true\n",
        expect="mm",
        result={"/one": "2\n"},
        only="new",
    ),
    Row(
        name="a heredoc stays the same",
        dockerfile=f"FROM {BASE}\nRUN <<END\necho 1 > /one\nEND\nCOPY <<END /two\n2\nEND\nCOPY file /file\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="hhm",
        result={"/one": "1\n", "/two": "2\n"},
        only="new",
    ),
    Row(
        name="RUN of a heredoc",
        dockerfile=f"FROM {BASE}\nRUN <<END\necho 1 > /one\nEND\nRUN true\n",
        then_dockerfile=f"FROM {BASE}\nRUN <<END\necho 2 > /one\nEND\nRUN true\n",
        expect="mm",
        result={"/one": "2\n"},
        only="new",
    ),
)
