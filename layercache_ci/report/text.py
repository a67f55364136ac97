"""The report as lines for a terminal or a CI log."""

from __future__ import annotations

from typing import Final

from layercache_ci.report.model import Report

MAX_TEXT: Final = 60


def size(count: int) -> str:
    """Bytes for people, in powers of 1000: `8.3 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """The first line of `text`, cut to `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def summary(report: Report) -> list[str]:
    """A headline, then one line for the first miss of each stage with its reason."""
    steps = report.hits + report.misses
    seconds = report.seconds
    parts = [
        f"{report.hits} of {steps} steps hit" if steps else "no step was counted",
        f"{size(report.bytes_restored)} restored in {seconds.restore:.1f} s",
        f"build {seconds.build:.1f} s",
        f"{size(report.bytes_saved)} saved in {seconds.save:.1f} s" if report.saved else "nothing saved",
        f"plan {seconds.plan:.1f} s",
        f"total {seconds.total:.1f} s",
    ]
    lines = [", ".join(parts)]
    explained: set[int] = set()
    for stage, step in report.steps():
        if step.outcome == "miss" and step.reason is not None and stage.index not in explained:
            explained.add(stage.index)
            lines.append(
                f"missed from line {step.start_line} on ({stage.name}: {shorten(step.text)}): {step.reason.detail}"
            )
    return lines
