"""Removing what an engine or a job leaves, while something of it may still be at work."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.waiting import until


def clear(folder: Path) -> None:
    """Unmounts everything under a folder and deletes it. Again where that fails: what ends with an engine may be
    writing, mounting or removing a part of it at the same time."""
    said = ""

    def removed() -> bool:
        nonlocal said
        unmount_below(folder)
        done = subprocess.run(["rm", "-rf", "--", folder], stderr=subprocess.PIPE, text=True, check=False)
        said = done.stderr
        return done.returncode == 0

    until(removed, told=lambda: said)


def unmount_below(folder: Path) -> None:
    """Unmounts everything under a folder. What was listed may be gone by then, and the list, read while others mount,
    may lack something: it is done when nothing is listed."""

    def unmounted() -> bool:
        points = mounted_below(folder)
        for point in points:
            subprocess.run(["umount", "--lazy", point], stderr=subprocess.DEVNULL, check=False)
        return not points

    until(unmounted, told=lambda: f"still mounted: {mounted_below(folder)}")


def mounted_below(folder: Path) -> list[str]:
    """The mount points under a folder, the innermost first."""
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [point for point in points if point.startswith(f"{folder}/")][::-1]
