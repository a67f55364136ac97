"""What killed jobs leave behind on a runner that keeps its disk."""

from __future__ import annotations

import os
import time
from pathlib import Path

from layercache_ci.store.github import open_github
from layercache_ci.store.github.spool import ABANDONED
from layercache_ci.store.model import Scopes

MAIN = Scopes(("main",), "main")


def spool(folder: Path, process: int, *, age: float, latest: float) -> Path:
    """Of a process, all of it `age` seconds old but for one blob."""
    place = folder / f"github-{process}"
    blob = place / "lc1/blobs/sha256/aa"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"blob")
    now = time.time()
    for path in (*place.rglob("*"), place):
        os.utime(path, (now - age, now - age))
    os.utime(blob, (now - latest, now - latest))
    return place


def test_a_spool_that_nobody_wrote_to_for_a_day_goes(tmp_path: Path) -> None:
    old = spool(tmp_path, 1, age=9 * ABANDONED, latest=ABANDONED + 60)
    used = spool(tmp_path, 2, age=9 * ABANDONED, latest=ABANDONED - 60)
    local = tmp_path / "lc1/blobs/sha256/bb"
    local.parent.mkdir(parents=True)
    local.write_bytes(b"of the local store")
    os.utime(local, (0, 0))

    open_github("", environment={}, scopes=MAIN, folder=tmp_path)

    assert not old.exists()
    assert (used / "lc1/blobs/sha256/aa").read_bytes() == b"blob"
    assert local.exists()


def test_opening_a_store_makes_nothing(tmp_path: Path) -> None:
    open_github("", environment={}, scopes=MAIN, folder=tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
