"""Memory in place of a disk for what lives as long as a test. An engine waits for the disk at each step of a build: in
memory a row of the scenario suite takes two thirds of the time."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.waiting import has_ended

GIB: Final = 1 << 30
SHARE: Final = 4
"""The part of the memory to spare that one process of a test run may fill: a quarter of it."""
LEAST: Final = 2 * GIB
"""Less is not worth having: an engine with the image of a builder takes half a gibibyte."""
SOURCE: Final = "layercache-lab-of-"
"""How such a mount is called in the table of mounts, before the id of the process that it is of."""
LIMITS: Final = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Files of cgroups, of version 2 and 1: what all in here may use, and what they do use."""


def mount_memory(point: Path, owner: int) -> bool:
    """Mounts a file system in memory on a folder, for as long as the process `owner` lives or until it is unmounted.
    False where this machine has too little to spare, or does not let us."""
    forget_abandoned()
    size = spare_memory() // SHARE
    if size < LEAST:
        return False
    options = f"size={size},mode=0755"
    argv = ["mount", "-t", "tmpfs", "-o", options, f"{SOURCE}{owner}", str(point)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def has_room(point: Path) -> bool:
    """Whether at least half of the file system is free: for engines that share it and are small."""
    usage = shutil.disk_usage(point)
    return usage.free * 2 >= usage.total


def spare_memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that may be used without harm, by what the machine and the control group we are in say."""
    available = re.search(r"^MemAvailable: +(\d+) kB$", (proc / "meminfo").read_text(), re.MULTILINE)
    spare = int(available[1]) * 1024 if available else 0
    for limit, used in LIMITS:
        # no such file, or `max`
        with contextlib.suppress(OSError, ValueError):
            spare = min(spare, int((cgroup / limit).read_text()) - int((cgroup / used).read_text()))
    return spare


def forget_abandoned() -> None:
    """Gives back the memory of runs that were killed."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        owner = words[-2].removeprefix(SOURCE)
        if words[-2].startswith(SOURCE) and owner.isdecimal() and has_ended(int(owner)):
            subprocess.run(["umount", "--lazy", words[4]], stderr=subprocess.DEVNULL, check=False)
