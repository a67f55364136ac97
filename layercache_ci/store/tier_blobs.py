"""How blobs get into a tier's folder while they pass, and come out of it with the remote to fall back on."""

from __future__ import annotations

import io
import os
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from layercache_ci.errors import CacheError
from layercache_ci.layers.model import Descriptor
from layercache_ci.store.blocks import BLOCK
from layercache_ci.store.folder import AT_ONCE
from layercache_ci.store.model import BlobWriter

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Keep = Callable[[Callable[[], object]], None]
"""Does what it is given, which makes something appear in the folder; it never raises a CacheError."""

MOST_PARTS: Final = 64
"""Blobs that are put together at a time."""


class Blocks(io.RawIOBase):
    """A blob read block by block: each comes verified from where it can be had."""

    def __init__(self, descriptor: Descriptor, read: Callable[[int, int], bytes]) -> None:
        self._descriptor = descriptor
        self._read = read
        self._at = 0
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        room = memoryview(buffer).cast("B")
        if not self._rest and self._at < self._descriptor.size:
            self._rest = memoryview(self._read(self._at, BLOCK))
            self._at += len(self._rest)
        count = min(len(room), len(self._rest))
        room[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class Keeping(io.RawIOBase):
    """A blob as the remote gives it, written into the folder as it passes; it appears there if it ends well."""

    def __init__(self, source: BinaryIO, writer: BlobWriter, descriptor: Descriptor, keep: Keep) -> None:
        self._source = source
        self._writer = _Spare(writer)
        self._descriptor = descriptor
        self._keep = keep
        self._left = descriptor.size
        self._kept = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._source.read(len(view))
        view[: len(data)] = data
        self._writer.write(data)
        self._left -= len(data)
        # the remote's stream has judged the whole once it has given its last byte
        if self._left == 0 and not self._kept and len(view):
            self._kept = True
            self._keep(lambda: self._writer.commit(self._descriptor.digest))
        return len(data)

    def close(self) -> None:
        self._writer.close()
        self._source.close()
        super().close()


class BothWriter:
    """A blob on its way into both. One that is larger than `limit` bytes goes to the remote only."""

    def __init__(self, remote: BlobWriter, near: BlobWriter | None, keep: Keep, *, limit: int) -> None:
        self._remote = remote
        self._near = None if near is None else _Spare(near)
        self._keep = keep
        self._left = limit

    def __enter__(self) -> Self:
        self._remote.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._near is not None:
            self._near.close()
        self._remote.__exit__(*exc)

    def write(self, data: bytes | memoryview, /) -> int:
        count = self._remote.write(data)
        self._left -= count
        if self._near is not None:
            self._near.write(data)
            if self._left < 0:
                self._near.close()
                self._near = None
        return count

    def commit(self, expected: str | None = None) -> Descriptor:
        descriptor = self._remote.commit(expected)
        if self._near is not None:
            near = self._near
            self._keep(lambda: near.commit(descriptor.digest))
        return descriptor


class _Spare:
    """A writer that may fail: what went wrong is said at the commit."""

    def __init__(self, writer: BlobWriter) -> None:
        self._writer = writer.__enter__()
        self._error: CacheError | None = None

    def write(self, data: bytes | memoryview) -> None:
        if self._error is None:
            try:
                self._writer.write(data)
            except CacheError as error:
                self._error = error

    def commit(self, expected: str) -> None:
        if self._error is not None:
            raise self._error
        self._writer.commit(expected)

    def close(self) -> None:
        self._writer.__exit__(None, None, None)


class _Part:
    """A blob that comes in pieces, in any order."""

    def __init__(self, folder: Path, count: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed with the part's end
        weakref.finalize(self, self.file.close)
        self.missing = set(range(count))


class Pieces:
    """Blobs that are read in ranges by many threads: one of which all blocks have come is kept."""

    def __init__(self, folder: Path, keep: Keep) -> None:
        self._folder = folder
        self._keep = keep
        self._lock = threading.Lock()
        self._parts: dict[str, _Part] = {}

    def add(self, descriptor: Descriptor, offset: int, data: bytes, writer: Callable[[str], BlobWriter]) -> None:
        """Only whole blocks count. Raises OSError and CacheError."""
        end = offset + len(data)
        if not data or offset % BLOCK or (end % BLOCK and end != descriptor.size):
            return
        with self._lock:
            part = self._parts.get(descriptor.digest)
            if part is None:
                if len(self._parts) >= MOST_PARTS:
                    return
                part = self._parts[descriptor.digest] = _Part(self._folder, -(-descriptor.size // BLOCK))
            view, at = memoryview(data), offset
            while view:
                written = os.pwrite(part.file.fileno(), view[:AT_ONCE], at)
                view, at = view[written:], at + written
            part.missing -= set(range(offset // BLOCK, -(-end // BLOCK)))
            if part.missing:
                return
            del self._parts[descriptor.digest]
        self._keep(lambda: _copy(part.file.fileno(), writer(descriptor.media_type), descriptor))


def _copy(source: int, writer: BlobWriter, descriptor: Descriptor) -> None:
    with writer:
        for at in range(0, descriptor.size, BLOCK):
            writer.write(os.pread(source, BLOCK, at))
        writer.commit(descriptor.digest)
