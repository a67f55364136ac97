"""Waiting for what happens in its own time: how long that takes on a busy machine is nobody's fault."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

SECONDS: Final = 180.0
"""After which it is taken for stuck."""
PAUSE: Final = 0.05


def until(happened: Callable[[], object], *, told: Callable[[], object] = lambda: "it never came") -> None:
    """Wait until that is true. Raises AssertionError, with what `told` says, where it stays false."""
    end = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < end, told()
        time.sleep(PAUSE)


def has_ended(pid: int) -> bool:
    """Whether a process is no more. The dead count, waited for or not: an orphan is waited for by the machine's first
    process, which in a container may never do so."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in {"Z", "X"}
