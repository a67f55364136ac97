"""The parts of a build for several platforms: whose steps are whose, and what they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from layercache_ci.dockerfile.plan import Plan
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.cacheconfig import CacheConfig
from layercache_ci.engines.buildkit.part import Part, identities
from layercache_ci.engines.buildkit.planning import make_plans
from layercache_ci.engines.buildkit.progress import SeenStep
from layercache_ci.engines.buildkit.restore import Selection, together
from layercache_ci.engines.buildkit.steps import seen_by_key
from layercache_ci.settings import BuildSettings, Machine
from tests.unit.dockerfile.planning import Images
from tests.unit.engines.buildkit.plans import keys, recorded

AMD, ARM = "linux/amd64", "linux/arm64"
CROSS = """FROM --platform=$BUILDPLATFORM image AS tools
RUN echo tools > /tools
FROM --platform=$BUILDPLATFORM image AS builder
ARG TARGETARCH
COPY src /src
RUN echo built for $TARGETARCH $(cat /src/a) > /out
COPY --from=tools /tools /tools
RUN cat /tools >> /out
FROM scratch
COPY src/b /b
COPY --from=builder /out /out
COPY src /src
"""
"""What the recorded build was made of."""
OWN = 4
"""Steps from the first on that uses the target: a RUN, what comes upon it, and two that copy."""


@pytest.fixture
def plans(tmp_path: Path) -> dict[str, Plan]:
    (tmp_path / "src").mkdir()
    for name in ("a", "b"):
        (tmp_path / "src" / name).write_text(name)
    (tmp_path / "Dockerfile").write_text(CROSS)
    settings = BuildSettings(context=str(tmp_path), platform=f"{AMD},{ARM}")
    builder = Builder(
        name="b", driver="remote", node="n", endpoint="", version="v0.34.2", exports_cache=True, platform=AMD
    )
    return make_plans(settings, Machine({"HOME": str(tmp_path)}, 0, 1, terminal=False), Images(), builder)


def texts(plan: Plan, seen: dict[str, SeenStep]) -> dict[str, str]:
    return {text: seen[key].text for text, key in keys(plan).items() if key in seen}


def test_every_step_of_a_real_build_is_found_for_each_platform(plans: dict[str, Plan]) -> None:
    found = {platform: seen_by_key(plan, recorded("platforms"), platform=platform) for platform, plan in plans.items()}

    for platform, plan in plans.items():
        known = texts(plan, found[platform])
        assert known.keys() == keys(plan).keys()
        run = next(text for text in known if "built for" in text)
        assert known.pop(run) == run.replace("$TARGETARCH", platform.removeprefix("linux/"))
        assert all(text == shown for text, shown in known.items())
    digests = {platform: {step.digest for step in seen.values()} for platform, seen in found.items()}
    assert len(digests[AMD] - digests[ARM]) == len(digests[ARM] - digests[AMD]) == 1 + OWN


@pytest.mark.parametrize(
    ("label", "counts"),
    [
        ("linux/amd64->arm/v7", True), ("linux/amd64->arm/v6", False), ("linux/amd64->arm64", False),
        ("linux/amd64->linux/arm/v7", True), ("linux/amd64->windows/amd64", False), ("linux/arm/v7", True),
        ("linux/amd64->", False),
    ],
)  # fmt: skip
def test_the_label_says_for_what(plans: dict[str, Plan], label: str, counts: bool) -> None:
    """One that is of this platform goes before that of another, and before that of the stage."""
    plan = plans[AMD]
    key = plan.links(0)[0].key

    def step(platform: str, digest: str) -> SeenStep:
        return SeenStep("tools", 2, 2, "RUN", digest, "ran", None, platform)

    seen = [step("linux/s390x", "other"), step("linux/amd64", "stage's"), step(label, "labelled")]

    assert seen_by_key(plan, seen, platform="linux/arm/v7")[key].digest == ("labelled" if counts else "stage's")


def test_what_the_platform_makes_no_difference_to_is_one_and_the_same(plans: dict[str, Plan]) -> None:
    amd, arm = (identities(plans[platform]) for platform in (AMD, ARM))

    assert not amd.keys() & arm.keys()
    shared = {key for key, identity in amd.items() if identity in arm.values()}
    steps = [step for stage in plans[AMD].stages.values() for step in stage.steps if step.link]
    same = [step.text for step in steps if step.key in shared]
    assert same == ["RUN echo tools > /tools", "COPY src /src", "COPY src/b /b"]


def test_what_another_platform_holds_may_be_found(plans: dict[str, Plan]) -> None:
    """The engine is offered all of it at once. What the platform makes a difference to is surely missed."""
    held = Part(plans[AMD], AMD)
    held.selection.depths = {index: len(plans[AMD].chain(index)) for index in plans[AMD].stages}
    new = Part(plans[ARM], ARM)

    new.predict([held])

    assert new.predictions == {
        0: ["unknown"],
        1: [None, "unknown", "miss", "miss", "miss"],
        2: ["unknown", "miss", "miss"],
    }
    assert not new.foreseen
    new.predict([Part(plans[AMD], AMD)])
    assert {state for states in new.predictions.values() for state in states} == {"miss", None}


def test_more_than_the_engine_imports_makes_all_of_it_a_maybe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layercache_ci.engines.buildkit.restore.fit", lambda *_: CacheConfig())
    parts: list[Any] = [Selection(depths={0: 3}, offered={0: 4, 1: 1}), Selection(depths={2: 2})]

    whole, said = together(parts)

    assert said
    assert whole.config.layers == ()
    assert [(part.depths, part.offered) for part in parts] == [({}, {0: 4, 1: 1}), ({}, {2: 2})]


def test_the_stages_of_the_report_are_numbered_through(plans: dict[str, Plan]) -> None:
    amd, arm = (Part(plan, platform) for platform, plan in plans.items())

    stages = [
        *amd.stages({}, ended_well=True, ignored=None, first=0),
        *arm.stages({}, ended_well=True, ignored=None, first=3),
    ]

    assert [(stage.index, stage.name, stage.needs) for stage in stages] == [
        (0, f"{AMD} tools", ()), (1, f"{AMD} builder", (0,)), (2, f"{AMD} 2", (1,)),
        (3, f"{ARM} tools", ()), (4, f"{ARM} builder", (3,)), (5, f"{ARM} 2", (4,)),
    ]  # fmt: skip
    alone = Part(plans[AMD]).stages({}, ended_well=True, ignored=None, first=0)
    assert [stage.name for stage in alone] == ["tools", "builder", "2"]
