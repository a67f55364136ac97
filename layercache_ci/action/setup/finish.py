"""The post step of a step with `setup: true`: it waits for what the builds of the later steps left to be saved, and
tells of each in the job summary."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from layercache_ci.action import toolkit
from layercache_ci.action.background import Background
from layercache_ci.action.main import SUMMARIES, default_summary
from layercache_ci.action.post import await_save, faults_are_warnings, show_log, timeout, write_comment
from layercache_ci.action.secret_files import shown
from layercache_ci.action.setup.shims import Made, Setup
from layercache_ci.report.markdown import MOST, job_summary, saved_line
from layercache_ci.report.model import Report
from layercache_ci.report.reading import read_report
from layercache_ci.settings import Machine

Built = tuple[Made, Report]


def finish(folder: Path, machine: Machine) -> None:
    """Raises nothing but what is a warning: OSError and ValueError. The folder is gone then, whatever was in it."""
    try:
        _tell(Setup.read(folder), machine)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tell(setup: Setup, machine: Machine) -> None:
    environment = machine.environment
    built: list[Built] = []
    end = time.monotonic() + timeout(environment)
    for place in setup.builds():
        with faults_are_warnings(place.name):
            made = Made.read(place)
            built.append((made, _finished(made, end)))
    if not built:
        sys.stdout.write("layercache: no later step has built with the cache\n")
    detail = setup.inputs.text("summary") or default_summary(machine)
    if built and detail in SUMMARIES:
        with faults_are_warnings("the job summary"):
            toolkit.append_summary("\n".join(_summaries(built, detail, shown(setup.inputs))), environment)
    if built and setup.inputs.flag("comment"):
        with faults_are_warnings("the comment"):
            write_comment("\n".join(_summaries(built, "short", {})), environment)


def _finished(made: Made, end: float) -> Report:
    """The report of a build, when it is saved or the time is over."""
    if made.pid is not None:
        await_save(Background(made.pid, made.log), max(0.0, end - time.monotonic()))
        show_log(made.log, made.title)
    report = read_report(made.report)
    for warning in report.warnings:
        toolkit.warning(f"{made.title}: {warning}")
    if report.saved is None:
        toolkit.warning(f"{made.title}: the save did not come to its end; what it had finished stays")
    sys.stdout.write(f"{made.title}: {saved_line(report)}\n")
    return report


def _summaries(built: Sequence[Built], detail: str, settings: Mapping[str, str]) -> Iterator[str]:
    """One for each build, together no more than GitHub shows: then there is less of each, and then they are counted."""
    left = MOST
    for number, (made, report) in enumerate(built):
        text = job_summary(report, detail="full" if detail == "full" else "short", settings=settings, title=made.title)
        if len(text.encode()) >= left:
            text = job_summary(report, detail="short", title=made.title)
        if len(text.encode()) >= left:
            yield f"{len(built) - number} more builds are left out; the log has them."
            return
        left -= len(text.encode()) + 1
        yield text
