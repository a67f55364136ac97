"""What every store promises of its blobs."""

from __future__ import annotations

import io
from collections import deque
from contextlib import suppress
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layercache_ci.errors import BlobDamaged, BlobNotFound
from layercache_ci.layers.model import ZSTD_LAYER
from layercache_ci.store.model import Match
from tests.contract.backends import Backend
from tests.contract.samples import NAMESPACE, descriptor_of, digest_of, put_blob, read_blob, save

MIB = 1 << 20
BIG = bytes(range(256)) * (10 * MIB // 1024) + b"tail"
"""2.5 MiB and four bytes."""


@pytest.mark.parametrize("data", [b"", b"x", BIG[: MIB - 1], BIG[:MIB], BIG[: MIB + 1], BIG], ids=len)
def test_a_blob_comes_back_as_it_went_in(backend: Backend, data: bytes) -> None:
    written = put_blob(backend.open(), data)
    assert written == descriptor_of(data)
    store = backend.open()
    assert store.contains([written.digest, digest_of(b"another")]) == {written.digest}
    assert read_blob(store, written) == data
    assert store.read_range(written, 0, len(data)) == data


@pytest.mark.parametrize("size", [1, 1000, 65536, MIB, 3 * MIB])
def test_a_blob_may_be_read_in_pieces_of_any_size(backend: Backend, size: int) -> None:
    store = backend.open()
    data = BIG[: 64 * size]
    written = put_blob(store, data)
    with store.open_blob(written) as blob:
        assert b"".join(iter(lambda: blob.read(size), b"")) == data
    with store.open_blob(written) as blob:
        assert isinstance(blob, io.BufferedIOBase)
        room = bytearray(size)
        found = bytearray()
        while count := blob.readinto(room):
            found += room[:count]
        assert found == data


def test_a_blob_may_be_written_in_pieces(backend: Backend) -> None:
    store = backend.open()
    with store.new_blob(ZSTD_LAYER) as writer:
        for at in range(0, len(BIG), 700_001):
            assert writer.write(memoryview(BIG)[at : at + 700_001]) == len(BIG[at : at + 700_001])
        assert writer.commit(digest_of(BIG)) == descriptor_of(BIG)
    assert read_blob(store, descriptor_of(BIG)) == BIG


def test_nothing_is_visible_before_the_commit(backend: Backend) -> None:
    store = backend.open()
    with store.new_blob(ZSTD_LAYER) as writer:
        writer.write(b"abc")
        assert store.contains([digest_of(b"abc")]) == frozenset()
    assert store.contains([digest_of(b"abc")]) == frozenset()
    with store.new_blob(ZSTD_LAYER) as writer:
        writer.write(b"abc")
        with pytest.raises(BlobDamaged, match="turned out"):
            writer.commit(digest_of(b"abd"))
    assert store.stats().blobs == 0


def test_a_blob_that_is_not_there(backend: Backend) -> None:
    store = backend.open()
    with pytest.raises(BlobNotFound):
        store.open_blob(descriptor_of(b"x"))
    with pytest.raises(BlobNotFound):
        store.read_range(descriptor_of(b"x"), 0, 1)


@settings(
    max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(offset=st.integers(0, len(BIG) + 10), length=st.integers(0, len(BIG) + 10))
def test_a_range_is_that_slice(backend: Backend, offset: int, length: int) -> None:
    store = backend.open()
    blob = descriptor_of(BIG)
    if blob.digest not in store.contains([blob.digest]):
        put_blob(store, BIG)
    assert store.read_range(blob, offset, length) == BIG[offset : offset + length]


def test_a_range_is_judged_by_its_own_blocks(backend: Backend) -> None:
    store = backend.open()
    blob = put_blob(store, BIG)
    backend.alter_blob(blob.digest, MIB + 5)
    assert store.read_range(blob, 0, MIB) == BIG[:MIB]
    assert store.read_range(blob, 2 * MIB, 100) == BIG[2 * MIB : 2 * MIB + 100]
    with pytest.raises(BlobDamaged):
        store.read_range(blob, MIB - 1, 2)
    assert store.contains([blob.digest]) == frozenset()


@pytest.mark.parametrize("at", [0, MIB, len(BIG) - 1])
def test_an_altered_blob_is_found_out_at_its_end_and_shipped_again(backend: Backend, at: int) -> None:
    store = backend.open()
    saved = save(store, [("a", b"base"), ("b", BIG)])
    blob = saved.chain[1].layers[0].blob
    backend.alter_blob(blob.digest, at)
    with store.open_blob(blob) as stream, pytest.raises(BlobDamaged, match=blob.digest):
        deque(iter(lambda: stream.read(100_000), b""), maxlen=0)
    assert store.contains([blob.digest]) == frozenset()
    assert store.lookup(NAMESPACE, ["a", "b"]) == Match(saved, 1)
    with pytest.raises(BlobNotFound):
        store.put_record(saved)
    put_blob(store, BIG)
    assert store.lookup(NAMESPACE, ["a", "b"]) == Match(saved, 2)
    assert read_blob(store, blob) == BIG


def test_damage_shows_no_later_than_the_last_byte(backend: Backend) -> None:
    store = backend.open()
    blob = put_blob(store, b"0123456789")
    backend.alter_blob(blob.digest, 0)
    with store.open_blob(blob) as stream, pytest.raises(BlobDamaged):
        stream.read(10)


def give_up(stream: BinaryIO) -> None:
    stream.read(10)
    raise ValueError("a decoder that does not know these bytes")


def test_damage_is_found_out_where_a_decoder_gives_up(backend: Backend) -> None:
    store = backend.open()
    blob = put_blob(store, BIG)
    for damage in (False, True):
        if damage:
            backend.alter_blob(blob.digest, len(BIG) - 1)
        with pytest.raises(ValueError, match="decoder"), store.open_blob(blob) as stream:
            give_up(stream)
        assert store.contains([blob.digest]) == (frozenset() if damage else {blob.digest})


def test_damage_that_was_healed_meanwhile_takes_nothing_away(backend: Backend) -> None:
    store = backend.open()
    blob = put_blob(store, BIG)
    backend.alter_blob(blob.digest, len(BIG) - 1)
    with store.open_blob(blob) as stream:
        stream.read(10)
        put_blob(store, BIG)
        with suppress(BlobDamaged):
            stream.read()
    assert store.contains([blob.digest]) == {blob.digest}
    assert read_blob(store, blob) == BIG


def test_a_reader_may_stop_early(backend: Backend) -> None:
    store = backend.open()
    blob = put_blob(store, BIG)
    with store.open_blob(blob) as stream:
        assert stream.read(10) == BIG[:10]
    assert store.contains([blob.digest]) == {blob.digest}


@pytest.mark.parametrize("size", [0, 1, MIB, len(BIG) - 1])
def test_a_range_of_a_truncated_blob(backend: Backend, size: int) -> None:
    store = backend.open()
    blob = put_blob(store, BIG)
    backend.truncate_blob(blob.digest, size)
    with pytest.raises(BlobDamaged):
        store.read_range(blob, len(BIG) - 10, 10)
    with pytest.raises(BlobNotFound):
        store.read_range(blob, 0, 1)


@pytest.mark.parametrize("size", [0, 1, MIB, len(BIG) - 1])
def test_a_truncated_blob_is_not_held(backend: Backend, size: int) -> None:
    store = backend.open()
    saved = save(store, [("a", BIG)])
    blob = saved.chain[0].layers[0].blob
    backend.truncate_blob(blob.digest, size)
    assert store.contains([blob.digest]) == frozenset()
    assert store.lookup(NAMESPACE, ["a"]) is None
    with pytest.raises(BlobDamaged), store.open_blob(blob) as stream:
        stream.read()
    with pytest.raises(BlobNotFound):
        store.open_blob(blob)
    put_blob(store, BIG)
    assert store.lookup(NAMESPACE, ["a"]) == Match(saved, 1)


def test_writing_a_blob_again_heals_what_nobody_has_read(backend: Backend) -> None:
    store = backend.open()
    blob = put_blob(store, BIG)
    backend.alter_blob(blob.digest, 7)
    put_blob(store, BIG)
    assert read_blob(store, blob) == BIG


def test_a_reader_keeps_what_it_opened_or_sees_that_it_is_gone(backend: Backend) -> None:
    store = backend.open(max_size=0)
    blob = put_blob(store, BIG)
    backend.age(10_000)
    with store.open_blob(blob) as stream:
        head = stream.read(10)
        assert store.collect() >= len(BIG)
        with suppress(BlobNotFound):
            assert head + stream.read() == BIG
    with pytest.raises(BlobNotFound):
        store.read_range(blob, 0, 1)


def test_a_blobs_file_has_its_bytes_or_is_none(backend: Backend) -> None:
    store = backend.open()
    path = store.blob_file(put_blob(store, b"a blob"))
    assert path is None or path.read_bytes() == b"a blob"
    assert store.blob_file(descriptor_of(b"another")) is None
