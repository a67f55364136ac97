"""The folders that a build needs while it runs, and what killed builds left of theirs."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KEPT: Final = b"kept"
KEPT_SECONDS: Final = 24 * 3600
"""What `--keep-store` left is needed by the rest of a job, and no job of a CI service is longer. Where it is known that
a job has ended (`release`) the next build removes it: a machine may have many jobs a day."""


@dataclass(frozen=True, slots=True)
class Place:
    """An image store and, beside it, the storage of the build. The lock is held as long as this process or a child of
    it lives, so that nobody takes them for left over."""

    lock: Path
    handle: int

    @property
    def image_store(self) -> Path:
        return self.lock.with_suffix(".images")

    @property
    def root(self) -> Path:
        return self.lock.with_suffix(".build")

    @property
    def configuration(self) -> Path:
        """The storage.conf by which engines find both."""
        return self.image_store / "storage.conf"

    def keep(self) -> None:
        """They are to stay for a while."""
        os.pwrite(self.handle, KEPT, 0)

    def discard(self) -> None:
        """Remove them in a process of its own, which nobody waits for: tens of thousands of files take seconds."""
        folders = self._folders()
        for folder in folders:
            unmount_below(folder)
        try:
            subprocess.Popen(
                ["rm", "-rf", "--", *folders, self.lock],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            self.remove()

    def remove(self) -> None:
        for folder in self._folders():
            unmount_below(folder)
            shutil.rmtree(folder, ignore_errors=True)
        self.lock.unlink(missing_ok=True)

    def _folders(self) -> list[Path]:
        """All of them, with an image store that was not finished."""
        return [self.root, self.image_store, *self.lock.parent.glob(f".{self.image_store.name}.*")]


def own(folder: Path) -> None:
    """Make that folder, ours alone. Its name is known to everybody and it lies where everybody may write: whose it is
    could put programs there that we run. Raises OSError where it is not ours."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "it is a link; set LAYERCACHE_SCRATCH to a folder of yours", folder)
    if found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "another user's; set LAYERCACHE_SCRATCH to a folder of yours", folder)
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(errno.EPERM, "others may write there; chmod go-w it, or remove it", folder)


def new_place(scratch: Path) -> Place:
    """A place that nobody else has; what was left over before is removed. Raises OSError."""
    own(scratch)
    for lock in scratch.glob("*.lock"):
        _sweep(lock)
    lock = scratch / f"{time.time_ns():x}-{os.getpid()}.lock"
    unlocked = lock.with_suffix(".new")  # under its name before it is locked, another build would take it for left over
    handle = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    unlocked.rename(lock)
    return Place(lock, handle)


def release(lock: Path) -> None:
    """What was kept by that lock is needed no more; nothing where it is gone."""
    with suppress(OSError):
        os.truncate(lock, 0)


def _sweep(lock: Path) -> None:
    """Remove what belongs to a lock that nobody holds, unless it was kept less than a day ago. It may be much, and this
    build need not wait for it."""
    try:
        handle = os.open(lock, os.O_RDWR)
    except OSError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        young = time.time() - os.fstat(handle).st_mtime < KEPT_SECONDS
        if not (young and os.pread(handle, len(KEPT), 0) == KEPT):
            Place(lock, handle).discard()
    except OSError:
        return
    finally:
        os.close(handle)


def unmount_below(folder: Path) -> None:
    """The overlay driver mounts its own home and leaves that so; a folder with a mount in it can't be removed. Without
    an umount on this machine it stays."""
    with Path("/proc/self/mounts").open() as mounts:
        places = [line.split(" ")[1].encode().decode("unicode_escape") for line in mounts]
    for place in sorted(places, key=len, reverse=True):
        if place.startswith(f"{folder}/"):
            with suppress(OSError):
                subprocess.run(["umount", place], check=False, capture_output=True)
