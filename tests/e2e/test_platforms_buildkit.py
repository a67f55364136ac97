"""Builds for several platforms at once: one engine and one result, with what each platform has of its own."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeEngine
from tests.e2e.archives import decompressed
from tests.e2e.harness import Bench, Said
from tests.e2e.stories import check_each_platform, context, kinds
from tests.lab.engine import Engine
from tests.lab.lab import Lab

PLATFORMS = "--platform=linux/amd64,linux/arm64"
CROSS = """FROM --platform=$BUILDPLATFORM {base} AS tools
RUN echo tools > /tools
FROM --platform=$BUILDPLATFORM {base} AS builder
COPY common /common
ARG TARGETARCH
COPY source /source
RUN echo $TARGETARCH of $(cat /source) > /out
COPY --from=tools /tools /tools
RUN cat /tools >> /out
FROM scratch
COPY common /common
COPY --from=builder /out /out
"""
"""As programs are built for other platforms: what runs is of this machine. The first stage, and the first layer of the
last one, are the same for all."""
FAILING = CROSS.replace("RUN cat /tools", "RUN test $TARGETARCH != arm64\nRUN cat /tools")


@pytest.fixture(
    params=kinds(
        ("remote", "docker-containerd", "container-bridge", "unreachable"), in_every_run={"remote", "docker-containerd"}
    )
)
def bench(lab: Lab, make_engine: MakeEngine, tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    return Bench(lab, make_engine, request.param, tmp_path)


def left_by(engine: Engine) -> dict[str, str]:
    """What each platform's image has in /out."""
    archive = engine.folder / "image.tar"
    if "BUILDX_BUILDER" not in engine.environment:
        engine.run("save", "--output", archive, "app")
    with tarfile.open(archive) as tar:

        def blob(digest: str) -> bytes:
            member = tar.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert member is not None
            return member.read()

        index = tar.extractfile("index.json")
        assert index is not None
        pending: list[dict[str, Any]] = json.load(index)["manifests"]
        found: dict[str, str] = {}
        while pending:
            entry = pending.pop()
            document = json.loads(blob(entry["digest"]))
            pending += document.get("manifests", [])
            platform = entry.get("platform", {})
            if "layers" in document and platform.get("architecture") not in {None, "unknown"}:
                last = decompressed(io.BytesIO(blob(document["layers"][-1]["digest"])))
                with tarfile.open(fileobj=last) as layer:
                    member = layer.extractfile("out")
                    assert member is not None
                    found["/".join((platform["os"], platform["architecture"]))] = member.read().decode()
        return found


def out(source: str) -> dict[str, str]:
    return {f"linux/{arch}": f"{arch} of {source}\ntools\n" for arch in ("amd64", "arm64")}


def names(said: Said) -> list[str]:
    return [stage["name"] for stage in said.report["stages"]]


def steps(said: Said) -> dict[tuple[str, str], str | None]:
    """The outcomes by stage and text."""
    return {
        (stage["name"], step["text"]): step["outcome"] for stage in said.report["stages"] for step in stage["steps"]
    }


def test_each_platform_hits_for_itself(bench: Bench) -> None:
    """Cold, all hit on an emptied engine, and with a source changed, exactly what depends on it."""
    one = context(bench, CROSS, common="1", source="one")
    two = context(bench, CROSS, common="1", source="two")

    cold = check_each_platform(
        bench,
        lambda engine, folder: bench.build(engine, PLATFORMS, folder),
        left_by,
        one=(one, out("one")),
        two=(two, out("two")),
        each=["m mmmmm mm", "h hhhhh hh", "h hmmmm hM", "h hhhhh hh"],
    )

    assert names(cold) == [f"linux/{arch} {name}" for arch in ("amd64", "arm64") for name in ("tools", "builder", "2")]
    assert [stage["needs"] for stage in cold.report["stages"]] == [[], [0], [1], [], [3], [4]]


def test_a_job_for_one_of_them_shares_its_cache(bench: Bench) -> None:
    folder = context(bench, CROSS, common="1", source="one")

    bench.build(bench.engine(), PLATFORMS, folder)
    alone = bench.build(bench.engine(), "--platform=linux/arm64", folder)
    wider = bench.build(bench.engine(), "--platform=linux/arm64,linux/arm/v7", folder)

    assert alone.outcomes == "h hhhhh hh"
    assert wider.outcomes == "h hhhhh hh H HHmmm Hm"
    assert wider.disagreements == []


def test_what_fails_for_one_is_kept_of_both(bench: Bench) -> None:
    """What had finished: a step of the other platform may not have been reached."""
    broken = context(bench, FAILING, common="1", source="one")
    mended = context(bench, CROSS, common="1", source="one")

    failed = bench.build(bench.engine(), PLATFORMS, broken, code=1)
    fixed = bench.build(bench.engine(), PLATFORMS, mended)

    assert failed.report["saved"] is True, failed.shown
    finished, found = (steps(said) for said in (failed, fixed))
    kept = {step for step, outcome in finished.items() if outcome == "miss" and "!= arm64" not in step[1]}
    assert {step for step in found if found[step] == "hit"} >= kept
    assert "linux/arm64 builder" in {name for name, _ in kept}
    assert fixed.disagreements == []


def test_a_default_of_the_environment_may_name_several(bench: Bench) -> None:
    folder = context(bench, CROSS, common="1", source="one")

    said = []
    for _ in range(2):
        engine = bench.engine()
        variable = {"DOCKER_DEFAULT_PLATFORM": "linux/amd64,linux/arm64"}
        said.append(bench.build(replace(engine, environment={**engine.environment, **variable}), folder))

    assert [run.outcomes for run in said] == ["m mmmmm mm m mmmmm mm", "h hhhhh hh h hhhhh hh"]
