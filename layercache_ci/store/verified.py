"""A blob's bytes as every store gives them out: the last of them only when all carry the digest."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from layercache_ci.errors import BlobDamaged, CacheError
from layercache_ci.layers.model import Descriptor

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BUFFER: Final = 256 << 10
"""Bytes that are hashed and written at once."""


class Pieces(Protocol):
    """A generator, or what can be used as one."""

    def __iter__(self) -> Iterator[bytes | memoryview]: ...

    def __next__(self) -> bytes | memoryview: ...

    def close(self) -> None: ...


class InPieces(io.RawIOBase):
    """What comes in pieces, as a file. A piece is used before the next is asked for, so they may share their memory.
    What went wrong once goes wrong again: it is no end."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self._error: CacheError | None = None

    def readable(self) -> bool:
        return True

    def piece(self, most: int) -> memoryview:
        """The next bytes, `most` of them or fewer, where they lie; none at the end."""
        if self._error is not None:
            raise self._error
        if not self._rest:
            try:
                self._rest = memoryview(next(self._pieces, b""))
            except CacheError as error:
                self._error = error
                raise
        piece, self._rest = self._rest[:most], self._rest[most:]
        return piece

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        room = memoryview(buffer).cast("B")
        piece = self.piece(len(room))
        room[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._pieces.close()
        super().close()


class Verified(io.RawIOBase):
    """Passes on what `source` gives; `damaged` removes the blob, if it may, and makes the exception."""

    def __init__(self, source: io.RawIOBase, descriptor: Descriptor, damaged: Callable[[], BlobDamaged]) -> None:
        self._source = source
        self._descriptor = descriptor
        self._damaged = damaged
        self._hash = hashlib.sha256()
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        count = self._source.readinto(view) or 0
        if view:
            self._pass(view[:count])
        return count

    def readall(self) -> bytes:
        data = self._source.readall() or b""
        self._pass(memoryview(data))
        return data

    def pieces(self) -> Iterator[memoryview]:
        """All that was not read yet, without a copy where the source has it in memory. Each is used before the next."""
        buffer = memoryview(b"" if isinstance(self._source, InPieces) else bytearray(BUFFER))
        while True:
            if isinstance(self._source, InPieces):
                piece = self._source.piece(BUFFER)
            else:
                piece = buffer[: self._source.readinto(buffer) or 0]
            self._pass(piece)
            if not piece:
                return
            yield piece

    def close(self) -> None:
        self._source.close()
        super().close()

    def _pass(self, data: memoryview) -> None:
        self._hash.update(data)
        self._position += len(data)
        at_end = not data or self._position >= self._descriptor.size
        if at_end and f"sha256:{self._hash.hexdigest()}" != self._descriptor.digest:
            raise self._damaged()


class BlobReader(io.BufferedReader):
    """Where a decoder gives up in the middle, the blob may be why: it is then read on to its end, which finds out."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, Exception):
            with suppress(CacheError, OSError):
                while self.read(BUFFER):
                    pass
        super().__exit__(kind, value, trace)


def copy(source: BinaryIO, target: BinaryIO) -> None:
    """A blob that was just opened, to its end."""
    if isinstance(source, BlobReader) and isinstance(source.raw, Verified):
        target.writelines(source.raw.pieces())
    else:
        while data := source.read(BUFFER):
            target.write(data)
