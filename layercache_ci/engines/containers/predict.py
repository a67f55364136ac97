"""Which steps Podman and Buildah will find in what is restored. They stop looking in a stage after its first miss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from layercache_ci.dockerfile.plan import Plan, PlannedStep
from layercache_ci.report.model import Prediction

MOUNTS_BLOCK_LOOKUPS: Final = (1, 33)
"""Since then a RUN that mounts from a stage that ran in this build is not looked up at all."""
CACHED_STAGES_DONT: Final = (1, 39)
"""Since then, at the latest, it is looked up where that stage was all hits; by 1.33 it is not."""


def predict(
    plan: Plan, depths: Mapping[int, int], offered: Mapping[int, int], *, version: tuple[int, int]
) -> dict[int, list[Prediction]]:
    """For each planned stage the prediction of its own steps. `depths` says how many links of a stage's chain are
    restored, the base image's among them; `offered` how many the engine might find to be the same
    (Selection.offered)."""
    states: dict[int, Prediction] = {}
    found: dict[int, list[Prediction]] = {}
    for index, stage in sorted(plan.stages.items()):
        state: Prediction = "hit" if stage.parent is None else states[stage.parent]
        position = len(plan.chain(index)) - len(stage.steps)
        found[index] = []
        for offset, step in enumerate(stage.steps):
            held: Prediction = "miss"
            if depths.get(index, 0) > position + offset:
                held = "hit"
            elif offered.get(index, 0) > position + offset:
                held = "unknown"
            state = _step(step, state, held, states, version)
            found[index].append(state)
        states[index] = state
    return found


def _step(
    step: PlannedStep,
    before: Prediction,
    held: Prediction,
    states: Mapping[int, Prediction],
    version: tuple[int, int],
) -> Prediction:
    if before != "hit":
        return before
    origins = {states[origin] for origin in step.origins}
    if step.reads_mounts and "miss" in origins and version >= MOUNTS_BLOCK_LOOKUPS:
        return "miss"
    if step.reads_mounts and held == "hit" and MOUNTS_BLOCK_LOOKUPS <= version < CACHED_STAGES_DONT:
        return "unknown"
    if not step.foreseeable or "unknown" in origins or ("miss" in origins and not step.reads_mounts):
        return "unknown"
    return held
