"""A save is handed to a process of its own: how they part, and how no cancellation comes between."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

STANDARD: Final = 2
"""The last of the descriptors that every process has."""
ENDS: Final = (signal.SIGINT, signal.SIGTERM)
"""What a cancelled job sends."""


@dataclass(slots=True)
class Cancellation:
    """Puts off an end that is asked for while the save is handed to a process of its own, until whoever waits for that
    one was told of it: it would be lost."""

    _handlers: dict[int, Any] = field(default_factory=dict)
    _came: list[int] = field(default_factory=list)

    def put_off(self) -> None:
        """From now on."""
        self._handlers = {number: signal.signal(number, self._note) for number in ENDS}

    def admit(self) -> None:
        """What was asked for meanwhile happens now. Does nothing where nothing was put off."""
        self.forget()
        if self._came:
            signal.raise_signal(self._came.pop(0))

    def forget(self) -> None:
        """It is another process that was asked."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._came.append(number)


def end(number: int, _frame: FrameType | None) -> NoReturn:
    """The handler of a signal that asks for our end: what only the build needed, and the engine, go with us."""
    sys.exit(128 + number)


def detach(log: Path) -> int:
    """Go on twice: in this process with the other's pid, and with 0 in a session of its own whose output goes to `log`,
    so that nobody who waits for our output to end, or for a lock that we were given (`flock`), waits for it. Raises
    OSError, in this process alone."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    # before they part: the other one has nobody to tell
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            child = os.fork()
            if child == 0:
                os.setsid()
                for source, target in ((nothing, 0), (output, 1), (output, 2)):
                    os.dup2(source, target)
                _close_given()
        finally:
            os.close(nothing)
    finally:
        os.close(output)
    return child


def _close_given() -> None:
    """The descriptors that whoever started us left open. Python's own are not inheritable."""
    with suppress(OSError):
        for number in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - numbers
            with suppress(OSError):  # the folder's own is closed by now
                if number > STANDARD and os.get_inheritable(number):
                    os.close(number)
