"""Running an engine: its output goes through live, byte for byte, and is read on the way."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import BinaryIO, Final

from layercache_ci.errors import EngineError

PIECE: Final = 1 << 16


def ask(argv: Sequence[str], environment: Mapping[str, str], *, timeout: float = 60) -> str:
    """The standard output of a short command. Raises EngineError with the command's own last line where it fails."""
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise EngineError(f"{' '.join(argv[:3])}: {said[-1]}")
    return done.stdout


def stream(
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    on_line: Callable[[str], None],
    sink: BinaryIO | None,
) -> int:
    """Run `argv` to its end and give its exit code (128 + n for signal n, as shells do).

    Standard output is written to `sink` as it comes, whole or half lines alike, and handed to `on_line` line by line;
    standard error is the caller's own. SIGINT and SIGTERM go to the engine, which ends as it does without us.
    """
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(argv, env=environment, stdout=writing)
    except OSError as error:
        os.close(reading)
        raise EngineError(f"{argv[0]}: {error}") from error
    finally:
        os.close(writing)

    def forward(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _pump(reading, on_line, sink)
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
    return code if code >= 0 else 128 - code


def _pump(source: int, on_line: Callable[[str], None], sink: BinaryIO | None) -> None:
    rest = b""
    while piece := os.read(source, PIECE):
        if sink is not None:
            sink.write(piece)
            sink.flush()
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            on_line(line.decode("utf-8", "replace").rstrip("\r"))
    if rest:
        on_line(rest.decode("utf-8", "replace"))
