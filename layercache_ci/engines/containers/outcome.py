"""Puts together what was planned, restored and seen: the stages of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from layercache_ci.dockerfile.plan import Plan, PlannedStage
from layercache_ci.engines.containers.output import SeenStep
from layercache_ci.engines.containers.restore import Selection, image_id
from layercache_ci.engines.outlines import skipped_stage, start_of
from layercache_ci.engines.reasons import BEFORE, DIFFERS, explain
from layercache_ci.report.model import Outcome, Prediction, Reason, StageReport, StepReport
from layercache_ci.store.model import StepRecord


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the report is made from. `seen` are the engine's steps by stage index, FROM among them."""

    plan: Plan
    selection: Selection
    predictions: Mapping[int, Sequence[Prediction]]
    newest: Mapping[int, StepRecord]
    seen: Mapping[int, Sequence[SeenStep]]
    damaged: Mapping[str, str] = field(default_factory=dict)
    """Diff ID to the reason for layers that could not be restored."""
    lost: Mapping[str, Reason] = field(default_factory=dict)
    """Step keys whose restored images were damaged or are gone."""
    restored: bool = True
    """Whether the selection was restored; not where the engine still had all of it."""
    ignored: Reason | None = None
    """Why nothing was looked up at all (`--no-cache`, no store)."""


def stage_reports(facts: Facts) -> tuple[StageReport, ...]:
    """Every stage of the Dockerfile with every instruction, those that the target does not need as skipped."""
    restored = {image.image.id for image in facts.selection.images} if facts.restored else set()
    return tuple(
        _planned(facts, facts.plan.stages[stage.index], restored)
        if stage.index in facts.plan.stages
        else skipped_stage(facts.plan.graph, stage)
        for stage in facts.plan.graph.stages
    )


def _planned(facts: Facts, stage: PlannedStage, restored: set[str]) -> StageReport:
    seen = {step.number: step for step in facts.seen.get(stage.index, ())}
    position = len(facts.plan.chain(stage.index)) - len(stage.steps)
    steps = [start_of(stage, _size(facts, stage.base_key))]
    missed = _parent_missed(facts, stage)
    for offset, (planned, predicted) in enumerate(zip(stage.steps, facts.predictions[stage.index], strict=True)):
        step = seen.get(offset + 2)
        outcome = _outcome(step)
        reason = None
        if outcome == "miss":
            reason = BEFORE if missed else _reason(facts, stage, offset, position + offset, predicted)
            missed = True
        link = facts.selection.links.get(planned.key)
        image = (step.cached or step.image or "") if step is not None else ""
        steps.append(
            StepReport(
                index=offset + 1,
                instruction=planned.instruction.keyword,
                text=planned.text,
                start_line=planned.instruction.start_line,
                end_line=planned.instruction.end_line,
                key=planned.key,
                predicted=predicted,
                outcome=outcome,
                source=None if outcome != "hit" else "store" if image in restored else "engine",
                reason=reason,
                seconds=None if step is None or step.ended is None else round(step.ended - step.started, 3),
                bytes_restored=_size(facts, planned.key),
                built_seconds=link.seconds if link is not None and image in restored and outcome == "hit" else None,
            )
        )
    return StageReport(stage.index, stage.name, tuple(steps), stage.needs)


def _outcome(step: SeenStep | None) -> Outcome:
    if step is None:
        return "skipped"
    return "hit" if step.hit else "miss"


def _parent_missed(facts: Facts, stage: PlannedStage) -> bool:
    if stage.parent is None:
        return False
    steps = facts.seen.get(stage.parent, ())
    return any(not step.hit for step in steps if step.number > 1) or _parent_missed(
        facts, facts.plan.stages[stage.parent]
    )


def _reason(facts: Facts, stage: PlannedStage, offset: int, position: int, predicted: Prediction) -> Reason:
    planned = stage.steps[offset]
    if facts.ignored is not None:
        return facts.ignored
    if planned.key in facts.lost:
        return facts.lost[planned.key]
    if predicted == "hit":
        return DIFFERS
    base = facts.plan.lineage(stage.index)[0].base
    return explain(position, planned.ingredients, facts.newest.get(stage.index), base)


def _size(facts: Facts, key: str) -> int:
    """Bytes read from the store for the layers of one link."""
    step = facts.selection.links.get(key)
    if step is None or image_id(step) is None or not facts.restored:
        return 0
    return sum(layer.blob.size + (layer.tar_split.size if layer.tar_split else 0) for layer in step.layers)
