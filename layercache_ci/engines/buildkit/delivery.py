"""The way of a result from the engine's registry of ours into the daemon, and what is done where that leads nowhere."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from layercache_ci.engines.buildkit.load import Pull
from layercache_ci.engines.buildkit.run import EngineRun
from layercache_ci.engines.process import Running
from layercache_ci.errors import CacheError
from layercache_ci.settings import BuildSettings


@dataclass(frozen=True, slots=True)
class Delivered:
    """The exit code of it all, and that of the engine: one that ended well has built, even if somebody asked for an end
    before the daemon had it all. `fault` is why the result went as a tarball, where it did."""

    code: int
    ended: int
    fault: str | None = None


def deliver(
    pull: Pull,
    run: EngineRun,
    settings: BuildSettings,
    running: Running,
    code: int,
    *,
    cache_from: tuple[str, ...],
    built: Callable[[], None],
    sink: BinaryIO | None,
) -> Delivered:
    """Have the daemon pull what the engine, which ended with `code`, pushed to us. Where either failed, the engine
    sends what it has by then as a tarball, `built` being called before where it had built all of it. Raises
    EngineError."""
    fault: str | None = None
    try:
        if code:
            fault = run.failed_export(settings, pull.reached)
        else:
            pull.bring(run.metadata_file, settings.iidfile)
    except CacheError as error:
        fault = None if code else str(error)
    except KeyboardInterrupt:
        running.interrupted = signal.SIGINT
    except SystemExit as asked:  # handover.end
        running.interrupted = asked.code - 128 if isinstance(asked.code, int) else signal.SIGTERM
    if running.interrupted:
        return Delivered(128 + running.interrupted, code)
    if fault is None:
        return Delivered(code, code)
    if not code:
        built()
    again = run.start_again(settings, pull.reached, cache_from)
    code = again.follow(on_line=None, sink=sink)
    running.interrupted = again.interrupted
    return Delivered(code, code, fault)
