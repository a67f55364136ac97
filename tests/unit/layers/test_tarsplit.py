from __future__ import annotations

import base64
import gzip
import io
import os
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layercache_ci.errors import CacheError
from layercache_ci.layers.compression import PIECE
from layercache_ci.layers.tarsplit import assemble, entry_names
from tests.fakes.tar_split import Split, disassemble, packed, segment, tar_of

NAMES = st.text(st.characters(exclude_characters="\0/", codec="utf-8"), min_size=1, max_size=150).filter(
    lambda name: name not in {".", ".."}
)
SIZES = st.sampled_from([0, 1, 511, 512, 513, PIECE - 512, PIECE, PIECE + 1, 3 * PIECE + 7])


@given(st.dictionaries(NAMES, SIZES, max_size=8))
def test_the_tar_comes_back_byte_for_byte(sizes: Mapping[str, int]) -> None:
    tar = tar_of({name: bytes([len(name) % 256]) * size for name, size in sizes.items()})
    entries, files = disassemble(tar)
    pieces = list(assemble(packed(entries), lambda name: io.BytesIO(files[name])))
    assert b"".join(pieces) == tar
    assert all(len(piece) == PIECE for piece in pieces[:-1])
    assert list(entry_names(io.BytesIO(packed(entries)))) == list(sizes)


def test_a_name_that_is_no_utf8_is_asked_for_as_the_file_system_has_it() -> None:
    name = os.fsdecode(b"caf\xe9\n")
    entries: Split = [{"type": 1, "name_raw": base64.b64encode(b"caf\xe9\n").decode(), "size": 3, "payload": ""}]
    assert list(assemble(packed(entries), lambda asked: io.BytesIO({name: b"abc"}[asked]))) == [b"abc"]
    assert list(entry_names(packed(entries))) == [name]


def test_files_that_give_little_at_a_time_are_read_whole_and_closed() -> None:
    class Slow(io.BytesIO):
        def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
            return super().readinto(buffer[:3])

    slow = Slow(b"0123456789")
    entries: Split = [segment(b"<"), {"type": 1, "name": "f", "size": 10, "payload": ""}, segment(b">")]
    assert list(assemble(packed(entries), lambda _: slow)) == [b"<0123456789>"]
    assert slow.closed


def test_a_file_that_has_grown_gives_only_its_size_and_one_without_bytes_is_not_opened() -> None:
    entries: Split = [
        {"type": 1, "name": "grown", "size": 2, "payload": ""},
        {"type": 1, "name": "link", "payload": ""},
    ]
    assert list(assemble(packed(entries), lambda name: io.BytesIO({"grown": b"abc"}[name]))) == [b"ab"]


def test_a_file_that_is_too_short_is_an_error() -> None:
    entries: Split = [{"type": 1, "name": "f", "size": 4, "payload": ""}]
    with pytest.raises(CacheError, match="f is 1 bytes shorter"):
        list(assemble(packed(entries), lambda _: io.BytesIO(b"abc")))


GOOD = packed([segment(b"abc"), {"type": 1, "name": "f", "size": 1, "payload": ""}] * 9)


@pytest.mark.parametrize(
    "bad",
    [
        b"not gzip",
        GOOD[:-9],
        GOOD[:30],
        gzip.compress(b"{"),
        gzip.compress(b"{}\n"),
        packed([{"type": 2, "payload": "A"}]),
    ],
    ids=["not gzip", "cut", "cut early", "no JSON", "no type", "no base64"],
)
def test_a_broken_tar_split_is_an_error(bad: bytes) -> None:
    with pytest.raises(CacheError, match="tar-split can't be read"):
        list(assemble(bad, lambda _: io.BytesIO(b"x")))
