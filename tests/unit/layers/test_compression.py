from __future__ import annotations

import io
import random

import pytest

from layercache_ci.errors import BlobDamaged
from layercache_ci.layers.compression import PIECE, Compressor, decompressed

DATA = random.Random(1).randbytes(PIECE) + bytes(5 * PIECE) + b"end"


def compressed(data: bytes, threads: int = 0) -> bytes:
    compressor = Compressor(threads=threads)
    return compressor.compress(data) + compressor.finish()


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_what_is_compressed_comes_back_in_bounded_pieces(threads: int) -> None:
    pieces = list(decompressed(io.BytesIO(compressed(DATA, threads))))
    assert b"".join(pieces) == DATA
    assert max(map(len, pieces)) <= PIECE


def test_the_number_of_threads_and_the_size_of_pieces_leave_no_mark() -> None:
    data = random.Random(2).randbytes(1 << 20) * 9
    whole = compressed(data, threads=1)
    compressor = Compressor(threads=3)
    pieces = [compressor.compress(data[start : start + 70_001]) for start in range(0, len(data), 70_001)]
    assert b"".join(pieces) + compressor.finish() == whole


def test_frames_in_a_row_are_one_stream_whatever_the_reads_return() -> None:
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 7))

    # 0x184D2A50 opens a skippable frame (RFC 8878, 3.1.2), here of three bytes.
    stream = compressed(b"one ") + bytes.fromhex("502a4d1803000000") + b"xyz" + compressed(b"two")
    assert b"".join(decompressed(io.BytesIO(stream))) == b"one two"
    assert b"".join(decompressed(Trickle(stream))) == b"one two"


def test_nothing_is_nothing() -> None:
    assert list(decompressed(io.BytesIO(b""))) == []


@pytest.mark.parametrize("kept", [3, 20, -1])
def test_a_cut_stream_is_damaged(kept: int) -> None:
    with pytest.raises(BlobDamaged, match="too early"):
        list(decompressed(io.BytesIO(compressed(DATA)[:kept])))


def test_what_is_not_zstd_is_damaged() -> None:
    with pytest.raises(BlobDamaged, match="can't be read"):
        list(decompressed(io.BytesIO(b"no zstd at all")))
    with pytest.raises(BlobDamaged, match="can't be read"):
        list(decompressed(io.BytesIO(compressed(DATA) + b"trailing rubbish")))
