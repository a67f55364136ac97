"""Stages, what they take from one another, and from images."""

from __future__ import annotations

from tests.e2e.row import BASE, Row

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
        name="FROM --platform",
        dockerfile=f"FROM --platform=linux/amd64 {BASE}\nRUN echo 1 > /one\nCOPY file /file\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="hm",
    ),
)
