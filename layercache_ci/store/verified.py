"""A blob's bytes as every store gives them out: the last of them only when all carry the digest."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final

from layercache_ci.errors import BlobDamaged, CacheError
from layercache_ci.layers.model import Descriptor

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BUFFER: Final = 256 << 10


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
