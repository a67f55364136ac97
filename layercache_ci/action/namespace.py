"""For an ordinary user Podman's and Buildah's files are only readable in a user namespace of theirs: the step starts
anew in it, and the first process stays to hand on what a cancelled job sends. The engine's `unshare`, between the two,
would end by it and leave the build to itself."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final

from layercache_ci.errors import EngineError
from layercache_ci.settings import EngineChoice, Machine

PID_FILE: Final = "LAYERCACHE_PID_FILE"
"""The variable that names where the process inside is to write which one it is."""


def run_inside(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run `command`, whose innermost process calls `announce`, and give its exit code. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix="layercache-") as folder:
        file = Path(folder) / "pid"
        process = subprocess.Popen(command, env={**environment, PID_FILE: str(file)}, close_fds=False)

        def hand_on(number: int, _frame: FrameType | None) -> None:
            with suppress(ProcessLookupError):
                os.kill(_announced(file) or process.pid, number)

        before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            code = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def started_inside(engine: EngineChoice, machine: Machine, environment: Mapping[str, str]) -> int | None:
    """The exit code of this process, started anew with that environment where the engine's files can be read; None
    where this one goes on."""
    if engine == "buildkit" or machine.uid == 0:
        return None
    from layercache_ci.engines.containers.engine import command_inside  # noqa: PLC0415 - only for them

    try:
        return run_inside(command_inside(engine, machine), environment)
    except (EngineError, OSError):
        return None  # the build says why it has no cache


def announce(environment: Mapping[str, str]) -> None:
    """Say which process is to be told of signals."""
    if file := environment.get(PID_FILE):
        with suppress(OSError):
            Path(file).write_text(f"{os.getpid()}\n")


def _announced(file: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int(file.read_text())
    return None
