"""What a report.json says in figures, and columns of such figures side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Missed:
    """A step that was built, and why."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Summary:
    """The totals of one build. Seconds and bytes."""

    title: str
    steps: int
    hits: int
    misses: tuple[Missed, ...]
    plan: float
    restore: float
    build: float
    save: float
    total: float
    restored: int
    saved: int

    @classmethod
    def read(cls, title: str, report: Path) -> Summary:
        """The summary of a report, as docs/report.md has it."""
        content: dict[str, Any] = json.loads(report.read_text())
        totals = content["totals"]
        seconds = totals["seconds"]
        missed = tuple(
            Missed(step["text"], step["reason"]["detail"] if step["reason"] else "")
            for stage in content["stages"]
            for step in stage["steps"]
            if step["outcome"] == "miss"
        )
        return cls(
            title, totals["steps"], totals["hits"], missed,
            seconds["plan"], seconds["restore"], seconds["build"], seconds["save"], seconds["total"],
            totals["bytes_restored"], totals["bytes_saved"],
        )  # fmt: skip


def side_by_side(columns: Sequence[Summary]) -> str:
    """A table with a column for each build."""
    rows = [
        ["", *(column.title for column in columns)],
        ["steps from the cache", *(f"{column.hits} of {column.steps}" for column in columns)],
        ["plan", *(f"{column.plan:.1f} s" for column in columns)],
        ["restore", *(f"{column.restore:.1f} s" for column in columns)],
        ["build, the image made whole", *(f"{column.build:.1f} s" for column in columns)],
        ["save", *(f"{column.save:.1f} s" for column in columns)],
        ["total", *(f"{column.total:.1f} s" for column in columns)],
        ["read from the cache", *(f"{column.restored / MEGABYTE:.1f} MB" for column in columns)],
        ["added to the cache", *(f"{column.saved / MEGABYTE:.1f} MB" for column in columns)],
    ]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines)
