"""A failed build's finished steps are exported from Dockerfiles that end before what did not finish."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from layercache_ci.dockerfile.plan import Plan, PlannedStage


@dataclass(frozen=True, slots=True)
class Truncated:
    """A Dockerfile whose last stage is the one to export."""

    stage: int
    target: str | None
    dockerfile: bytes


def truncated(plan: Plan, finished: Collection[str], source: bytes) -> tuple[Truncated, ...]:
    """As few Dockerfiles as export every finished step, `finished` being their keys. Keys stay as they are: later
    instructions and stages change nothing in a key."""
    lines = source.split(b"\n")
    covered: set[int] = set()
    found: list[Truncated] = []
    for index in sorted(plan.stages, reverse=True):
        stage = plan.stages[index]
        links = [step for step in stage.steps if step.link]
        done = [step for step in links if step.key in finished]
        if index in covered or not done:
            continue
        broken = next((step for step in links if step.key not in finished), None)
        end = _end(plan, stage) if broken is None else broken.instruction.start_line - 1
        if end < stage.start.end_line:
            continue  # a trigger of the base image's failed: there is no line to end before
        covered |= _below(plan, index, finished)
        target = None if stage.name == str(index) else stage.name
        found.append(Truncated(index, target, b"\n".join(lines[:end]) + b"\n"))
    return tuple(found)


def _end(plan: Plan, stage: PlannedStage) -> int:
    """The last line of a stage."""
    following = [other.start.start_line for other in plan.graph.stages if other.index > stage.index]
    return min(following) - 1 if following else 1 << 30


def _below(plan: Plan, index: int, finished: Collection[str]) -> set[int]:
    """The stages that a stage's finished steps need, itself among them: their exports hold all of those."""
    stage = plan.stages[index]
    found = {index}
    needed = {origin for step in stage.steps if step.key in finished for origin in step.origins}
    needed |= set() if stage.parent is None else {stage.parent}
    for other in needed & plan.stages.keys():
        found |= _below(plan, other, finished)
    return found
