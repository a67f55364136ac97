from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layercache_ci.errors import CacheError
from layercache_ci.store.blocks import BlockHasher
from layercache_ci.store.github.pack import PREAMBLE, Location, NewBlob, head_size, read_head, write_pack
from tests.contract.samples import digest_of, record, step

RECORD = record(step("a"), step("b"))
OLD = Location("an older entry", 77, 5, b"d" * 32)


def new_blob(folder: Path, data: bytes) -> NewBlob:
    hasher = BlockHasher()
    hasher.update(memoryview(data))
    path = folder / digest_of(data)[7:]
    path.write_bytes(data)
    sidecar = path.with_suffix(".blocks")
    sidecar.write_bytes(hasher.sidecar())
    return NewBlob(digest_of(data), len(data), path, sidecar)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=50)
@given(blobs=st.lists(st.binary(max_size=300), unique=True, max_size=4), data=st.data())
def test_a_pack_is_its_head_and_its_blobs(tmp_path: Path, blobs: list[bytes], data: st.DataObject) -> None:
    new = [new_blob(tmp_path, blob) for blob in blobs]
    head, source = write_pack("key", [RECORD], [0, 0], new=new, old={"sha256:old": OLD})
    with source:
        whole = source.read(0, source.size)
        offset, length = data.draw(st.integers(0, source.size)), data.draw(st.integers(0, 400))
        assert source.read(offset, length) == whole[offset : offset + length]
    assert read_head("key", whole) == head
    assert head.locations["sha256:old"] == OLD
    for blob in blobs:
        place = head.locations[digest_of(blob)]
        assert whole[place.offset : place.offset + place.size] == blob
        assert place.entry == "key"


def test_a_head_that_was_altered_anywhere_is_none() -> None:
    _, source = write_pack("key", [RECORD], [0, 0], new=[], old={})
    with source:
        whole = source.read(0, source.size)
    for at in range(0, len(whole), 7):
        altered = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        with pytest.raises(CacheError):
            read_head("key", altered)
        with pytest.raises(CacheError):
            read_head("key", whole[:at])


def test_the_head_of_another_key_is_none() -> None:
    _, source = write_pack("key", [RECORD], [0, 0], new=[], old={})
    with source, pytest.raises(CacheError, match="key"):
        read_head("another", source.read(0, source.size))


@given(st.binary(max_size=100))
def test_what_is_no_pack(data: bytes) -> None:
    with pytest.raises(CacheError):
        head_size(data[:PREAMBLE])


@pytest.mark.parametrize("keys", [[], ["a"], ["a", "b"], ["a", "x"], ["a", "b", "c"], ["x"]])
def test_how_much_of_a_chain_is_common(keys: list[str]) -> None:
    head, source = write_pack("key", [RECORD], [0, 0], new=[], old={})
    source.__exit__()
    common = sum(1 for n in range(1, 3) if keys[:n] == ["a", "b"][:n] and len(keys) >= n)
    assert head.common(keys) == common
