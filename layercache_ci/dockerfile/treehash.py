"""Content hashes of context files, in parallel, with a cache for runners that keep their disk."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from layercache_ci.dockerfile.context import Entry, Fingerprint
from layercache_ci.errors import InputError

_PIECE: Final = 1 << 20
_BATCH: Final = 64
_RACY_NS: Final = 2_000_000_000
"""A file may change twice within one tick of its clock; so what was touched just before it was read is not cached."""
_DAY: Final = 86400
_FORGET_AFTER_DAYS: Final = 30


class StatCache:
    """Remembers the hash of each file by (absolute path, device, inode, size, mtime, ctime).

    One file for each context in the directory `path`, replaced as a whole, with a checksum in front. Several processes
    may share it; of two that write at once one is forgotten. Whatever is wrong with it, it is an empty cache: nothing
    here raises.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._today = int(time.time()) // _DAY
        self._loaded: dict[Path, dict[str, list[Any]]] = {}

    def load(self, root: Path) -> dict[str, list[Any]]:
        """What is known below `root`: path → device, inode, size, mtime, ctime, sha256, the day of its last use."""
        if root not in self._loaded:
            self._loaded[root] = self._read(root)
        return self._loaded[root]

    def _read(self, root: Path) -> dict[str, list[Any]]:
        try:
            checksum, _, data = self._file(root).read_bytes().partition(b"\n")
            if hashlib.sha256(data).hexdigest().encode() != checksum:
                return {}
            files: dict[str, list[Any]] = json.loads(data)
        except (OSError, ValueError):
            return {}
        return files

    def save(
        self,
        root: Path,
        known: Mapping[str, list[Any]],
        fresh: Mapping[str, tuple[Fingerprint, str]],
        used: Iterable[str],
    ) -> None:
        """Adds `fresh` to what was loaded, renews `used`, drops what nobody asked for in 30 days."""
        # each use is written down once a day at most, so that a usual build only reads
        stale = [path for path in used if known[path][6] != self._today]
        if not fresh and not stale:
            return
        kept = {path: held for path, held in known.items() if held[6] > self._today - _FORGET_AFTER_DAYS}
        kept.update((path, [*known[path][:6], self._today]) for path in stale)
        kept.update((path, [*status, sha256, self._today]) for path, (status, sha256) in fresh.items())
        self._loaded[root] = kept
        data = json.dumps(kept, separators=(",", ":")).encode()
        with suppress(OSError):
            self._path.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._path, prefix=".new-", delete=False) as file:
                file.write(hashlib.sha256(data).hexdigest().encode() + b"\n" + data)
            written = Path(file.name).replace(self._file(root))
            for other in self._path.iterdir():
                if other != written and other.stat().st_mtime < (self._today - _FORGET_AFTER_DAYS) * _DAY:
                    other.unlink()

    def _file(self, root: Path) -> Path:
        return self._path / hashlib.sha256(os.fsencode(root)).hexdigest()


def hash_files(root: Path, entries: Iterable[Entry], *, cache: StatCache | None, workers: int) -> dict[str, str]:
    """The sha256 (hex) of the content of each entry of type `file`, by its path.

    A fifo, socket or device has no content: the hash is that of its kind. Memory is bounded by 1 MiB a worker. Raises
    InputError, naming the file, where one vanished or can't be read.
    """
    base = Path(os.path.realpath(root))
    files = [entry for entry in entries if entry.type == "file"]
    known = cache.load(base) if cache else {}
    hashes = {entry.path: _held(entry, known) for entry in files}
    used = [entry.path for entry in files if hashes[entry.path] and not entry.special]
    started = time.time_ns()
    fresh: dict[str, tuple[Fingerprint, str]] = {}
    for entry, sha256, status in _hash_all(base, [entry for entry in files if not hashes[entry.path]], workers):
        hashes[entry.path] = sha256
        if status == entry.fingerprint and max(status[3:]) < started - _RACY_NS:
            fresh[entry.path] = (status, sha256)
    if cache:
        cache.save(base, known, fresh, used)
    return hashes


def _held(entry: Entry, known: Mapping[str, list[Any]]) -> str:
    """The hash that needs no reading, or an empty text."""
    if entry.special:
        return hashlib.sha256(entry.special.encode()).hexdigest()
    held = known.get(entry.path)
    return held[5] if held and held[:5] == list(entry.fingerprint) else ""


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
