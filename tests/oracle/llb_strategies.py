"""Small Dockerfiles made up by hypothesis, and edits to them that a key may or may not count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from hypothesis import strategies as st

CONTEXT: Final = {
    "one.txt": "one",
    "two.txt": "two",
    "x/file": "file",
    "y/file": "file",
    "x/deep/three.txt": "three",
    "y/deep/three.txt": "three",
}
"""Files of the same base name, and folders too, have the same content: the LLB knows base names only."""


def _image(**config: Any) -> dict[str, Any]:
    layers = {"type": "layers", "diff_ids": [f"sha256:{'1' * 64}"]}
    return {"os": "linux", "architecture": "amd64", "rootfs": layers, "config": config}


IMAGES: Final[Mapping[str, dict[str, Any]]] = {
    "plain": _image(Env=["PATH=/bin"]),
    "bare": _image(),
    "rich": _image(Env=["A=base", "PATH=/usr/bin", "Q="], WorkingDir="srv", User="app", Shell=["/bin/bash", "-ec"]),
    "firing": _image(Env=["A=1"], OnBuild=["ENV B=trigger", "RUN built $B", "COPY one.txt /"], WorkingDir="/w"),
}

LINES: Final = [
    *("RUN true", "RUN true", "RUN false", 'RUN ["true"]', 'RUN ["sh", "true"]', "RUN true \\\n  false", "RUN  true "),
    *("RUN <<EOF\ntrue\nEOF", "RUN <<-EOF\n\ttrue\nEOF", "RUN <<EOF cat\ntrue\nEOF", "RUN <<E\n#!/bin/sh\ntrue\nE"),
    *("RUN <<F\n#!/bin/sh\ntrue\nF", "RUN cat <<A - <<B\na\nA\nb\nB", "RUN <<'EOF'\ntrue\nEOF"),
    *("RUN --network=none true", "RUN --network=host true", "RUN --network=default true"),
    *("RUN --security=insecure true", "RUN --security=sandbox true"),
    *("RUN --mount=type=cache,target=/c true", "RUN --mount=type=cache,target=c true"),
    *("RUN --mount=type=cache,id=/c,target=/c true", "RUN --mount=type=cache,id=i,target=/c true"),
    *("RUN --mount=type=cache,id=$A,target=/c true", "RUN --mount=type=cache,target=/c,sharing=locked true"),
    *("RUN --mount=type=cache,target=/c,sharing=shared true", "RUN --mount=type=cache,target=/c,mode=0700 true"),
    *("RUN --mount=type=cache,target=/c,uid=5 true", "RUN --mount=type=cache,target=/c/ true"),
    *("RUN --mount=type=cache,target=/c,ro true", "RUN --mount=type=cache,target=/c,from=first true"),
    *("RUN --mount=type=cache,target=/c,from=first,source=/s true", "RUN --mount=type=tmpfs,target=/t true"),
    *("RUN --mount=type=tmpfs,target=/t,size=5 true", "RUN --mount=type=tmpfs,target=/t,size=1k true"),
    *(
        "RUN --mount=type=secret,id=a true",
        "RUN --mount=type=secret,id=b true",
        "RUN --mount=type=secret,target=/a true",
    ),
    *("RUN --mount=type=secret,id=a,env=S true", "RUN --mount=type=secret,id=a,env=S,target=/s true"),
    *("RUN --mount=type=secret,id=a,required true", "RUN --mount=type=secret,id=a,mode=0444 true"),
    *("RUN --mount=type=secret,source=a true", "RUN --mount=type=secret,id=d/a true", "RUN --mount=type=ssh true"),
    *("RUN --mount=type=ssh,id=default true", "RUN --mount=type=ssh,target=/s true", "RUN --mount=type=ssh,uid=5 true"),
    *("RUN --mount=type=ssh --mount=type=ssh,id=b true", "RUN --mount=target=/m true", "RUN --mount=target=m true"),
    *("RUN --mount=target=/m,source=x true", "RUN --mount=target=/m,source=x/ true", "RUN --mount=target=/m,rw true"),
    *("RUN --mount=from=first,target=/m true", "RUN --mount=from=first,target=/m,source=/s true"),
    *("RUN --mount=from=first,target=/a --mount=from=first,target=/b,source=s true",),
    *("RUN --mount=from=first,target=/b,source=s --mount=from=first,target=/a true",),
    *("RUN --mount=from=plain,target=/m true", "RUN --mount=from=first,target=/m,rw true"),
    *("RUN --mount=type=tmpfs,target=/b --mount=type=cache,target=/a true",),
    *("RUN --mount=type=cache,target=/a --mount=type=tmpfs,target=/b true",),
    *(
        "ENV A=1",
        "ENV A=2",
        "ENV A 1",
        'ENV A="1"',
        "ENV B=$A C=3",
        "ENV C=3 B=${A:-1}",
        "ENV A=$A:2",
        "ENV PATH=/x:$PATH",
    ),
    *("ARG A", "ARG A=1", "ARG A=2", "ARG B", "ARG B=$A", "ARG C=3 B=1", "ARG G", "ARG G=own", "ARG HTTP_PROXY"),
    *("ARG TARGETARCH", "ARG TARGETARCH=x", "ARG BUILDPLATFORM", "ARG TARGETSTAGE", "ARG BUILDKIT_SBOM_SCAN_STAGE=1"),
    *("USER root", "USER 0", "USER app", "USER 1:root", "USER 1", "USER $A", "USER 1:", "USER app:app"),
    *(
        "WORKDIR /",
        "WORKDIR /w",
        "WORKDIR w",
        "WORKDIR /w/",
        "WORKDIR ..",
        "WORKDIR .",
        "WORKDIR /w/../v",
        "WORKDIR /$A",
    ),
    *('SHELL ["/bin/sh", "-c"]', 'SHELL ["/bin/bash", "-c"]', 'SHELL ["/bin/sh -c"]'),
    *("LABEL l=1", "CMD true", 'ENTRYPOINT ["true"]', "EXPOSE 80", "VOLUME /v", "STOPSIGNAL 9", "HEALTHCHECK NONE"),
    *("MAINTAINER me", "# a comment", "ONBUILD RUN triggered $A", "ONBUILD ENV A=trigger", "ONBUILD COPY x /x"),
    *("ONBUILD COPY --from=first /s /x",),
    *("COPY x /x", "COPY y /x", "COPY x/ /x", "COPY ./x /x", "COPY /x /x", "COPY x /x/", "COPY x /x/.", "COPY x x"),
    *("COPY x .", "COPY x ./", "COPY . .", "COPY . /", "COPY x/file y/", "COPY y/file y/", "COPY *.txt /t/"),
    *("COPY one.txt two.txt /t/", "COPY two.txt one.txt /t/", 'COPY ["one.txt", "/t/"]', "COPY one.txt /t/"),
    *("COPY $A* /t/", "COPY one.txt $A", "COPY --link x /x", "COPY --link=false x /x", "COPY --link --chmod=755 x /x"),
    *("COPY --chmod=755 x /x", "COPY --chmod=0755 x /x", "COPY --chmod=u+x x /x", "COPY --chmod=$A x /x"),
    *("COPY --chown=0 x /x", "COPY --chown=root x /x", "COPY --chown=root:root x /x", "COPY --chown=0: x /x"),
    *("COPY --chown=:0 x /x", "COPY --chown=app x /x", "COPY --chown=app:5 x /x", "COPY --chown=$A x /x"),
    *("COPY --exclude=*.txt x /x", "COPY --exclude=a --exclude=b x /x", "COPY --parents x/file /p/"),
    *("COPY --parents ./x/./file /p/", "COPY --parents x/deep/*.txt /p/", "COPY --parents y/file /p/"),
    *("COPY --from=first /s /x", "COPY --from=first s /x", "COPY --from=first /s/ /x", "COPY --from=first /v/s /x"),
    *("COPY --from=FIRST /s /x", "COPY --from=0 /s /x", "COPY --from=plain /s /x"),
    *("COPY --from=first --link /s /x", "COPY --from=first /s /t /x/", "COPY --from=first /s* /x/"),
    *("COPY <<EOF /h\n$A\nEOF", "COPY <<'EOF' /h\n$A\nEOF", "COPY <<-EOF /h\n\t$A\nEOF", "COPY <<FOE /h\n$A\nFOE"),
    *("COPY <<EOF /h\n1\nEOF", 'COPY <<EOF one.txt /h/\n"$A"\nEOF', 'COPY one.txt <<EOF /h/\n"$A"\nEOF'),
    *("ADD x /x", "ADD --unpack=false x /x", "ADD --unpack x /x", "ADD --chown=0 x /x", "add x /x"),
]
START: Final = ["plain", "bare", "rich", "firing", "scratch", "first", "$BASE"]


@dataclass(frozen=True)
class Case:
    """A build: global ARGs, stages (what is built on, and lines), arguments and options."""

    head: tuple[str, ...]
    stages: tuple[tuple[str, tuple[str, ...]], ...]
    build_args: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dockerfile(self) -> str:
        names = ("first", "second", "third")
        lines = [*self.head]
        for name, (base, body) in zip(names, self.stages, strict=False):
            lines += [f"FROM {base} AS {name}" if name != "third" else f"FROM {base}", *body]
        return "\n".join(lines) + "\n"

    def request(self) -> dict[str, Any]:
        """For the oracle, but for the text."""
        images = {f"docker.io/library/{name}:latest": value for name, value in IMAGES.items()}
        return {"build_args": dict(self.build_args), "target": self.target, "images": images, **self.options}


BODIES: Final = st.lists(st.sampled_from(LINES), max_size=5).map(tuple)
HEADS: Final = st.lists(
    st.sampled_from(["ARG BASE=plain", "ARG BASE=bare", "ARG G=global", "ARG A=global", "ARG SOURCE_DATE_EPOCH=7"]),
    max_size=2,
)
ARGUMENTS: Final = st.dictionaries(
    st.sampled_from(["A", "B", "G", "HTTP_PROXY", "TARGETARCH", "UNUSED", "SOURCE_DATE_EPOCH"]),
    st.sampled_from(["1", "2", "x"]),
    max_size=2,
).filter(lambda given: given.get("SOURCE_DATE_EPOCH") != "x")
OPTIONS: Final = st.fixed_dictionaries(
    {},
    optional={
        "network": st.sampled_from(["host", "none"]),
        "shm_size": st.sampled_from([1 << 20, 1 << 21]),
        "hostname": st.just("h"),
    },
)
CASES: Final = st.builds(
    Case,
    head=HEADS.map(tuple),
    stages=st.lists(st.tuples(st.sampled_from(START), BODIES), min_size=1, max_size=3).map(tuple),
    build_args=ARGUMENTS,
    target=st.sampled_from(["", "", "first"]),
    options=OPTIONS,
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Case, Case]:
    """A build, and the same with something changed."""
    case = draw(CASES)
    match draw(st.sampled_from(["line", "line", "line", "add", "drop", "base", "arguments", "options", "head"])):
        case "arguments":
            return case, replace(case, build_args=draw(ARGUMENTS))
        case "options":
            return case, replace(case, options=draw(OPTIONS))
        case "head":
            return case, replace(case, head=tuple(draw(HEADS)))
        case kind:
            at = draw(st.integers(0, len(case.stages) - 1))
            base, body = case.stages[at]
            where = draw(st.integers(0, max(len(body) - 1, 0)))
            line = draw(st.sampled_from(LINES))
            if kind == "base":
                base = draw(st.sampled_from(START))
            elif kind == "drop":
                body = body[:where] + body[where + 1 :]
            elif kind == "add":
                body = (*body[:where], line, *body[where:])
            else:
                body = (*body[:where], line, *body[where + 1 :])
            return case, replace(case, stages=(*case.stages[:at], (base, body), *case.stages[at + 1 :]))


def shown(case: Case) -> str:
    return f"{case.dockerfile}{json.dumps(dict(case.build_args))} {case.target} {case.options}"
