"""Content hashes of context files, in parallel, with a cache for runners that keep their disk."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

from layercache_ci.dockerfile.context import Entry, Fingerprint
from layercache_ci.errors import InputError

_PIECE: Final = 1 << 20
_BATCH: Final = 64
_RACY_NS: Final = 2_000_000_000
"""A file may change twice within one tick of its clock; so what was touched just before it was read is not cached."""
_FORGET_AFTER_SECONDS: Final = 30 * 86400
_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, stat TEXT, sha256 TEXT, used INTEGER)"

Hashed = tuple[str, Fingerprint, str]
"""Absolute path, what its stat said, sha256."""


class StatCache:
    """Remembers the hash of each file by (absolute path, device, inode, size, mtime, ctime), in one SQLite file.

    Several processes may share it. Whatever is wrong with it, it is then an empty cache: nothing here raises.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def known(self, root: Path) -> Mapping[str, tuple[str, str]]:
        """Absolute path → (fingerprint as text, sha256) of all that is known below `root`."""
        try:
            with closing(self._open()) as connection:
                prefix = _text(f"{root}/")
                rows = connection.execute(
                    "SELECT path, stat, sha256 FROM files WHERE path >= ? AND path < ?", (prefix, prefix[:-1] + "0")
                )
                return {path: (status, sha256) for path, status, sha256 in rows}
        except (sqlite3.Error, OSError):
            return {}

    def remember(self, files: Iterable[Hashed], *, still_used: Iterable[str] = ()) -> None:
        """Adds or replaces `files`, renews the paths `still_used`, and drops what nobody asked for in 30 days."""
        now = int(time.time())
        rows = [(_text(path), as_text(status), sha256, now) for path, status, sha256 in files]
        try:
            with closing(self._open()) as connection, connection:
                connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)
                connection.executemany(
                    "UPDATE files SET used = ? WHERE path = ? AND used < ?",
                    ((now, _text(path), now - 86400) for path in still_used),
                )
                connection.execute("DELETE FROM files WHERE used < ?", (now - _FORGET_AFTER_SECONDS,))
        except sqlite3.OperationalError:
            return  # locked, read-only or full: as good as no cache, but the file is sound
        except (sqlite3.Error, OSError):
            self._path.unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=2)
        connection.execute(_SCHEMA)
        return connection


def as_text(fingerprint: Fingerprint) -> str:
    """Inode numbers need not fit SQLite's integers."""
    return ":".join(map(str, fingerprint))


def hash_files(root: Path, entries: Iterable[Entry], *, cache: StatCache | None, workers: int) -> dict[str, str]:
    """The sha256 (hex) of the content of each entry of type `file`, by its path.

    A fifo, socket or device has no content: the hash is that of its kind. Memory is bounded by 1 MiB a worker. Raises
    InputError, naming the file, where one vanished or can't be read.
    """
    base = Path(os.path.realpath(root))
    files = [entry for entry in entries if entry.type == "file"]
    known = cache.known(base) if cache else {}
    hashes: dict[str, str] = {}
    unknown: list[Entry] = []
    for entry in files:
        held = known.get(_text(f"{base}/{entry.path}")) if known else None
        if entry.special:
            hashes[entry.path] = hashlib.sha256(entry.special.encode()).hexdigest()
        elif held and held[0] == as_text(entry.fingerprint):
            hashes[entry.path] = held[1]
        else:
            unknown.append(entry)
    hits = list(hashes)
    started = time.time_ns()
    fresh: list[Hashed] = []
    for entry, sha256, status in _hash_all(base, unknown, workers):
        hashes[entry.path] = sha256
        if status == entry.fingerprint and max(status[3:]) < started - _RACY_NS:
            fresh.append((f"{base}/{entry.path}", status, sha256))
    if cache and files:
        cache.remember(fresh, still_used=(f"{base}/{path}" for path in hits))
    return {entry.path: hashes[entry.path] for entry in files}


def _hash_all(base: Path, files: Sequence[Entry], workers: int) -> Iterable[tuple[Entry, str, Fingerprint]]:
    batches = [files[at : at + _BATCH] for at in range(0, len(files), _BATCH)]
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        for batch in pool.map(lambda batch: [(entry, *_hash_file(base, entry)) for entry in batch], batches):
            yield from batch


def _hash_file(base: Path, entry: Entry) -> tuple[str, Fingerprint]:
    """The hash and what the open file's stat says once it is read."""
    try:
        descriptor = os.open(f"{base}/{entry.path}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            digest = hashlib.sha256()
            while piece := os.read(descriptor, _PIECE):
                digest.update(piece)
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        where = f'file "{entry.path}" of the build context'
        raise InputError(f"{where}: {error.strerror}; make it readable or name it in the ignore file") from error
    seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return digest.hexdigest(), seen


def _text(path: str) -> str:
    """SQLite stores no lone surrogates, which stand for bytes of a name that are no UTF-8."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")
