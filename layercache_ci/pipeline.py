"""inputs → plan → restore → build → save → report: the five stages in their order, and nothing else."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from layercache_ci.engines import prepare
from layercache_ci.engines.protocol import Build, Saved
from layercache_ci.errors import EngineError
from layercache_ci.report.model import Report, Seconds
from layercache_ci.report.progress import Voice
from layercache_ci.report.text import summary
from layercache_ci.settings import BuildSettings, Machine

ENGINE_FAILED = 125
"""What Podman and Buildah exit with where it is they, not the build, that failed."""


@dataclass(slots=True)
class Clock:
    """Seconds spent in each stage."""

    started: float = field(default_factory=time.monotonic)
    spent: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self.spent[name] = self.spent.get(name, 0.0) + time.monotonic() - begun

    def seconds(self) -> Seconds:
        return Seconds(**self.spent, total=time.monotonic() - self.started)


def build(settings: BuildSettings, machine: Machine, *, voice: Voice) -> int:
    """Build, and give the exit code: the engine's own. Raises InputError and, where
    the engine can't be run, EngineError."""
    clock = Clock()
    with clock.stage("plan"), voice.doing("planning"):
        run = prepare(settings, machine)
        _guard(run, run.plan)
    with clock.stage("restore"), voice.doing("restoring"):
        _guard(run, run.restore)
    try:
        with clock.stage("build"):
            code = _run(run, settings, voice)
    except BaseException:
        run.close()
        raise
    report = _report(run, code, clock)
    _write(report, settings, voice)
    for note in run.notes:
        voice.say(note)
    log = machine.scratch / "save.log"
    if not settings.wait and (child := detach(log)):
        voice.say(f"saving in the background: process {child}, its output in {log}")
        return code
    _complete(run, report, clock, settings, voice)
    return code


def _guard(run: Build, stage: Callable[[], None]) -> None:
    """No fault of ours may fail a build, not even one that nobody thought of."""
    try:
        stage()
    except Exception as error:  # noqa: BLE001 - the build goes on without the cache
        run.abandon(f"built without the cache: {type(error).__name__}: {error}")


def _complete(run: Build, report: Report, clock: Clock, settings: BuildSettings, voice: Voice) -> None:
    """Save, and write the report again with what came of it."""
    try:
        with clock.stage("save"), voice.doing("saving"):
            saved = run.save()
    except Exception as error:  # noqa: BLE001 - as above: the image is there
        saved = Saved(complete=False, warnings=(f"not saved: {type(error).__name__}: {error}",))
    finally:
        run.close()
    report = replace(report, saved=saved.complete, bytes_saved=saved.size, seconds=clock.seconds())
    report = report.warn(*saved.warnings)
    _write(report, settings, voice)
    for line in (*(f"warning: {warning}" for warning in report.warnings), *summary(report)):
        voice.say(line)


def detach(log: Path) -> int:
    """Go on twice: in this process with the other's pid, and with 0 in a session of its own whose output goes to `log`,
    so that nobody who waits for our output to end waits for it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.setsid()
        with log.open("ab", buffering=0) as output, open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a device
            os.dup2(nothing.fileno(), 0)
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
    return child


def _run(run: Build, settings: BuildSettings, voice: Voice) -> int:
    sink: BinaryIO | None = None if settings.quiet else sys.stdout.buffer
    code = run.run(sink)
    if code == 0:
        try:
            with voice.doing("bringing the image into the storage"):
                run.finish()
        except EngineError as error:
            voice.say(f"error: {error}")
            return ENGINE_FAILED
        if settings.quiet and run.image_id is not None:
            print(run.image_id)  # noqa: T201 - what --quiet promises
    return code


def _report(run: Build, code: int, clock: Clock) -> Report:
    return Report(
        engine=run.engine_name,
        engine_version=run.engine_version,
        transport=run.transport,
        exit_code=code,
        failed_in="engine" if code else None,
        stages=run.stages(),
        bytes_restored=run.bytes_restored,
        seconds=clock.seconds(),
        warnings=tuple(run.warnings),
    )


def _write(report: Report, settings: BuildSettings, voice: Voice) -> None:
    if settings.report is None:
        return
    try:
        report.write(settings.report)
    except OSError as error:
        voice.say(f"warning: --report {settings.report}: {error}")
