"""The folder of a local store: how files are made to appear in it whole, its lock, its size and its faults.

Nothing is synced to disk. A file appears by rename, so that a killed process leaves it whole or not at all; after a
power cut a file may be short or wrong, and that is found out as any other damage is: by size and digest, when it is
read. A cache that ships such a blob again is cheaper than one that waits for the disk at every layer.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from layercache_ci.errors import StoreUnavailable

T = TypeVar("T")

LAYOUT: Final = "lc1"
"""The prefix of everything: a layout that reads differently gets another one."""

STALE: Final = 3600.0
"""Seconds without a write after which a temporary file is taken for the leftover of a killed process."""

LOCK_PATIENCE: Final = 60.0
"""Seconds that a writer waits for another: the lock is held for moments only, so more means that its holder hangs."""

AT_ONCE: Final = 256 << 10
"""Bytes of a write: in one of 1 MiB a byte costs the kernel almost three times as much (ext4, Linux 6.18)."""

_SIZE: Final = b"%020d\n"
"""Always as long, so that it can be written over in one call; anything else is not read as a size."""

_CAUSES: Final = {
    errno.ENOSPC: ("no space is left on its disk", "free some"),
    errno.EDQUOT: ("its disk quota is used up", "free some"),
    errno.EACCES: ("permission was denied", "let this user read and write it"),
    errno.EPERM: ("permission was denied", "let this user read and write it"),
    errno.EROFS: ("it is on a read-only file system", "mount it writable"),
    errno.ENOTDIR: ("a file stands where a folder should be", "move the file away"),
    errno.EEXIST: ("a file stands where a folder should be", "move the file away"),
    errno.ENOENT: ("its folder was removed meanwhile", "leave it in place while builds run"),
    errno.EISDIR: ("a folder stands where a file should be", "move the folder away"),
}


class Folder:
    """`<root>/lc1` and what all its parts share. Making one touches nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._base = root / LAYOUT

    def path(self, name: str) -> Path:
        return self._base / name

    @contextmanager
    def faults(self) -> Iterator[None]:
        """An OSError becomes StoreUnavailable: one line with cause and remedy."""
        try:
            yield
        except OSError as error:
            cause, remedy = _CAUSES.get(error.errno or 0, (error.strerror or str(error), "check its disk"))
            raise StoreUnavailable(
                f"the store in {self.root} can't be used: {cause} ({remedy}, or choose another folder with "
                "--store local:DIR)"
            ) from error

    def _made(self, name: str, make: Callable[[Path], T]) -> T:
        """`make(path)`; where its folder is not there yet, that is made first."""
        path = self.path(name)
        try:
            return make(path)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            return make(path)

    def temporary(self) -> tuple[Path, BinaryIO]:
        """A new file that nobody sees: its path, and the file, unbuffered."""
        name = f"tmp/{os.urandom(16).hex()}"
        file: BinaryIO = self._made(name, lambda path: path.open("xb", buffering=0))
        return self.path(name), file

    def publish(self, temporary: Path, name: str) -> None:
        """Let a finished temporary file appear as `name`, in place of what is there."""
        self._made(name, temporary.replace)

    def write(self, name: str, data: bytes) -> None:
        """Let a small file appear whole."""
        temporary, file = self.temporary()
        try:
            with file:
                write_all(file, memoryview(data))
            self.publish(temporary, name)
        except BaseException:
            remove(temporary)
            raise

    def point(self, name: str, target: str) -> None:
        """Let a symbolic link appear: atomic, and it takes no block of the disk."""
        temporary = f"tmp/{os.urandom(16).hex()}"
        self._made(temporary, lambda path: path.symlink_to(target))
        try:
            self.publish(self.path(temporary), name)
        except BaseException:
            remove(self.path(temporary))
            raise

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One writer at a time, of all threads and processes; given up by the kernel when its holder dies."""
        descriptor = self._made("lock", lambda path: os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666))
        try:
            self._acquire(descriptor)
            try:
                yield
            finally:
                # A process forked meanwhile shares the open file: closing ours alone would not unlock.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _acquire(self, descriptor: int) -> None:
        end = time.monotonic() + LOCK_PATIENCE
        pause = 0.0005
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise StoreUnavailable(
                        f"the store in {self.root} is locked by another process for more than {LOCK_PATIENCE:.0f} s "
                        f"(find the one that holds {self.path('lock')}, or choose another folder with "
                        "--store local:DIR)"
                    ) from None
                time.sleep(pause)
                pause = min(2 * pause, 0.02)
            else:
                return

    def size(self) -> int | None:
        """Bytes held, as last counted and added to; never less than what is there. None: not known, count."""
        try:
            return int(self.path("size").read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def set_size(self, size: int) -> None:
        """Under the lock."""
        self.write("size", _SIZE % size)

    def grow(self, size: int) -> None:
        """Under the lock, before the bytes appear: killed between the two, we count too much, never too little."""
        known = self.size()
        if known is not None:
            with self.path("size").open("r+b", buffering=0) as file:
                file.write(_SIZE % (known + size))

    def clean(self, now: float) -> None:
        """Remove what killed writers left."""
        with suppress(FileNotFoundError), os.scandir(self.path("tmp")) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if now - entry.stat(follow_symlinks=False).st_mtime > STALE:
                        remove(Path(entry.path))


def remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def write_all(file: BinaryIO, data: memoryview) -> None:
    """All of `data` into an unbuffered file, which may take less at once."""
    while data:
        data = data[file.write(data[:AT_ONCE]) :]


def folder_name(text: str) -> str:
    """A file name for a name that may hold anything, also where the file system ignores case; readable at its start."""
    readable = re.sub(r"[^a-z0-9]+", "-", text.lower())[:40].strip("-")
    return f"{readable}-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"
