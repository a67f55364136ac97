"""The step after the job's other steps: it waits for what the main step left to be saved in the background, and says
what came of it. It never fails a job."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layercache_ci.action import toolkit
from layercache_ci.action.background import Background
from layercache_ci.action.given import remove_given
from layercache_ci.engines.scratch import release
from layercache_ci.errors import InputError
from layercache_ci.report.markdown import job_summary, saved_line
from layercache_ci.report.reading import read_report
from layercache_ci.settings import Machine, parse_age

TIMEOUT: Final = "LAYERCACHE_POST_TIMEOUT"
SECONDS: Final = 600.0
MOST_LOG: Final = 1 << 20
"""Bytes of the log of the save that are shown, the last ones."""


@dataclass(frozen=True, slots=True)
class State:
    """What the main step left: `folder` is its own, `report` is None where it never came to the end of a build;
    `warnings` counts those that it told the runner of."""

    folder: Path | None
    report: Path | None
    background: Background | None
    summary: bool
    comment: bool
    warnings: int
    unpushed: str
    """What it is kept by how later steps have pushed the image."""
    kept: str
    """What the image is in, which no later step needs now."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> State:
        names = ("folder", "pid", "report", "log", "summary", "comment", "warnings", "unpushed", "kept")
        folder, pid, report, log, summary, comment, warnings, unpushed, kept = (
            toolkit.get_state(name, environment) for name in names
        )
        return cls(
            folder=Path(folder) if folder else None,
            report=Path(report) if report else None,
            background=Background(int(pid), Path(log)) if pid.isdigit() and log else None,
            summary=summary in {"short", "full"},
            comment=comment == "true",
            warnings=int(warnings) if warnings.isdigit() else 0,
            unpushed=unpushed,
            kept=kept,
        )


def main() -> int:
    """Always 0: what goes wrong here is a warning."""
    with faults_are_warnings("post"):
        machine = Machine.read()
        environment = machine.environment
        if folder := toolkit.get_state("setup", environment):
            from layercache_ci.action.setup.finish import finish  # noqa: PLC0415 - a step has built, or has set up

            finish(Path(folder), machine)
        state = State.of(environment)
        try:
            if state.report is not None:
                _post(state, state.report, environment)
            if state.unpushed and state.folder is not None:
                from layercache_ci.action.pushes import keep_pushes  # noqa: PLC0415 - few steps leave an image

                keep_pushes(state.unpushed, state.folder, machine)
        finally:
            _remove_given(state)
            for lock in json.loads(state.kept or "[]"):
                release(Path(lock))
    return 0


def _remove_given(state: State) -> None:
    """What a step or a save that was killed has left."""
    if state.folder is not None and not (state.background and state.background.alive):
        remove_given(state.folder)


def _post(state: State, path: Path, environment: Mapping[str, str]) -> None:
    if state.background is not None:
        with faults_are_warnings("the save"):
            await_save(state.background, timeout(environment))
            show_log(state.background.log)
    report = read_report(path)
    for warning in report.warnings[state.warnings :]:
        toolkit.warning(warning)
    if report.saved is None:
        toolkit.warning("the save did not come to its end; what it had finished stays")
    line = saved_line(report)
    sys.stdout.write(f"{line}\n")
    if state.summary and state.background is not None:
        with faults_are_warnings("the job summary"):
            toolkit.append_summary(f"\n{line}\n", environment)
    if state.comment:
        with faults_are_warnings("the comment"):
            write_comment(job_summary(report, detail="short"), environment)


def await_save(background: Background, seconds: float) -> None:
    """To its end, which it is made to come to after so many seconds."""
    if not background.alive:
        return
    sys.stdout.write(f"layercache: waiting for the save (process {background.pid})\n")
    sys.stdout.flush()
    if not background.wait(seconds):
        how = background.stop()
        toolkit.warning(
            f"the save took more than {seconds:.0f} s and was stopped ({how}); what it had finished stays. "
            f"{TIMEOUT} gives it more time"
        )


def show_log(log: Path, whose: str = "layercache") -> None:
    """The log of the save, folded; nothing in it is obeyed. Raises OSError."""
    with log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - MOST_LOG))
        text = file.read()
    if not text:
        return
    with toolkit.group(f"{whose}: what the save said"), toolkit.stopped_commands():
        sys.stdout.flush()
        sys.stdout.buffer.write(text if text.endswith(b"\n") else text + b"\n")
        sys.stdout.buffer.flush()


def write_comment(text: str, environment: Mapping[str, str]) -> None:
    """Without the secrets of the step. Raises CacheError where GitHub does not take it."""
    from layercache_ci.action.comment import sticky_comment  # noqa: PLC0415 - few want one
    from layercache_ci.action.inputs import read_inputs  # noqa: PLC0415 - as above
    from layercache_ci.action.secret_files import masked  # noqa: PLC0415 - as above

    inputs = read_inputs(environment)
    sticky_comment(masked(text, inputs), environment, inputs.text("github-token") or "")


def timeout(environment: Mapping[str, str]) -> float:
    """Seconds that a save may take."""
    given = environment.get(TIMEOUT)
    try:
        return parse_age(given, name=TIMEOUT) if given else SECONDS
    except InputError as error:
        toolkit.warning(str(error))
        return SECONDS


@contextmanager
def faults_are_warnings(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the job's work is done, and nothing here may undo it
        toolkit.warning(f"{what}: {error}")
