"""Running an engine: its output goes through live, byte for byte, and is read on the way."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import BinaryIO, Final

from layercache_ci.errors import EngineError

PIECE: Final = 1 << 16
LINE: Final = 1 << 20
"""Bytes."""
GRACE: Final = 30
"""Seconds that an engine which nobody follows has to end by itself."""
POLL: Final = 200
"""Milliseconds."""


def ask(argv: Sequence[str], environment: Mapping[str, str], *, timeout: float = 60) -> str:
    """The standard output of a short command. Raises EngineError with the command's own last line where it fails."""
    try:
        done = subprocess.run(
            argv, env=environment, capture_output=True, encoding="utf-8", errors="replace", timeout=timeout, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise EngineError(f"{' '.join(argv[:3])}: {said[-1]}")
    return done.stdout


@dataclass(slots=True)
class Running:
    """A process that was started, and the end of the pipe that its standard output comes by."""

    process: subprocess.Popen[bytes]
    output: int
    interrupted: int = 0
    """The signal by which somebody asked it to end."""

    def follow(self, *, on_line: Callable[[str], None] | None, sink: BinaryIO | None) -> int:
        """Stay with it to its end and give its exit code (128 + n for signal n, as shells do).

        Its output is written to `sink` as it comes, whole or half lines alike, and handed to `on_line` line by line,
        one that is longer than LINE bytes in several parts: it may be a file (`--output -`).
        SIGINT and SIGTERM go to the engine, which ends as it does without us; only that Podman says then that all went
        well, which is no result. What it leaves running then (Buildah may leave what RUN started) holds its output, and
        is not waited for.
        """

        def forward(number: int, _frame: FrameType | None) -> None:
            self.interrupted = number
            self.process.send_signal(number)

        before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            _pump(self.output, on_line, sink, self._was_interrupted)
            code = self.process.wait()
        except BaseException:
            self._end()
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self.output)
        if code < 0:
            return 128 - code
        return 128 + self.interrupted if self.interrupted and code == 0 else code

    def _was_interrupted(self) -> bool:
        return self.interrupted != 0 and self.process.poll() is not None

    def stop(self) -> None:
        """Instead of following it."""
        self._end()
        os.close(self.output)

    def _end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def launch(argv: Sequence[str], environment: Mapping[str, str]) -> Running:
    """Start `argv`, whose standard error is the caller's own. Raises EngineError."""
    reading, writing = os.pipe()
    try:
        # descriptors that we were given are the engine's (`--secret src=/dev/fd/63`); Python's own are closed by exec
        return Running(subprocess.Popen(argv, env=environment, stdout=writing, close_fds=False), reading)
    except OSError as error:
        os.close(reading)
        raise EngineError(f"{argv[0]}: {error}") from error
    finally:
        os.close(writing)


def stream(
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    on_line: Callable[[str], None],
    sink: BinaryIO | None,
) -> int:
    """`launch` and `follow`."""
    return launch(argv, environment).follow(on_line=on_line, sink=sink)


def _pump(
    source: int, on_line: Callable[[str], None] | None, sink: BinaryIO | None, given_up: Callable[[], bool]
) -> None:
    rest = b""
    for piece in _pieces(source, given_up):
        if sink is not None:
            sink.write(piece)
            sink.flush()
        if on_line is None:
            continue
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LINE:
            lines.append(rest)
            rest = b""
        for line in lines:
            on_line(line.decode("utf-8", "replace").rstrip("\r"))
    if rest and on_line is not None:
        on_line(rest.decode("utf-8", "replace"))


def _pieces(source: int, given_up: Callable[[], bool]) -> Iterator[bytes]:
    """Until its end, or until nothing more comes of what was given up."""
    ready = select.poll()
    ready.register(source, select.POLLIN)
    while True:
        if ready.poll(POLL):
            if not (piece := os.read(source, PIECE)):
                return
            yield piece
        elif given_up():
            return
