"""Which steps BuildKit will find in what is restored.

It walks from the target: the deepest result that it finds in a stage's chain stands for all that it was made from, so
stages of which nothing else is needed are not looked at, even where their own results are gone. A step that is not
found needs what it takes from other stages, and these are judged in turn (moby/buildkit, solver/edge.go).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from layercache_ci.dockerfile.flags import is_set
from layercache_ci.dockerfile.plan import Plan, PlannedStep
from layercache_ci.report.model import Prediction


def predict(plan: Plan, depths: Mapping[int, int], offered: Mapping[int, int]) -> dict[int, list[Prediction | None]]:
    """For each planned stage the prediction of its own steps, None for those that are no links.

    `depths` says how many links of a stage's chain are held, the base image's among them; `offered` how many the engine
    might find to be the same in the newest record.
    """
    walk = _Walk(plan, _keys(plan, depths), _keys(plan, offered))
    walk.need(plan.target)
    return {
        index: [walk.states.get(id(step), "skipped") if step.link else None for step in stage.steps]
        for index, stage in sorted(plan.stages.items())
    }


def _keys(plan: Plan, depths: Mapping[int, int]) -> frozenset[str]:
    """Stages share the beginnings of their chains, so what is held is known by its key."""
    return frozenset(
        key for index, depth in depths.items() if index in plan.stages for key in plan.chain(index)[:depth]
    )


@dataclass(slots=True)
class _Walk:
    """`states` are by the identity of the step: two stages may have equal ones, which are steps of their own."""

    plan: Plan
    held: frozenset[str]
    offered: frozenset[str]
    states: dict[int, Prediction] = field(default_factory=dict)
    needed: set[int] = field(default_factory=set)
    covered: set[int] = field(default_factory=set)

    def need(self, index: int) -> None:
        """The result of a stage is needed."""
        if index in self.needed:
            return
        self.needed.add(index)
        links = self.plan.links(index)
        certain = list(takewhile(self._sure, links))
        depth = max((at for at, step in enumerate(certain, start=1) if step.key in self.held), default=0)
        for step in links[:depth]:
            self._cover(step)
        state: Prediction = "hit"
        for step in links[depth:]:
            state = self._judge(step, state)
            self.states[id(step)] = _worse(self.states.get(id(step), "hit"), state)
            for origin in step.origins:
                self.need(origin)

    def _sure(self, step: PlannedStep) -> bool:
        """Whether its key can be known before anything has run."""
        if not step.foreseeable or step.forced:
            return False
        return all(map(self._sure, (below for origin in step.origins for below in self.plan.links(origin))))

    def _earlier(self) -> bool:
        """Whether anything is restored but base images."""
        links = (step for index in self.plan.stages for step in self.plan.links(index))
        return any(step.key in self.held | self.offered for step in links)

    def _judge(self, step: PlannedStep, before: Prediction) -> Prediction:
        """A step that is not surely found, by what was before it."""
        if step.forced:
            return "miss"
        if before == "miss":
            # what is linked is copied without regard to what lies below: an earlier build may have it
            return "unknown" if is_set(step.instruction, "link") and self._earlier() else "miss"
        return "unknown" if step.key in self.held | self.offered else "miss"

    def _cover(self, step: PlannedStep) -> None:
        self.states.setdefault(id(step), "hit")
        for origin in step.origins:
            if origin not in self.covered:
                self.covered.add(origin)
                for below in self.plan.links(origin):
                    self._cover(below)


def _worse(one: Prediction, other: Prediction) -> Prediction:
    order: tuple[Prediction, ...] = ("hit", "unknown", "miss")
    return max(one, other, key=order.index)
