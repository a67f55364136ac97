"""Blobs of the local store, read through a registry that runs; what becomes of them while it does."""

from __future__ import annotations

import http.client
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layercache_ci.layers.model import Descriptor
from layercache_ci.registry.client import Registry
from layercache_ci.store.local import LocalStore
from tests.integration.registry.conftest import Ask

Put = Callable[[bytes], Descriptor]
SIZE = (9 << 20) + 12345
DATA = random.Random(3).randbytes(SIZE)


def blob_file(store: LocalStore, blob: Descriptor) -> Path:
    path = store.blob_file(blob)
    assert path
    return path


def alter(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def test_a_blob_that_is_offered_is_given(registry: Registry, ask: Ask, put: Put) -> None:
    blob = put(DATA)
    path = f"/v2/any/name/blobs/{blob.digest}"
    assert ask("GET", path).status == ask("HEAD", path).status == 404
    registry.offer([blob])
    head = ask("HEAD", path)
    assert (head.status, head.headers["Content-Length"], head.headers["Docker-Content-Digest"], head.data) == (
        200,
        str(SIZE),
        blob.digest,
        b"",
    )
    assert ask("GET", path).data == DATA
    status = registry.status()
    assert (status.bytes_served, status.blobs_served, status.faults) == (SIZE, {blob.digest: SIZE}, ())
    assert not (registry.access.folder / "fetched").exists()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(first=st.integers(0, SIZE + 10), length=st.integers(1, SIZE))
def test_any_range_is_the_slice(registry: Registry, ask: Ask, put: Put, first: int, length: int) -> None:
    registry.offer([blob := put(DATA)])
    last = first + length - 1
    answer = ask("GET", f"/v2/a/blobs/{blob.digest}", headers={"Range": f"bytes={first}-{last}"})
    if first >= SIZE:
        assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{SIZE}")
    else:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes {first}-{min(last, SIZE - 1)}/{SIZE}"
        assert answer.data == DATA[first : last + 1]


def test_an_empty_blob(registry: Registry, ask: Ask, put: Put) -> None:
    registry.offer([blob := put(b"")])
    answer = ask("GET", f"/v2/a/blobs/{blob.digest}")
    assert (answer.status, answer.data) == (200, b"")


@pytest.mark.parametrize("harm", ["cut", "altered", "gone"])
def test_a_blob_that_is_bad_from_its_start_is_no_answer(
    registry: Registry, ask: Ask, put: Put, store: LocalStore, harm: str
) -> None:
    registry.offer([blob := put(DATA)])
    path = blob_file(store, blob)
    if harm == "cut":
        os.truncate(path, 1000)
    elif harm == "altered":
        alter(path, 17)
    else:
        path.unlink()
    assert ask("GET", f"/v2/a/blobs/{blob.digest}").status in {404, 502}
    assert [fault.partition(": ")[0] for fault in registry.status().faults] == [blob.digest]
    assert registry.status().bytes_served == 0
    # A push may bring it now.
    assert ask("HEAD", f"/v2/a/blobs/{blob.digest}").status == 404
    registry.put_blob("a", DATA, "x")
    assert ask("GET", f"/v2/a/blobs/{blob.digest}").data == DATA


@pytest.mark.parametrize("harm", ["cut", "altered"])
def test_a_blob_that_is_bad_further_on_is_cut_before_that(
    registry: Registry, ask: Ask, put: Put, store: LocalStore, harm: str
) -> None:
    registry.offer([blob := put(DATA)])
    path = blob_file(store, blob)
    if harm == "cut":
        os.truncate(path, SIZE - 1)
    else:
        alter(path, SIZE - 1)
    with pytest.raises(http.client.IncompleteRead) as broken:
        ask("GET", f"/v2/a/blobs/{blob.digest}")
    assert DATA.startswith(broken.value.partial)
    assert "damaged" in registry.status().faults[0]


def test_a_range_beside_an_altered_block_is_given(registry: Registry, ask: Ask, put: Put, store: LocalStore) -> None:
    registry.offer([blob := put(DATA)])
    alter(blob_file(store, blob), 5 << 20)
    answer = ask("GET", f"/v2/a/blobs/{blob.digest}", headers={"Range": "bytes=1000-2000"})
    assert (answer.status, answer.data) == (206, DATA[1000:2001])
    assert ask("GET", f"/v2/a/blobs/{blob.digest}", headers={"Range": f"bytes={5 << 20}-"}).status == 502
