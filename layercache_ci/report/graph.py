"""The stages as a picture: a mermaid flowchart, coloured by what came of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from layercache_ci.report.escape import label
from layercache_ci.report.model import Report, StageReport

Look = Literal["hit", "partly", "miss", "skipped"]
MAX_STAGES: Final = 100
MAX_EDGES: Final = 400
"""mermaid draws at most 500, and nobody sees anything in fewer."""
MAX_NAME: Final = 40
STYLES: Final = {
    "hit": "fill:#dafbe1,stroke:#1a7f37,color:#1f2328",
    "partly": "fill:#fff8c5,stroke:#9a6700,color:#1f2328",
    "miss": "fill:#ffebe9,stroke:#cf222e,color:#1f2328",
    "skipped": "fill:#eaeef2,stroke:#6e7781,color:#1f2328,stroke-dasharray:4 3",
}
"""Colours with a text colour of their own, for light pages and dark ones."""


def picture(report: Report) -> list[str]:
    """The lines of a fenced block; none where there is only one stage, or too many to be seen."""
    edges = sum(len(stage.needs) for stage in report.stages)
    if not 1 < len(report.stages) <= MAX_STAGES or edges > MAX_EDGES:
        return []
    return ["```mermaid", "flowchart LR", *_nodes(report), *_edges(report), *_styles(report), "```"]


def look(stage: StageReport) -> Look:
    """`partly` where some steps hit before one missed."""
    found = {step.outcome for step in stage.steps}
    if "miss" in found:
        return "partly" if "hit" in found else "miss"
    return "hit" if "hit" in found else "skipped"


def _nodes(report: Report) -> Iterator[str]:
    for stage in report.stages:
        hits = sum(step.outcome == "hit" for step in stage.steps)
        steps = hits + sum(step.outcome == "miss" for step in stage.steps)
        count = f"{hits} of {steps} hit" if steps else "no step ran"
        yield f'  s{stage.index}["{label(stage.name, MAX_NAME)}<br/>{count}"]:::{look(stage)}'


def _edges(report: Report) -> Iterator[str]:
    known = {stage.index for stage in report.stages}
    for stage in report.stages:
        yield from (f"  s{origin} --> s{stage.index}" for origin in stage.needs if origin in known)


def _styles(report: Report) -> Iterator[str]:
    for kind in dict.fromkeys(look(stage) for stage in report.stages):
        yield f"  classDef {kind} {STYLES[kind]}"
