"""Which of BuildKit's vertices is which step of the plan: by their names, `[stage i/n] TEXT`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from layercache_ci.dockerfile.plan import Plan, PlannedStage
from layercache_ci.dockerfile.platform import SYSTEMS, normalize
from layercache_ci.engines.buildkit.progress import SeenStep
from layercache_ci.errors import InputError

NUMBERED: Final = frozenset({"RUN", "COPY", "ADD", "WORKDIR"})
"""What counts in `i/n`, besides a FROM of an image (moby/buildkit, dockerfile2llb/convert.go). A FROM of a named
context counts in `n` alone; whether triggers of ONBUILD count in `n` differs from version to version."""


def seen_by_key(plan: Plan, seen: Iterable[SeenStep], *, platform: str | None = None) -> dict[str, SeenStep]:
    """The vertex of each link by its step key. Links of one key are one vertex, which bears the name of one of them.
    Stages that share a name are told apart by how many steps they have, as far as that goes; `platform` is what the
    plan is for in a build for several."""
    by_name: dict[tuple[str | None, int], list[SeenStep]] = {}
    for step in seen:
        by_name.setdefault((step.stage, step.number), []).append(step)
    alone = all(stage is None for stage, _ in by_name)
    found: dict[str, SeenStep] = {}
    for stage in plan.stages.values():
        name, total = None if alone else _name(stage), _total(plan, stage)
        for key, number in _numbers(plan, stage):
            named = by_name.get((name, number), [])
            named = named if platform is None else _nearest(named, stage.platform, platform)
            steps = named if len(named) == 1 else [step for step in named if step.total == total]
            if steps:
                found.setdefault(key, steps[0])
    return found


def _nearest(steps: list[SeenStep], stage: str, platform: str) -> list[SeenStep]:
    """Those of a build for several platforms that are most surely of this one. A vertex that serves several platforms
    bears the name of one; what has a name for each is one vertex for each."""
    ranks = [_rank(step.platform or "", stage, platform) for step in steps]
    return [step for step, rank in zip(steps, ranks, strict=True) if rank == min(ranks)]


def _rank(label: str, stage: str, platform: str) -> int:
    """A label is the platform of the stage, and where the step's environment names another target, `->` and what
    differs of that (moby/buildkit, dockerfile2llb/convert.go, prefixCommand)."""
    own, arrow, target = label.partition("->")
    if arrow:
        return 0 if _target(target) == platform else 2
    return 0 if own == platform else 1 if own == stage else 2


def _target(text: str) -> str:
    try:
        return normalize(text if text.partition("/")[0] in SYSTEMS else f"linux/{text}")
    except InputError:
        return ""


def _name(stage: PlannedStage) -> str:
    return f"stage-{stage.index}" if stage.name == str(stage.index) else stage.name


def _total(plan: Plan, stage: PlannedStage) -> int:
    known = plan.graph.stages[stage.index]
    return (known.base.kind in {"image", "context"}) + sum(each.keyword in NUMBERED for each in known.instructions)


def _numbers(plan: Plan, stage: PlannedStage) -> Iterable[tuple[str, int]]:
    """Key and number of each link: `WORKDIR /`, which makes no vertex, counts in the total but takes no number."""
    number = int(plan.graph.stages[stage.index].base.kind == "image")
    for step in stage.steps:
        if step.link:
            number += 1
            yield step.key, number
