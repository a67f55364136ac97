"""Ranges and request bodies, against the slices and bytes they stand for."""

from __future__ import annotations

import io
import re

import pytest
from cheroot.server import KnownLengthRFile
from hypothesis import given
from hypothesis import strategies as st

from layercache_ci.registry.http import PIECE, Interrupted, Refused, Request, range_of


@given(size=st.integers(1, 50), first=st.integers(0, 60), last=st.integers(0, 60))
def test_a_range_is_the_slice(size: int, first: int, last: int) -> None:
    data = bytes(range(size))
    if last < first:
        assert range_of(f"bytes={first}-{last}", size) is None
    elif first >= size:
        with pytest.raises(Refused) as refused:
            range_of(f"bytes={first}-{last}", size)
        assert (refused.value.status, refused.value.headers["Content-Range"]) == (416, f"bytes */{size}")
    else:
        found = range_of(f"bytes={first}-{last}", size)
        assert found
        assert data[slice(*found)] == data[first : last + 1]


@given(size=st.integers(1, 50), count=st.integers(1, 60))
def test_a_suffix_is_the_end(size: int, count: int) -> None:
    found = range_of(f"bytes=-{count}", size)
    assert found
    assert bytes(range(size))[slice(*found)] == bytes(range(size))[-count:]


def test_an_open_range_goes_to_the_end() -> None:
    assert range_of("bytes=3-", 10) == (3, 10)


@pytest.mark.parametrize("header", ["", "bytes=-", "bytes=1-2,4-5", "lines=1-2", "bytes=x-y"])
def test_what_is_no_single_range_means_the_whole(header: str) -> None:
    assert range_of(header, 10) is None


@pytest.mark.parametrize("header", ["bytes=-0", "bytes=10-", "bytes=10-11"])
def test_nothing_within_the_blob_is_refused(header: str) -> None:
    with pytest.raises(Refused, match=re.escape("not within 10 bytes")):
        range_of(header, 10)


@given(data=st.binary(max_size=200), missing=st.integers(0, 20))
def test_a_body_that_breaks_off_is_noticed(data: bytes, missing: int) -> None:
    environment = {
        "REQUEST_METHOD": "PUT",
        "PATH_INFO": "/",
        "CONTENT_LENGTH": str(len(data) + missing),
        "wsgi.input": io.BytesIO(data),
        "wsgi.input_terminated": False,
    }
    request = Request.read(environment, "127.0.0.1:1")
    if missing:
        with pytest.raises(Interrupted, match=f"{len(data)} of {len(data) + missing} bytes came"):
            list(request.body())
    else:
        assert b"".join(request.body()) == data


@given(size=st.integers(1, 5 * PIECE), read=st.booleans())
def test_what_is_left_of_a_body_is_read_away_in_pieces(size: int, *, read: bool) -> None:
    class Body(KnownLengthRFile):  # type: ignore[misc, no-any-unimported, unused-ignore]
        def read(self, size: int | None = None) -> bytes:
            assert size == PIECE
            return bytes(super().read(size))

    body = Body(io.BytesIO(bytes(size)), size)
    environment = {
        "REQUEST_METHOD": "PUT",
        "PATH_INFO": "/",
        "CONTENT_LENGTH": str(size),
        "wsgi.input": body,
        "wsgi.input_terminated": False,
    }
    request = Request.read(environment, "127.0.0.1:1")
    if read:
        next(request.body())
    request.drain()
    assert body.remaining == 0
