"""Reads through to a distant store, which answers late, fails, or lies."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from layercache_ci.errors import BlobDamaged, BlobNotFound, CacheError, StoreUnavailable
from layercache_ci.layers.model import Descriptor
from layercache_ci.registry import fetch, offers
from layercache_ci.registry.offers import Offers
from tests.fakes.memory_store import MemoryStore
from tests.waiting import until


class DistantStore(MemoryStore):
    """Counts what is read. `errors` are raised first, one for each read; reads wait while `gate` is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[int] = Counter()
        self.errors: list[CacheError] = []
        self.opened: list[str] = []
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def contains(self, digests: Iterable[str]) -> frozenset[str]:
        wanted = list(digests)
        self.asked += wanted
        return super().contains(wanted)

    def lookup(self, namespace: str, chain: Sequence[str]) -> None:
        """Nothing that it does not know already."""

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        self.opened.append(descriptor.digest)
        return super().open_blob(descriptor)

    def read_range(self, descriptor: Descriptor, offset: int, length: int) -> bytes:
        assert self.gate.wait(30)
        self.reads[offset] += 1
        if self.errors:
            raise self.errors.pop(0)
        if descriptor.digest not in self.blobs:
            raise BlobNotFound(f"{descriptor.digest} is not there")
        return super().read_range(descriptor, offset, length)


def _add(store: MemoryStore, data: bytes) -> Descriptor:
    writer = store.new_blob("x")
    writer.write(data)
    return writer.commit()


@pytest.fixture(autouse=True)
def _small_and_swift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PIECE", 100)
    monkeypatch.setattr(offers, "PIECE", 60)
    monkeypatch.setattr(offers, "REQUEST", 200)
    monkeypatch.setattr(offers, "PAUSES", (0.0, 0.0))


def read(source: Offers, descriptor: Descriptor, start: int = 0, end: int | None = None) -> bytes:
    return b"".join(source.read(descriptor, start, descriptor.size if end is None else end))


DATA = bytes(range(250)) * 3


def test_eight_readers_of_one_blob_fetch_it_once(tmp_path: Path) -> None:
    store = DistantStore()
    blob = _add(store, DATA)
    store.gate.clear()
    source = Offers(store, tmp_path)
    source.offer([blob], prefetch=True)
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(read, source, blob) for _ in range(8)]
        store.gate.set()
        assert {each.result(30) for each in found} == {DATA}
    assert store.reads == dict.fromkeys(range(0, 750, 100), 1)
    assert (tmp_path / "fetched/sha256" / blob.digest.removeprefix("sha256:")).read_bytes() == DATA


def test_a_blob_that_is_not_prefetched_is_fetched_once_by_its_readers(tmp_path: Path) -> None:
    store = DistantStore()
    blob = _add(store, DATA)
    source = Offers(store, tmp_path)
    source.offer([blob], prefetch=False)
    assert not store.reads
    with ThreadPoolExecutor(8) as pool:
        assert {each.result(30) for each in [pool.submit(read, source, blob) for _ in range(8)]} == {DATA}
    assert set(store.reads.values()) == {1}


def test_a_range_of_a_blob_that_is_not_prefetched_reads_only_that(tmp_path: Path) -> None:
    store = DistantStore()
    blob = _add(store, DATA)
    source = Offers(store, tmp_path)
    source.offer([blob], prefetch=False)
    assert read(source, blob, 70, 75) == DATA[70:75]
    assert read(source, blob, 150, 450) == DATA[150:450]
    assert store.reads == {70: 1, 150: 1, 200: 1, 400: 1}


def test_a_reader_gets_the_pieces_it_waits_for_while_the_rest_is_on_its_way(tmp_path: Path) -> None:
    store = DistantStore()
    store.gate.clear()
    blobs = [_add(store, bytes([number]) * 1000) for number in range(5)]
    source = Offers(store, tmp_path)
    source.offer(blobs, prefetch=True)
    store.gate.set()
    assert read(source, blobs[-1], 990, 1000) == bytes([4]) * 10


def test_reads_that_fail_are_tried_again(tmp_path: Path) -> None:
    store = DistantStore()
    blob = _add(store, DATA)
    store.errors = [StoreUnavailable("the network"), BlobDamaged("on its way")]
    source = Offers(store, tmp_path)
    source.offer([blob], prefetch=False)
    assert read(source, blob, 1, 50) == DATA[1:50]
    assert source.faults == ()


def test_a_store_that_stays_away_is_a_fault_and_may_come_back(tmp_path: Path) -> None:
    store = DistantStore()
    blob = _add(store, DATA)
    store.errors = [StoreUnavailable("the network")] * 1000
    source = Offers(store, tmp_path)
    source.offer([blob], prefetch=False)
    with pytest.raises(StoreUnavailable, match="the network"):
        read(source, blob)
    assert source.faults == (f"{blob.digest}: the network",)
    store.errors = []
    assert source.get(blob.digest) == blob
    assert read(source, blob) == DATA


def test_a_prefetch_that_fails_is_no_fault_before_somebody_asks(tmp_path: Path) -> None:
    store = DistantStore()
    blob = _add(store, DATA)
    store.blobs.clear()
    source = Offers(store, tmp_path)
    source.offer([blob], prefetch=True)
    assert not list(source.faults)
    with pytest.raises(BlobNotFound):
        read(source, blob)
    assert list(source.faults) == [f"{blob.digest}: {blob.digest} is not there"]
    assert source.get(blob.digest) is None
    assert list((tmp_path / "fetched/sha256").iterdir()) == []


def test_a_blob_that_is_another_is_not_given_out_whole_though_each_piece_was_verified(tmp_path: Path) -> None:
    """Who may write a blob may write what its pieces are verified by."""
    store = DistantStore()
    blob = _add(store, DATA)
    store.blobs[blob.digest] = other = DATA[:-1] + b"?"
    source = Offers(store, tmp_path)
    source.offer([blob], prefetch=True)
    given = bytearray()
    with pytest.raises(BlobDamaged, match="damaged"):
        deque(map(given.extend, source.read(blob, 0, blob.size)))
    assert other.startswith(given)
    assert len(given) <= 700
    assert [each.partition(": ")[0] for each in source.faults] == [blob.digest]
    assert source.get(blob.digest) is None
    assert list((tmp_path / "fetched/sha256").iterdir()) == []
    until(lambda: store.opened == [blob.digest])  # to its end, by which a store finds out


def test_no_descriptor_is_kept_of_what_was_fetched(tmp_path: Path) -> None:
    store = DistantStore()
    blobs = [_add(store, b"%d" % number * 100) for number in range(50)]
    source = Offers(store, tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    source.offer(blobs, prefetch=True)
    assert [read(source, each) for each in blobs] == [store.blobs[each.digest] for each in blobs]
    until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before)


def test_a_short_answer_is_damage(tmp_path: Path) -> None:
    store = DistantStore()
    blob = _add(store, DATA)
    store.blobs[blob.digest] = DATA[:-1]
    source = Offers(store, tmp_path)
    source.offer([blob], prefetch=False)
    with pytest.raises(BlobDamaged, match="49 of 50 bytes"):
        read(source, blob, 700, 750)


def test_what_is_gone_is_not_said_to_be_held(tmp_path: Path) -> None:
    store = DistantStore()
    blob = _add(store, DATA)
    source = Offers(store, tmp_path)
    source.offer([blob], prefetch=False)
    assert source.held(blob)
    store.blobs.clear()
    assert not source.held(blob)
    assert source.get(blob.digest) is None
    assert len(source.faults) == 1


def test_of_what_was_there_when_it_was_offered_a_distant_store_is_not_asked_again(tmp_path: Path) -> None:
    """An engine that exports asks for each of its layers, one after another."""
    store = DistantStore()
    blob, other = _add(store, DATA), _add(store, DATA[1:])
    del store.blobs[other.digest]
    source = Offers(store, tmp_path)
    source.offer([blob, other], prefetch=False, chains=[("namespace", ["key"])])
    store.asked.clear()
    assert source.held(blob)
    assert store.asked == []
    assert not source.held(other)
    assert store.asked == [other.digest]


def test_what_was_found_and_is_gone_when_it_is_read_is_offered_no_longer(tmp_path: Path) -> None:
    store = DistantStore()
    blob = _add(store, DATA)
    source = Offers(store, tmp_path)
    source.offer([blob], prefetch=False, chains=[("namespace", ["key"])])
    store.blobs.clear()
    with pytest.raises(BlobNotFound):
        read(source, blob)
    assert source.get(blob.digest) is None
    assert len(source.faults) == 1


def test_an_error_of_ours_reaches_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DistantStore()
    blob = _add(store, DATA)

    def broken(*_: object) -> bytes:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(store, "read_range", broken)
    source = Offers(store, tmp_path)
    source.offer([blob], prefetch=True)
    with pytest.raises(CacheError, match="a mistake"):
        read(source, blob)
