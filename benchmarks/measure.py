"""Runs a command and says what it cost, its children included."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class RunFailed(Exception):
    """A measured command ended with another exit code than 0."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds on the clock, and seconds of CPU (user and system) of the process and all that it waited for."""

    wall: float
    cpu: float


def measure(argv: Sequence[str], environment: Mapping[str, str], log: Path) -> Cost:
    """What the command cost; its output goes to log. Raises RunFailed with the end of that output."""
    os.sync()  # what others wrote is not to slow this one
    with log.open("wb") as output:
        begun = time.monotonic()
        process = subprocess.Popen(
            argv, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RunFailed(f"{' '.join(argv)}: exit code {process.returncode}\n{log.read_text()[-3000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime)
