"""The report as GitHub's job summary has it: Markdown with a table, a picture, and whatever else folded away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal

from layercache_ci.report.escape import code, fence, prose
from layercache_ci.report.graph import look, picture
from layercache_ci.report.model import Report, StageReport, StepReport
from layercache_ci.report.text import size

MOST: Final = 1_000_000
"""Bytes of a summary. Of one over 1 MiB GitHub shows nothing (actions/runner, CreateStepSummaryCommand)."""
TABLES: Final = 500_000
PLAN: Final = 200_000
MAX_TEXT: Final = 90
MAX_REASON: Final = 300
MAX_LINE: Final = 500
MAX_LINES: Final = 50
"""Of warnings, misses and settings."""
TITLE: Final = "layercache"
"""What a headline begins with."""
NONE: Final[Mapping[str, str]] = MappingProxyType({})
SIGNS: Final = {"hit": "🟩 hit", "miss": "🟥 miss", "skipped": "⬜ skipped", None: ""}
STAGE_SIGNS: Final = {"hit": "🟩", "partly": "🟨", "miss": "🟥", "skipped": "⬜"}
HEAD: Final = ("| line | step | outcome | why | restored | seconds |", "| --: | :-- | :-- | :-- | --: | --: |")
PLAN_HEAD: Final = ("| line | instruction | predicted | outcome | key |", "| --: | :-- | :-- | :-- | :-- |")


def job_summary(
    report: Report, *, detail: Literal["short", "full"], settings: Mapping[str, str] = NONE, title: str = TITLE
) -> str:
    """Markdown of at most 1 MB, whatever the report holds, whose headline begins with `title`. `short` is the headline
    and what missed; `full` has every step, the stages as a picture, and the plan and the settings, which are folded
    away."""
    lines = [f"### {headline(report, title)}", "", *_benefit(report), *_warnings(report)]
    if detail == "short":
        lines += _misses(report)
    else:
        lines += [*picture(report), "", *_cut(_tables(report), TABLES), *_details(report, settings)]
    return "\n".join(lines) + "\n"


def headline(report: Report, title: str = TITLE) -> str:
    """What came of the build, in one line of Markdown."""
    steps = report.hits + report.misses
    parts = [f"{report.hits} of {steps} steps hit" if steps else "no step was counted"]
    if report.exit_code:
        parts.insert(0, f"the build failed with exit code {report.exit_code}")
    if report.bytes_restored:
        parts.append(f"{size(report.bytes_restored)} restored")
    if report.saved:
        parts.append(f"{size(report.bytes_saved)} saved")
    parts.append(f"{report.seconds.total:.1f} s in all")
    return f"{prose(title, MAX_TEXT)}: {', '.join(parts)}"


def saved_line(report: Report) -> str:
    """What the save came to, for a summary that was written before it was done."""
    if report.saved is None:
        return "layercache: the save did not come to its end"
    if not report.saved:
        return "layercache: not everything was saved" if report.bytes_saved else "layercache: nothing was saved"
    return f"layercache: {size(report.bytes_saved)} saved in {report.seconds.save:.1f} s"


def _benefit(report: Report) -> Iterator[str]:
    """Whether the cache was worth it, where the records say what the steps took."""
    before, restore = report.seconds_avoided, report.seconds.restore
    if before is None:
        return
    gain = before - restore
    verdict = f"**{gain:.1f} s saved**" if gain >= 0 else f"**{-gain:.1f} s lost**"
    yield f"{verdict}: the steps that hit took {before:.1f} s when they were built, restoring them {restore:.1f} s."
    yield ""


def _warnings(report: Report) -> Iterator[str]:
    if report.warnings:
        yield from ("What the cache could not do:", "")
        yield from fence(_some(report.warnings, "warnings"), MAX_LINE)
        yield ""


def _misses(report: Report) -> Iterator[str]:
    """The first miss of each stage: those behind it missed because it did."""
    found: dict[int, str] = {}
    for stage, step in report.steps():
        if step.outcome == "miss" and stage.index not in found:
            found[stage.index] = (
                f"- missed from line {step.start_line} on ({code(stage.name, MAX_TEXT)}): "
                f"{code(step.text, MAX_TEXT)}: {_why(step) or 'nothing is known of it'}"
            )
    yield from _some(found.values(), "stages that missed", before="- ")


def _tables(report: Report) -> Iterator[tuple[str, int]]:
    """Lines, and how many steps each is. A stage that nothing needed is a line of the last one."""
    for stage in report.stages:
        if look(stage) == "skipped":
            continue
        yield f"#### {STAGE_SIGNS[look(stage)]} {code(stage.name, MAX_TEXT)}", 0
        yield "", 0
        yield from ((line, 0) for line in HEAD)
        for step in stage.steps:
            yield _row(step), 1
        yield "", 0
    if unused := [code(stage.name, MAX_TEXT) for stage in report.stages if look(stage) == "skipped"]:
        yield f"Not built: {', '.join(_some(unused, 'stages'))}", 0
        yield "", 0


def _row(step: StepReport) -> str:
    outcome = SIGNS[step.outcome] + (f" ({step.source})" if step.source else "")
    restored = size(step.bytes_restored) if step.bytes_restored else ""
    seconds = "" if step.seconds is None else f"{step.seconds:.1f}"
    cells = (str(step.start_line), code(step.text, MAX_TEXT), outcome, _why(step), restored, seconds)
    return f"| {' | '.join(cells)} |"


def _why(step: StepReport) -> str:
    return "" if step.reason is None else prose(step.reason.detail, MAX_REASON)


def _details(report: Report, settings: Mapping[str, str]) -> Iterator[str]:
    seconds = report.seconds
    spent = ", ".join(f"{name} {getattr(seconds, name):.1f} s" for name in ("plan", "restore", "build", "save"))
    yield from ("<details><summary>Plan and settings</summary>", "")
    yield f"{prose(f'{report.engine} {report.engine_version}', MAX_LINE)}: {spent}"
    yield ""
    yield from PLAN_HEAD
    yield from _cut(((_plan_row(stage, step), 1) for stage in report.stages for step in stage.steps), PLAN)
    yield ""
    if settings:
        yield from fence(_some((f"{name}: {value}" for name, value in settings.items()), "settings"), MAX_LINE)
        yield ""
    yield "</details>"


def _plan_row(stage: StageReport, step: StepReport) -> str:
    where = f"{code(stage.name, MAX_TEXT)} {code(step.instruction, MAX_TEXT)}"
    key = "" if step.key is None else code(step.key[:12], MAX_TEXT)
    return f"| {step.start_line} | {where} | {step.predicted or ''} | {step.outcome or ''} | {key} |"


def _some(lines: Iterable[str], what: str, *, before: str = "") -> list[str]:
    """The first ones, and a line that says how many there are beyond them."""
    found = list(lines)
    more = len(found) - MAX_LINES
    return found if more <= 0 else [*found[:MAX_LINES], f"{before}and {more} more {what}; report.json has all"]


def _cut(lines: Iterable[tuple[str, int]], limit: int) -> Iterator[str]:
    """The lines up to `limit` bytes, then how many steps are left out."""
    left_out = 0
    for line, steps in lines:
        limit -= len(line.encode()) + 1
        if limit >= 0 and not left_out:
            yield line
        else:
            left_out += steps
            limit = -1
    if left_out:
        yield ""
        yield f"{left_out} more steps are left out; report.json has all."
        yield ""
