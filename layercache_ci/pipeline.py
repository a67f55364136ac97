"""inputs → plan → restore → build → save → report: the five stages in their order, and nothing else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from layercache_ci.engines import prepare
from layercache_ci.engines.protocol import Build
from layercache_ci.errors import EngineError
from layercache_ci.report.model import Report, Seconds
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


def build(settings: BuildSettings, machine: Machine, *, say: Callable[[str], None]) -> int:
    """Build, and give the exit code: the engine's own. `say` gets our lines for people. Raises InputError and, where
    the engine can't be run, EngineError."""
    clock = Clock()
    with clock.stage("plan"):
        run = prepare(settings, machine)
        run.plan()
    try:
        with clock.stage("restore"):
            run.restore()
        with clock.stage("build"):
            code = _run(run, settings, say)
        report = _report(run, code, clock)
        _write(report, settings, say)
        with clock.stage("save"):
            saved = run.save()
    finally:
        run.close()
    report = replace(report, saved=not saved.warnings, bytes_saved=saved.size, seconds=clock.seconds())
    report = report.warn(*saved.warnings)
    _write(report, settings, say)
    for warning in report.warnings:
        say(f"warning: {warning}")
    for line in summary(report):
        say(line)
    return code


def _run(run: Build, settings: BuildSettings, say: Callable[[str], None]) -> int:
    sink: BinaryIO | None = None if settings.quiet else sys.stdout.buffer
    code = run.run(sink)
    if code == 0:
        try:
            run.finish()
        except EngineError as error:
            say(f"error: {error}")
            return ENGINE_FAILED
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


def _write(report: Report, settings: BuildSettings, say: Callable[[str], None]) -> None:
    if settings.report is None:
        return
    try:
        report.write(settings.report)
    except OSError as error:
        say(f"warning: --report {settings.report}: {error}")
