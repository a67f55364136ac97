"""A blob that is read in parts, from a connection that is none: memory is what is looked at."""

from __future__ import annotations

import hashlib
import io
import mmap
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from layercache_ci.errors import BlobDamaged, BlobNotFound
from layercache_ci.layers.model import Descriptor
from layercache_ci.store.blocks import sidecar_size
from layercache_ci.store.parts import Buffers
from layercache_ci.store.s3_blobs import AHEAD, S3Blobs
from layercache_ci.store.s3_connection import Connection, Piece
from layercache_ci.store.verified import copy

PART = 1000
DATA = bytes(range(256)) * 40
"""Ten parts and a bit."""
BLOB = Descriptor("layer", f"sha256:{hashlib.sha256(DATA).hexdigest()}", len(DATA))


class Counted(Buffers):
    made = 0

    def take(self) -> mmap.mmap:
        self.made += not self._free
        return super().take()


class Served:
    """What a connection is asked by a reader of blobs."""

    def __init__(self, data: bytes | None) -> None:
        self.data = data
        self.settings = type("Settings", (), {"location": "s3://bucket"})
        self.pool = ThreadPoolExecutor(4)

    def submit(self, work: Any, item: Any) -> Future[Any]:
        return self.pool.submit(work, item)

    def read(self, name: str, start: int, length: int, *, into: memoryview) -> Piece | None:  # noqa: ARG002 - as asked
        if self.data is None:
            return None
        found = self.data[start : start + length]
        into[: len(found)] = found
        return Piece(b"", len(self.data) + sidecar_size(BLOB.size), "etag", 0.0, len(found))


def blobs(data: bytes | None) -> tuple[S3Blobs, Counted]:
    connection = cast("Connection", Served(data))
    found, buffers = S3Blobs(connection, Path("nowhere"), writable=False, patience=0), Counted(PART)
    found._buffers = buffers
    return found, buffers


def test_parts_take_turns_in_the_same_memory(tmp_path: Path) -> None:
    store, buffers = blobs(DATA)
    with store.open(BLOB) as source, (tmp_path / "copy").open("wb") as target:
        copy(source, target)
    assert (tmp_path / "copy").read_bytes() == DATA
    assert buffers.made == 1 + AHEAD


@pytest.mark.parametrize("size", [1, 7, PART, PART + 1, 3 * PART, len(DATA) + 1])
def test_any_size_of_read_gives_the_same(size: int) -> None:
    store, _ = blobs(DATA)
    with store.open(BLOB) as source:
        assert b"".join(iter(lambda: source.read(size), b"")) == DATA


@pytest.mark.parametrize("read", [0, 1, PART, len(DATA)])
def test_memory_is_given_back_wherever_the_reader_stops(read: int) -> None:
    store, buffers = blobs(DATA)
    with store.open(BLOB) as source:
        source.read(read)
    cast("Any", store)._connection.pool.shutdown()
    assert (buffers._lent, buffers._free) == (0, [])


def test_a_copy_of_a_damaged_blob_fails_and_so_does_one_of_none() -> None:
    store, _ = blobs(b"x" + DATA[1:])
    with pytest.raises(BlobDamaged), store.open(BLOB) as source:
        copy(source, io.BytesIO())
    store, buffers = blobs(None)
    with pytest.raises(BlobNotFound):
        store.open(BLOB)
    cast("Any", store)._connection.pool.shutdown()
    assert buffers._lent == 0
