"""Puts together what was planned, restored and seen: the stages of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from layercache_ci.dockerfile.plan import Plan, PlannedStage, PlannedStep
from layercache_ci.engines.buildkit.progress import SeenStep
from layercache_ci.engines.buildkit.restore import Selection
from layercache_ci.engines.buildkit.steps import NUMBERED
from layercache_ci.engines.outlines import outline, skipped_stage, start_of
from layercache_ci.engines.reasons import BEFORE, DIFFERS, explain
from layercache_ci.report.model import Outcome, Prediction, Reason, StageReport, StepReport
from layercache_ci.store.model import Step, StepRecord


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the report is made from. `seen` are BuildKit's vertices by step key."""

    plan: Plan
    selection: Selection
    predictions: Mapping[int, Sequence[Prediction | None]]
    newest: Mapping[int, StepRecord]
    seen: Mapping[str, SeenStep] | None
    served: Mapping[str, int] = field(default_factory=dict)
    """Bytes that were read of each blob."""
    ended_well: bool = True
    ignored: Reason | None = None
    """Why nothing was looked up at all (`--no-cache`, no store)."""


def outcomes(plan: Plan, seen: Mapping[str, SeenStep] | None, *, ended_well: bool) -> dict[str, Outcome]:
    """What came of each link, by key. A step that a build which ended well never looked at was not needed, since what
    builds on it was a hit: it is one too. Where nothing is known of the build, nothing is said of its steps."""
    found: dict[str, Outcome] = {}
    for index in plan.stages:
        for step in plan.links(index):
            vertex = None if seen is None else seen.get(step.key)
            if seen is None:
                found[step.key] = "skipped"
            elif vertex is None or vertex.state == "pending":
                found[step.key] = "hit" if ended_well else "skipped"
            else:
                found[step.key] = "hit" if vertex.state == "hit" else "miss"
    return found


def stage_reports(facts: Facts) -> tuple[StageReport, ...]:
    """Every stage of the Dockerfile with every instruction, those that the target does not need as skipped."""
    results = outcomes(facts.plan, facts.seen, ended_well=facts.ended_well)
    return tuple(
        _planned(facts, facts.plan.stages[stage.index], results)
        if stage.index in facts.plan.stages
        else skipped_stage(facts.plan.graph, stage, NUMBERED)
        for stage in facts.plan.graph.stages
    )


def _planned(facts: Facts, stage: PlannedStage, results: Mapping[str, Outcome]) -> StageReport:
    position = len(facts.plan.chain(stage.index)) - sum(step.link for step in stage.steps)
    missed = _parent_missed(facts.plan, stage, results)
    steps = [start_of(stage, _size(facts, stage.base_key))]
    for offset, (planned, predicted) in enumerate(zip(stage.steps, facts.predictions[stage.index], strict=True)):
        if not planned.link:
            steps.append(outline(offset + 1, planned.instruction))
            continue
        outcome = results[planned.key]
        reason = None
        if outcome == "miss":
            reason = BEFORE if missed else _reason(facts, stage, planned, position, predicted)
            missed = True
        position += 1
        link = facts.selection.links.get(planned.key)
        vertex = None if facts.seen is None else facts.seen.get(planned.key)
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
                source=None if outcome != "hit" else "store" if link is not None else "engine",
                reason=reason,
                seconds=None if vertex is None or vertex.seconds is None else round(vertex.seconds, 3),
                bytes_restored=_size(facts, planned.key),
                built_seconds=link.seconds if link is not None and outcome == "hit" else None,
            )
        )
    return StageReport(stage.index, stage.name, tuple(steps), stage.needs)


def _parent_missed(plan: Plan, stage: PlannedStage, results: Mapping[str, Outcome]) -> bool:
    if stage.parent is None:
        return False
    parent = plan.stages[stage.parent]
    missed = any(step.link and results[step.key] == "miss" for step in parent.steps)
    return missed or _parent_missed(plan, parent, results)


def _reason(
    facts: Facts, stage: PlannedStage, planned: PlannedStep, position: int, predicted: Prediction | None
) -> Reason:
    if facts.ignored is not None:
        return facts.ignored
    if predicted == "hit":
        return DIFFERS
    base = facts.plan.lineage(stage.index)[0].base
    return explain(position, planned.ingredients, facts.newest.get(stage.index), base)


def _size(facts: Facts, key: str) -> int:
    """Bytes of a link's layers that the engine read."""
    step: Step | None = facts.selection.links.get(key)
    return 0 if step is None else sum(facts.served.get(layer.blob.digest, 0) for layer in step.layers)
