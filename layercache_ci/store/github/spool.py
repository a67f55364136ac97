"""Where blobs wait for the record that names them: a folder for each process, and what killed ones left there."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

ABANDONED: Final = 86_400.0
"""Seconds without a write after which a spool is taken for the leftover of a killed job. A save writes all the time."""


def spool_folder(folder: Path, process: int) -> Path:
    return folder / f"github-{process}"


def remove_abandoned(folder: Path, now: float) -> None:
    """Rid a folder, which may not be there, of the spools that nobody writes to. What can't be removed stays."""
    for spool in folder.glob("github-*"):
        with suppress(OSError):
            if now - max(path.lstat().st_mtime for path in (spool, *spool.rglob("*"))) > ABANDONED:
                shutil.rmtree(spool)
