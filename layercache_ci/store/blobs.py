"""The blobs of a local store: `blobs/sha256/<hex>` and beside each its sidecar `<hex>.blocks`.

The sidecar appears before the blob and goes after it, so a blob that is there has one; a blob counts as held where
the two agree on its size. What is found damaged is removed at once: the next save then ships it again.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Self

from layercache_ci.errors import BlobDamaged, BlobNotFound, StoreUnavailable
from layercache_ci.layers.model import Descriptor
from layercache_ci.store.blocks import BLOCK, DIGEST, HEADER, BlockHasher, blocks_match, sidecar_size
from layercache_ci.store.folder import Folder, remove, write_all
from layercache_ci.store.verified import BUFFER, BlobReader, Verified

BLOBS: Final = "blobs/sha256"
SIDECAR: Final = ".blocks"

GRACE: Final = 600.0
"""Seconds for which a blob that no record names is kept: the record of a running save will."""

_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")


class Blobs:
    """Blobs by digest in `folder`; nothing in it changes where it is not `writable`."""

    def __init__(self, folder: Folder, *, writable: bool) -> None:
        self._folder = folder
        self._writable = writable

    def sizes(self, digests: Iterable[str]) -> dict[str, int]:
        """Bytes of those that are held whole."""
        found = ((digest, self.size(digest)) for digest in digests)
        return {digest: size for digest, size in found if size is not None}

    def size(self, digest: str) -> int | None:
        """Bytes of the blob where it is held whole, None otherwise."""
        name = _DIGEST.fullmatch(digest)
        if name is None:
            return None
        path = self._folder.path(f"{BLOBS}/{name[1]}")
        with self._folder.faults():
            try:
                with _sidecar(path).open("rb", buffering=0) as file:
                    size = int.from_bytes(file.read(HEADER), "big")
                    whole = os.fstat(file.fileno()).st_size == sidecar_size(size)
                return size if path.stat().st_size == size and whole else None
            except FileNotFoundError:
                return None

    def keep(self, digest: str) -> None:
        """Somebody is about to name this blob in a record: its time of grace starts again."""
        with suppress(OSError):
            path = self.path(digest)
            if self._writable and time.time() - path.stat().st_mtime > GRACE / 10:
                os.utime(path)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        path = self.path(descriptor.digest)
        with self._folder.faults():
            try:
                file = path.open("rb", buffering=0)
            except FileNotFoundError:
                raise BlobNotFound(f"{descriptor.digest} is not in the store in {self._folder.root}") from None
            if os.fstat(file.fileno()).st_size != descriptor.size:
                with file:
                    raise self._damaged(descriptor, file)
        return BlobReader(Verified(file, descriptor, partial(self._damaged, descriptor, file)), BUFFER)

    def read_range(self, descriptor: Descriptor, offset: int, length: int) -> bytes:
        first = offset // BLOCK
        end = min(offset + length, descriptor.size)
        if end <= offset:
            return b""
        count = -(-end // BLOCK) - first
        path = self.path(descriptor.digest)
        with self._folder.faults():
            try:
                with path.open("rb", buffering=0) as file, _sidecar(path).open("rb", buffering=0) as sidecar:
                    size = int.from_bytes(sidecar.read(HEADER), "big")
                    digests = os.pread(sidecar.fileno(), count * DIGEST, HEADER + first * DIGEST)
                    data = _pread(file, count * BLOCK, first * BLOCK)
                    if size != descriptor.size or len(data) < end - first * BLOCK or not blocks_match(data, digests):
                        raise self._damaged(descriptor, file)
            except FileNotFoundError:
                raise BlobNotFound(f"{descriptor.digest} is not in the store in {self._folder.root}") from None
        start = offset - first * BLOCK
        return data[start : start + end - offset]

    def writer(self, media_type: str) -> LocalBlobWriter:
        return LocalBlobWriter(self._folder, media_type)

    def path(self, digest: str) -> Path:
        name = _DIGEST.fullmatch(digest)
        if name is None:
            raise BlobNotFound(f"{digest!r} is no digest that a store can hold: sha256:<64 hex digits>")
        return self._folder.path(f"{BLOBS}/{name[1]}")

    def _damaged(self, descriptor: Descriptor, file: io.FileIO) -> BlobDamaged:
        """Removes the blob that `file` is, unless a good one took its place meanwhile."""
        path = self.path(descriptor.digest)
        if self._writable:
            with suppress(OSError, StoreUnavailable), self._folder.lock():
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    remove(path)
                    remove(_sidecar(path))
        return BlobDamaged(f"{descriptor.digest} is damaged in the store in {self._folder.root}; it will be built anew")


class LocalBlobWriter:
    """A temporary file that is hashed as it grows."""

    def __init__(self, folder: Folder, media_type: str) -> None:
        self._folder = folder
        self._media_type = media_type
        self._hasher = BlockHasher()
        with folder.faults():
            self._temporary, self._file = folder.temporary()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        with suppress(OSError):
            remove(self._temporary)

    def write(self, data: bytes | memoryview, /) -> int:
        view = memoryview(data).cast("B")
        self._hasher.update(view)
        with self._folder.faults():
            write_all(self._file, view)
        return len(view)

    def commit(self, expected: str | None = None) -> Descriptor:
        digest, size = self._hasher.digest(), self._hasher.size
        if expected not in (None, digest):
            raise BlobDamaged(f"a blob that should be {expected} turned out to be {digest}")
        name = f"{BLOBS}/{digest.removeprefix('sha256:')}"
        with self._folder.faults():
            self._file.close()
            with self._folder.lock():
                if not self._folder.path(name).exists():
                    self._folder.grow(size + sidecar_size(size))
                # What is there already gives way: should it be damaged, it is whole from now on.
                self._folder.write(name + SIDECAR, self._hasher.sidecar())
                self._folder.publish(self._temporary, name)
        return Descriptor(self._media_type, digest, size)


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + SIDECAR)


def _pread(file: io.FileIO, length: int, offset: int) -> bytes:
    """`length` bytes from `offset`, fewer only at the file's end."""
    data = os.pread(file.fileno(), length, offset)
    while len(data) < length and (more := os.pread(file.fileno(), length - len(data), offset + len(data))):
        data += more
    return data
