"""A daemon in the background: it is up when its socket answers, is stopped by its own pid, and dies with the tests."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

START: Final = 180.0
"""Seconds that a daemon has to come up in, and to go down: the machine may be busy."""


@contextlib.contextmanager
def running(
    argv: Sequence[str | Path],
    log: Path,
    *,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
    orphaned: Literal["TERM", "KILL"] = "TERM",
) -> Iterator[subprocess.Popen[bytes]]:
    """The started process, once ready() says so. Raises RuntimeError with its log when it ends or stays unready.

    It gets the signal `orphaned` when the thread that started it ends: start it in the main thread.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", orphaned, "--", *argv],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{argv[0]} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=START)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(path: Path) -> Callable[[], bool]:
    """Whether somebody listens on that Unix socket."""

    def connect() -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(path)) == 0

    return connect
