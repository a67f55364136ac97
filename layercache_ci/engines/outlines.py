"""What a report says of a stage whatever the engine: its FROM, its instructions that are no steps, and the stages that
the target does not need."""

from __future__ import annotations

from collections.abc import Container, Iterable
from contextlib import suppress
from dataclasses import replace

from layercache_ci.dockerfile.ast import Instruction
from layercache_ci.dockerfile.plan import PlannedStage
from layercache_ci.dockerfile.stages import Stage, StageGraph
from layercache_ci.dockerfile.text import Refused
from layercache_ci.errors import LayercacheError
from layercache_ci.report.model import Outcome, StageReport, StepReport


def outline(
    index: int, instruction: Instruction, outcome: Outcome | None = None, *, key: str | None = None, restored: int = 0
) -> StepReport:
    """An instruction of which nothing is known but its outcome, None where it can have none; `restored` in bytes."""
    return StepReport(
        index=index,
        instruction=instruction.keyword,
        text=instruction.original.strip(),
        start_line=instruction.start_line,
        end_line=instruction.end_line,
        key=key,
        predicted=outcome,
        outcome=outcome,
        bytes_restored=restored,
    )


def start_of(stage: PlannedStage, restored: int) -> StepReport:
    """Its FROM; `restored` are the bytes of its image's layers, which count where it builds on no other stage."""
    return outline(0, stage.start, key=stage.base_key, restored=restored if stage.parent is None else 0)


def skipped_stage(graph: StageGraph, stage: Stage, counted: Container[str] | None = None) -> StageReport:
    """One that the target does not need; `counted` are the keywords of what is a step to the engine, None for all."""
    steps = [outline(0, stage.start)]
    for index, instruction in enumerate(stage.instructions, start=1):
        is_step = counted is None or instruction.keyword in counted
        steps.append(outline(index, instruction, "skipped" if is_step else None))
    return StageReport(stage.index, stage.name, tuple(steps), _needs(graph, stage))


def of_platform(stages: Iterable[StageReport], platform: str, *, first: int) -> tuple[StageReport, ...]:
    """The stages of one platform among several: by its name, and numbered from `first`."""
    return tuple(
        replace(
            stage,
            index=first + stage.index,
            name=f"{platform} {stage.name}",
            needs=tuple(first + index for index in stage.needs),
        )
        for stage in stages
    )


def _needs(graph: StageGraph, stage: Stage) -> tuple[int, ...]:
    """As PlannedStage.needs, of one that was not planned and may be wrong."""
    origins = [stage.base]
    for instruction in stage.instructions:
        with suppress(LayercacheError, Refused):
            origins += graph.sources(stage, instruction)
    return tuple(sorted({origin.stage for origin in origins if origin.stage is not None}))
