"""A store of blobs in memory: enough for what ships and restores layers."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, Self

from layercache_ci.errors import BlobDamaged, BlobNotFound
from layercache_ci.layers.model import Descriptor
from layercache_ci.store.model import Holding, Match, Removed, Retention, StepRecord, StoreStats


class MemoryWriter:
    def __init__(self, blobs: dict[str, bytes], media_type: str) -> None:
        self._blobs, self._media_type, self._data = blobs, media_type, bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def write(self, data: bytes | memoryview, /) -> int:
        self._data += data
        return len(data)

    def commit(self, expected: str | None = None) -> Descriptor:
        digest = f"sha256:{hashlib.sha256(self._data).hexdigest()}"
        if expected not in {None, digest}:
            raise BlobDamaged(f"{digest} is not {expected}")
        self._blobs[digest] = bytes(self._data)
        return Descriptor(self._media_type, digest, len(self._data))


class _CheckedReader(io.BytesIO):
    """Raises at the end, as the protocol says, where the bytes are not those that were asked for."""

    def __init__(self, data: bytes, descriptor: Descriptor) -> None:
        super().__init__(data)
        self._wrong = f"sha256:{hashlib.sha256(data).hexdigest()}" != descriptor.digest

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if self._wrong and self.tell() == len(self.getvalue()):
            raise BlobDamaged("the blob is not what its digest says")
        return data


class MemoryStore:
    """`blobs` may be changed by tests: a blob that is altered or cut raises when it is read to its end."""

    location = "memory"

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def blob_file(self, descriptor: Descriptor) -> None:
        assert descriptor.digest

    def contains(self, digests: Iterable[str]) -> frozenset[str]:
        return frozenset(digests) & self.blobs.keys()

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        if descriptor.digest not in self.blobs:
            raise BlobNotFound(f"no blob {descriptor.digest}")
        return _CheckedReader(self.blobs[descriptor.digest], descriptor)

    def read_range(self, descriptor: Descriptor, offset: int, length: int) -> bytes:
        return self.blobs[descriptor.digest][offset : offset + length]

    def new_blob(self, media_type: str) -> MemoryWriter:
        return MemoryWriter(self.blobs, media_type)

    def lookup(self, namespace: str, chain: Sequence[str]) -> Match | None:
        raise NotImplementedError

    def newest(self, namespace: str, stage: str) -> StepRecord | None:
        raise NotImplementedError

    def put_record(self, record: StepRecord, *, supersede: frozenset[str] = frozenset()) -> bool:
        raise NotImplementedError

    def touch(self, record: StepRecord, depth: int) -> None:
        raise NotImplementedError

    def stats(self) -> StoreStats:
        raise NotImplementedError

    def collect(self) -> int:
        raise NotImplementedError

    def prune(self, rules: Retention) -> Removed:
        raise NotImplementedError

    def inventory(self) -> Iterator[Holding]:
        raise NotImplementedError

    def records(self) -> Iterator[StepRecord]:
        raise NotImplementedError
