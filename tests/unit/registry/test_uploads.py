"""Uploads, piece by piece."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layercache_ci.registry.http import Interrupted, Refused
from layercache_ci.registry.uploads import Uploads


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@given(requests=st.lists(st.lists(st.binary(max_size=30), max_size=4), max_size=5))
def test_pieces_in_any_number_of_requests_make_the_blob(requests: list[list[bytes]]) -> None:
    data = b"".join(map(b"".join, requests))
    with tempfile.TemporaryDirectory() as folder:
        uploads = Uploads(Path(folder))
        name = uploads.start()
        at = 0
        for pieces in requests:
            uploads.get(name).append(pieces, start=at)
            at += sum(map(len, pieces))
        uploads.finish(name, digest_of(data))
        path = uploads.blob(digest_of(data))
        assert path
        assert path.read_bytes() == data
        assert list(Path(folder, "uploads").iterdir()) == []


def test_a_request_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def breaks_off() -> Iterator[bytes]:
        yield b"half of"
        raise Interrupted("gone")

    uploads = Uploads(tmp_path)
    name = uploads.start()
    upload = uploads.get(name)
    upload.append([b"first, "])
    with pytest.raises(Interrupted):
        upload.append(breaks_off())
    assert upload.size == 7
    upload.append([b"second"], start=7)
    uploads.finish(name, digest_of(b"first, second"))
    assert (tmp_path / "blobs/sha256" / hashlib.sha256(b"first, second").hexdigest()).read_bytes() == b"first, second"


def test_a_piece_out_of_order_is_refused(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    name = uploads.start()
    upload = uploads.get(name)
    upload.append([b"abc"])
    with pytest.raises(Refused, match="stands at 3, not at 4") as refused:
        upload.append([b"def"], start=4)
    assert refused.value.status == 416
    assert upload.size == 3
    uploads.cancel(name)
    assert list((tmp_path / "uploads").iterdir()) == []


def test_a_wrong_digest_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    name = uploads.start()
    uploads.get(name).append([b"this"])
    with pytest.raises(Refused) as refused:
        uploads.finish(name, digest_of(b"that"))
    assert (refused.value.status, refused.value.code) == (400, "DIGEST_INVALID")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    with pytest.raises(Refused, match="there is no upload"):
        uploads.get(name)


@pytest.mark.parametrize("digest", ["", "sha256:abc", "sha256:../../etc/passwd", "sha512:" + "a" * 128])
def test_only_sha256_names_a_blob(tmp_path: Path, digest: str) -> None:
    with pytest.raises(Refused, match="no digest") as refused:
        Uploads(tmp_path).blob(digest)
    assert refused.value.code == "DIGEST_INVALID"
