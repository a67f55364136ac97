"""The process that saves while the job's later steps run, seen from the post step, whose child it is not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

POLL: Final = 0.02
GRACE: Final = 5.0
"""Seconds that it is given to clean up where it is to end."""
STDOUT: Final = 1


@dataclass(frozen=True, slots=True)
class Background:
    """`pid` as the main step knew it; `log` is where that process writes."""

    pid: int
    log: Path

    @property
    def alive(self) -> bool:
        """Whether a process of that number writes to the log. One that is dead does not, waited for or not; and no more
        does another that was given the number since."""
        try:
            output = Path(f"/proc/{self.pid}/fd/{STDOUT}").stat()
            return os.path.samestat(output, self.log.stat())
        except OSError:
            return False

    def wait(self, seconds: float, sleep: Callable[[float], None] = time.sleep) -> bool:
        """Whether it ended within that time."""
        end = time.monotonic() + seconds
        while self.alive:
            left = end - time.monotonic()
            if left <= 0:
                return False
            sleep(min(POLL, left))
        return True

    def stop(self) -> Literal["ended", "killed"]:
        """It and what it started: it leads a process group. It may clean up first."""
        self._signal(signal.SIGINT)
        if self.wait(GRACE):
            return "ended"
        self._signal(signal.SIGKILL)
        self.wait(GRACE)
        return "killed"

    def _signal(self, number: signal.Signals) -> None:
        if self.alive:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)
