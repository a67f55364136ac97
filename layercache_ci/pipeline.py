"""inputs → plan → restore → build → save → report: the five stages in their order, and nothing else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from layercache_ci.engines import prepare
from layercache_ci.engines.protocol import NOT_SAVED, Build, Saved
from layercache_ci.engines.scratch import own
from layercache_ci.errors import EngineError
from layercache_ci.handover import Cancellation, detach
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

    def seconds(self, launched: float | None) -> Seconds:
        now = time.monotonic()
        return Seconds(before=(launched or now) - self.started, **self.spent, total=now - self.started)


@dataclass(slots=True)
class Course:
    """How far a build came, for whoever goes on where it broke off: whether the engine was started, and its exit code
    where it came to its end."""

    launched: bool = False
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a build: `code` is the engine's own exit code. Where it is being saved by another process, `pid` is
    that one's, its output goes to `log`, and `report` is what was known before. `later` are variables that later
    commands of the job need to find the image; `unpushed` and `kept` are as protocol.Build's."""

    code: int
    report: Report
    pid: int | None = None
    log: Path | None = None
    later: Mapping[str, str] = field(default_factory=dict)
    unpushed: Sequence[Mapping[str, object]] = ()
    kept: Sequence[Path] = ()


def build(
    settings: BuildSettings,
    machine: Machine,
    *,
    voice: Voice,
    log: Path | None = None,
    cancellation: Cancellation | None = None,
    course: Course | None = None,
) -> Result:
    """Build, report, and save: in the background where the settings don't wait for it, its output going to `log` (or a
    file in the machine's scratch folder). The process that saves ends there, by SystemExit, and never comes back.
    A `cancellation` is put off then, and the caller admits it.

    Raises InputError and, where the engine can't be run, EngineError.
    """
    clock = Clock()
    with clock.stage("plan"), voice.doing("planning"):
        run = prepare(settings, machine)
    try:
        with clock.stage("plan"), voice.doing("planning"):
            _guard(run, run.begin)
            _guard(run, run.plan)
        with clock.stage("restore"), voice.doing("restoring"):
            _guard(run, run.restore)
        with clock.stage("build"):
            code = _run(run, settings, voice, course or Course())
        if cancellation is not None and not settings.wait:
            cancellation.put_off()
    except BaseException:
        run.close()
        raise
    report = _report(run, code, clock)
    _write(report, settings, voice)
    for note in run.notes:
        voice.say(note)
    if settings.wait:
        return _waited(run, _complete(run, report, clock, settings, voice))
    try:
        if log is None:
            own(machine.scratch)
            log = machine.scratch / "save.log"
        child = detach(log)
    except OSError as error:
        voice.say(f"warning: saving here, not in the background: {error}")
        _admit(run, cancellation)
        return _waited(run, _complete(run, report, clock, settings, voice))
    if child:
        voice.say(f"saving in the background: process {child}, its output in {log}")
        return Result(code, report, child, log, run.later, run.unpushed, run.kept)
    if cancellation is not None:
        cancellation.forget()
    _complete(run, report, clock, settings, voice)
    sys.exit(0)


def _waited(run: Build, report: Report) -> Result:
    return Result(report.exit_code, report, later=run.later, unpushed=run.unpushed, kept=run.kept)


def _guard(run: Build, stage: Callable[[], None]) -> None:
    """No fault of ours may fail a build, not even one that nobody thought of."""
    try:
        stage()
    except Exception as error:  # noqa: BLE001 - the build goes on without the cache
        run.abandon(f"built without the cache: {type(error).__name__}: {error}")


def _complete(run: Build, report: Report, clock: Clock, settings: BuildSettings, voice: Voice) -> Report:
    """Save, and write the report again with what came of it."""
    known = len(run.warnings)
    try:
        with clock.stage("save"), voice.doing("saving"):
            saved = run.save()
    except Exception as error:  # noqa: BLE001 - as above: the image is there
        saved = Saved.failed(f"{type(error).__name__}: {error}")
    finally:
        _close(run)
    report = replace(report, saved=saved.complete, bytes_saved=saved.size, seconds=clock.seconds(run.launched))
    report = report.warn(*run.warnings[known:])
    # what kept it from being restored is said already
    report = report.warn(*(one for one in saved.warnings if one.removeprefix(NOT_SAVED) not in report.warnings))
    _write(report, settings, voice)
    for line in (*(f"warning: {warning}" for warning in report.warnings), *summary(report)):
        voice.say(line)
    return report


def _admit(run: Build, cancellation: Cancellation | None) -> None:
    """There is no other process that whoever cancels would have to be told of."""
    try:
        if cancellation is not None:
            cancellation.admit()
    except BaseException:
        run.close()
        raise


def _close(run: Build) -> None:
    try:
        run.close()
    except Exception as error:  # noqa: BLE001 - as above
        run.warnings.append(f"what only the build needed is still there: {type(error).__name__}: {error}")


def _run(run: Build, settings: BuildSettings, voice: Voice, course: Course) -> int:
    sink: BinaryIO | None = None if settings.quiet else sys.stdout.buffer
    try:
        code = course.code = run.run(sink)
    finally:
        course.launched = run.launched is not None
    if code == 0:
        try:
            with voice.doing("finishing the image"):
                run.finish()
        except EngineError as error:
            course.code = ENGINE_FAILED
            voice.say(f"error: {error}")
            return ENGINE_FAILED
        if settings.quiet and run.image_id is not None:
            print(run.image_id)  # noqa: T201 - what --quiet promises
    return code


def _report(run: Build, code: int, clock: Clock) -> Report:
    try:
        stages = run.stages()
    except Exception as error:  # noqa: BLE001 - as above
        stages = ()
        run.warnings.append(f"what came of each step is not known: {type(error).__name__}: {error}")
    return Report(
        engine=run.engine_name,
        engine_version=run.engine_version,
        transport=run.transport,
        exit_code=code,
        failed_in="engine" if code else None,
        stages=stages,
        bytes_restored=run.bytes_restored,
        seconds=clock.seconds(run.launched),
        warnings=tuple(run.warnings),
    )


def _write(report: Report, settings: BuildSettings, voice: Voice) -> None:
    if settings.report is None:
        return
    try:
        report.write(settings.report)
    except OSError as error:
        voice.say(f"warning: --report {settings.report}: {error}")
