from __future__ import annotations

import fcntl
import io
import os
import stat
import time
from pathlib import Path

import pytest

from layercache_ci.engines.scratch import KEPT_SECONDS, Place, new_place, release
from tests.waiting import until

nobody_waits = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""For what removes folders, which Python thinks somebody should."""


def fill(place: Place) -> None:
    for folder in (place.image_store, place.root):
        folder.mkdir()
        (folder / "file").write_text("x")


def test_places_are_apart_and_removed_whole(tmp_path: Path) -> None:
    one, other = new_place(tmp_path), new_place(tmp_path)
    fill(one)
    fill(other)
    one.remove()
    assert sorted(tmp_path.iterdir()) == sorted([other.lock, other.image_store, other.root])


@nobody_waits
def test_what_a_dead_process_left_is_removed_and_what_is_in_use_stays(tmp_path: Path) -> None:
    dead, alive = new_place(tmp_path), new_place(tmp_path)
    fill(dead)
    fill(alive)
    unfinished = tmp_path / f".{dead.image_store.name}.abcd"
    unfinished.mkdir()
    os.close(dead.handle)  # as the end of a process does
    new_place(tmp_path)
    until(lambda: not any(path.exists() for path in (dead.root, dead.image_store, unfinished, dead.lock)))
    assert (alive.root / "file").exists()


def test_a_build_that_begins_while_a_place_is_made_does_not_remove_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_it = fcntl.flock
    others: list[Place] = []

    def flock(handle: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock_it)
        others.append(new_place(tmp_path))
        lock_it(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    places = [new_place(tmp_path), *others, new_place(tmp_path)]

    assert len(places) == 3
    assert sorted(tmp_path.iterdir()) == sorted(place.lock for place in places)


@nobody_waits
def test_what_is_kept_stays_for_a_day(tmp_path: Path) -> None:
    kept = new_place(tmp_path)
    fill(kept)
    kept.keep()
    os.close(kept.handle)
    new_place(tmp_path)
    assert (kept.image_store / "file").exists()
    before = time.time() - KEPT_SECONDS - 1
    os.utime(kept.lock, (before, before))
    new_place(tmp_path)
    until(lambda: not any(path.exists() for path in (kept.image_store, kept.root, kept.lock)))


@nobody_waits
def test_what_is_released_is_removed_by_the_next_build_unless_somebody_still_has_it(tmp_path: Path) -> None:
    kept, used = new_place(tmp_path), new_place(tmp_path)
    for place in (kept, used):
        fill(place)
        place.keep()
        release(place.lock)
    os.close(kept.handle)
    new_place(tmp_path)
    until(lambda: not any(path.exists() for path in (kept.image_store, kept.root, kept.lock)))
    assert (used.image_store / "file").exists()
    release(kept.lock)
    assert not kept.lock.exists()


def test_a_machine_without_programs_for_it_removes_what_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No rm, no umount, and a mount that is left: no reason for a build to fail."""
    place = new_place(tmp_path)
    fill(place)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.setattr(Path, "open", lambda *_: io.StringIO(f"overlay {place.root}/root overlay rw 0 0\n"))
    place.discard()
    assert list(tmp_path.iterdir()) == []


def test_it_is_made_for_nobody_else(tmp_path: Path) -> None:
    new_place(tmp_path / "deep/scratch")
    assert stat.S_IMODE((tmp_path / "deep/scratch").stat().st_mode) == 0o700


def test_a_folder_that_others_may_write_is_not_taken(tmp_path: Path) -> None:
    """The name is known: who made it before us could put programs there that we run."""
    for mode in (0o777, 0o1777, 0o770):
        tmp_path.chmod(mode)
        with pytest.raises(PermissionError, match="others may write there"):
            new_place(tmp_path)
    tmp_path.chmod(0o755)
    new_place(tmp_path)


def test_a_folder_of_somebody_else_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="another user's; set LAYERCACHE_SCRATCH"):
        new_place(tmp_path)


def test_a_link_is_not_taken(tmp_path: Path) -> None:
    """It would lead to a folder of ours, as long as its maker wants."""
    (tmp_path / "ours").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("ours")
    with pytest.raises(NotADirectoryError, match="it is a link"):
        new_place(tmp_path / "link")
