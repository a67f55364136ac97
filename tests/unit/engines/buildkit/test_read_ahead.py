"""Which blobs the engine will read of those that are offered to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from layercache_ci.dockerfile.plan import Plan
from layercache_ci.engines.buildkit.predict import predict
from layercache_ci.engines.buildkit.restore import Selection, read_ahead
from layercache_ci.engines.buildkit.result import is_pushed, needs_files
from layercache_ci.layers.model import ZSTD_LAYER, Descriptor, Layer
from layercache_ci.settings import BuildSettings
from layercache_ci.store.model import Step, StepRecord
from tests.unit.engines.buildkit.plans import planned

APP = """FROM image AS builder
RUN build
FROM image AS final
RUN install
COPY --from=builder /out /out
COPY src /src
RUN compile
"""
CHAINS = {0: ("base", "build"), 1: ("base", "install", "copy", "src", "compile")}
"""Links of the two stages, each with a layer of its name."""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return planned(tmp_path / "context", APP)


def step(key: str, name: str) -> Step:
    return Step(
        key=key, instruction="RUN", text="", ingredients={}, layers=(Layer(name, 0, Descriptor(ZSTD_LAYER, name, 1)),)
    )


def chosen(plan: Plan, depths: dict[int, int]) -> Selection:
    links = {
        key: step(key, name)
        for index, depth in depths.items()
        for key, name in list(zip(plan.chain(index), CHAINS[index], strict=True))[:depth]
    }
    return Selection(links=links, depths=depths)


@pytest.mark.parametrize(
    ("depths", "files", "expected"),
    [
        pytest.param({0: 2, 1: 5}, False, "", id="all hit and only pushed: nothing"),
        pytest.param({0: 2, 1: 5}, True, "base compile copy install src", id="the result's own layers"),
        pytest.param({0: 2, 1: 3}, False, "base copy install", id="below a step that runs, not what it was made from"),
        pytest.param({0: 2, 1: 2}, False, "base build install", id="and what a step that runs copies from"),
        pytest.param({}, True, "", id="nothing held"),
    ],
)
def test_what_is_read(plan: Plan, depths: dict[int, int], files: bool, expected: str) -> None:
    selection = chosen(plan, depths)
    found = read_ahead(plan, selection, predict(plan, depths, {}), files=files)
    assert " ".join(sorted(found)) == expected


def test_of_the_newest_record_what_may_be_the_same(plan: Plan) -> None:
    """As far as it reaches."""
    selection = chosen(plan, {0: 2, 1: 2})
    steps = tuple(step(f"other {name}", f"newest {name}") for name in CHAINS[1])
    selection.records = [StepRecord("n", plan.stage_id(1), steps, "2026-01-01T00:00:00Z", "w")]
    selection.offered = {1: 3}
    found = read_ahead(plan, selection, predict(plan, selection.depths, selection.offered), files=False)
    assert {name for name in found if name.startswith("newest")} == {"newest base", "newest install", "newest copy"}


@pytest.mark.parametrize(
    ("settings", "driver", "stands_in", "pushed", "files"),
    [
        (BuildSettings(context="."), "remote", False, False, False),
        (BuildSettings(context="."), "docker", False, False, True),
        (BuildSettings(context="."), "docker-container", True, False, True),
        (BuildSettings(context=".", push=True), "remote", False, True, False),
        (BuildSettings(context=".", push=True, load=True), "remote", False, True, True),
        (BuildSettings(context=".", outputs=("type=registry,name=a",)), "remote", False, True, False),
        (BuildSettings(context=".", outputs=("type=image,push=true",)), "remote", False, True, False),
        (BuildSettings(context=".", outputs=("type=image",)), "remote", False, False, False),
        (BuildSettings(context=".", outputs=("type=image,push=1",)), "remote", False, True, False),
        (BuildSettings(context=".", outputs=('"type=image","push=true"',)), "remote", False, True, False),
        (BuildSettings(context=".", outputs=("type=image,push=false",)), "remote", False, False, False),
        (BuildSettings(context=".", outputs=("type=image",)), "docker-container", True, False, True),
        (BuildSettings(context=".", outputs=("type=registry,name=a",)), "docker-container", True, True, True),
        (BuildSettings(context=".", outputs=("type=cacheonly",)), "docker-container", True, False, False),
        (BuildSettings(context=".", outputs=("out",)), "remote", False, False, True),
        (BuildSettings(context=".", outputs=("type=image", "type=oci,dest=x")), "remote", False, False, True),
        (BuildSettings(context=".", engine_options=("--push",)), "remote", False, True, False),
        (BuildSettings(context=".", engine_options=("--output=out",)), "remote", False, False, True),
        (BuildSettings(context=".", engine_options=("-o", "type=registry")), "remote", False, True, False),
        (BuildSettings(context=".", engine_options=("-otype=registry",)), "remote", False, True, False),
        (BuildSettings(context=".", engine_options=("-qo=type=image,push=true",)), "remote", False, True, False),
        (BuildSettings(context=".", engine_options=("--output=type=image,push=true",)), "remote", False, True, False),
        (BuildSettings(context=".", engine_options=("--output", "type=image")), "remote", False, False, False),
        (BuildSettings(context=".", engine_options=("-t", "--push")), "remote", False, False, False),
        (BuildSettings(context=".", engine_options=("--push=true",)), "remote", False, True, False),
        (BuildSettings(context=".", engine_options=("--push", "--push=false")), "remote", False, False, False),
        (BuildSettings(context=".", engine_options=("--load",)), "remote", False, False, True),
    ],
)
def test_the_result(settings: BuildSettings, driver: str, *, stands_in: bool, pushed: bool, files: bool) -> None:
    assert is_pushed(settings) == pushed
    assert needs_files(settings, driver=driver, stands_in=stands_in) == files
