"""A tier whose remote is lost, whose folder is, and what it keeps of what passes."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layercache_ci.errors import BlobDamaged, StoreUnavailable
from layercache_ci.layers.model import Descriptor
from layercache_ci.store import tier as tier_module
from layercache_ci.store.blocks import BLOCK
from layercache_ci.store.local import LocalStore
from layercache_ci.store.model import Match, Scopes
from layercache_ci.store.tier import TierStore
from tests.contract.backends import LocalBackend
from tests.contract.samples import NAMESPACE, descriptor_of, put_blob, read_blob, record, save, step

OWN = Scopes(("own", "main"), "own")
BIG = bytes(range(256)) * (10 * BLOCK // 1024) + b"tail"
LARGE = 1 << 40


class Remote:
    """A local store that can be cut off; it counts what it is asked."""

    def __init__(self, root: Path, scopes: Scopes) -> None:
        self._store = LocalStore(root, scopes=scopes)
        self.reachable = True
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name == "location":
            return "remote"

        def call(*arguments: object, **named: object) -> object:
            self.calls.append(name)
            if not self.reachable:
                raise StoreUnavailable("no route to it")
            return getattr(self._store, name)(*arguments, **named)

        return call


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warnings: list[str] = []
        self.remote = Remote(folder / "remote", OWN)

    def open(self, scopes: Scopes = OWN, *, max_size: int = LARGE) -> TierStore:
        self.remote.calls.clear()
        remote: Any = self.remote
        return TierStore(remote, self.folder / "near", scopes=scopes, max_size=max_size, warn=self.warnings.append)

    @property
    def direct(self) -> LocalStore:
        return LocalStore(self.folder / "remote", scopes=OWN)

    @property
    def near(self) -> LocalStore:
        return LocalStore(self.folder / "near", scopes=OWN)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_was_read_once_is_not_asked_of_the_remote_again(bench: Bench) -> None:
    saved = save(bench.direct, [("a", BIG)])
    blob = saved.chain[0].layers[0].blob
    assert read_blob(bench.open(), blob) == BIG
    store = bench.open()
    assert read_blob(store, blob) == BIG
    assert store.read_range(blob, 5, 10) == BIG[5:15]
    path = store.blob_file(blob)
    assert path is not None
    assert path.read_bytes() == BIG
    assert bench.remote.calls == []


def test_a_reader_that_stops_early_keeps_nothing(bench: Bench) -> None:
    blob = put_blob(bench.direct, BIG)
    with bench.open().open_blob(blob) as stream:
        stream.read(BLOCK)
    assert bench.near.contains([blob.digest]) == frozenset()
    assert list((bench.folder / "near/lc1/tmp").iterdir()) == []


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(st.integers(0, 1 << 30), st.sampled_from([BLOCK, 2 * BLOCK, 8 * BLOCK]))
def test_a_blob_that_came_in_pieces_is_kept_once_all_are_there(
    tmp_path_factory: pytest.TempPathFactory, seed: int, length: int
) -> None:
    bench = Bench(tmp_path_factory.mktemp("bench"))
    blob = put_blob(bench.direct, BIG)
    store = bench.open()
    offsets = list(range(0, len(BIG), length))
    random.Random(seed).shuffle(offsets)
    for number, offset in enumerate(offsets):
        assert bench.near.contains([blob.digest]) == frozenset(), number
        assert store.read_range(blob, offset, length) == BIG[offset : offset + length]
    assert read_blob(bench.near, blob) == BIG


def test_ranges_that_are_no_blocks_keep_nothing(bench: Bench) -> None:
    blob = put_blob(bench.direct, BIG)
    store = bench.open()
    for offset in range(0, len(BIG), BLOCK // 2):
        store.read_range(blob, offset, BLOCK // 2)
    assert bench.near.contains([blob.digest]) == frozenset()


def test_what_is_saved_is_in_both(bench: Bench) -> None:
    saved = save(bench.open(), [("a", b"1"), ("b", b"2")])
    for store in (bench.direct, bench.near):
        assert store.lookup(NAMESPACE, ["a", "b"]) == Match(saved, 2)
        assert read_blob(store, descriptor_of(b"1")) == b"1"


def test_the_remote_is_asked_first_since_it_may_be_newer(bench: Bench) -> None:
    save(bench.open(), [("a", b"1")])
    deeper = save(bench.direct, [("a", b"1"), ("b", b"2")])
    assert bench.open().lookup(NAMESPACE, ["a", "b"]) == Match(deeper, 2)
    bench.remote.reachable = False
    assert bench.open().lookup(NAMESPACE, ["a", "b"]) == Match(bench.direct.lookup(NAMESPACE, ["a"]).record, 1)  # type: ignore[union-attr]


def test_what_the_remote_has_not_is_not_there(bench: Bench) -> None:
    save(bench.open(), [("a", b"1")])
    for path in (bench.folder / "remote").rglob("*"):
        if path.is_file():
            path.unlink()
    store = bench.open()
    assert store.lookup(NAMESPACE, ["a"]) is None
    assert store.contains([descriptor_of(b"1").digest]) == frozenset()


def test_an_outage_is_survived_by_what_was_read_before(bench: Bench) -> None:
    saved = save(bench.direct, [("a", b"1"), ("b", BIG), ("c", b"3")])
    store = bench.open()
    assert store.lookup(NAMESPACE, ["a", "b", "c"]) == Match(saved, 3)
    for data in (b"1", BIG):  # the third was not needed
        read_blob(store, descriptor_of(data))
    bench.remote.reachable = False
    store = bench.open()
    assert store.lookup(NAMESPACE, ["a", "b", "c"]) == Match(saved, 2)
    assert store.newest(NAMESPACE, "app") == saved
    assert list(store.records()) == [saved]
    digests = [descriptor_of(data).digest for data in (b"1", BIG, b"3")]
    assert store.contains(digests) == set(digests[:2])
    assert read_blob(store, descriptor_of(BIG)) == BIG
    with pytest.raises(StoreUnavailable, match="no route"):
        store.open_blob(descriptor_of(b"3"))
    with pytest.raises(StoreUnavailable, match="no route"):
        store.read_range(descriptor_of(b"3"), 0, 1)
    (warning,) = bench.warnings
    assert "no route" in warning
    assert bench.remote.calls == ["lookup"], "one that is lost is not asked again at once"


def test_an_outage_that_ends_is_over(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = save(bench.direct, [("a", b"1")])
    bench.remote.reachable = False
    store = bench.open()
    assert store.lookup(NAMESPACE, ["a"]) is None
    bench.remote.reachable = True
    assert store.lookup(NAMESPACE, ["a"]) is None
    later = time.monotonic() + 2 * tier_module.PATIENCE
    monkeypatch.setattr("time.monotonic", lambda: later)
    assert store.lookup(NAMESPACE, ["a"]) == Match(saved, 1)


def test_nothing_counts_as_saved_that_the_remote_did_not_take(bench: Bench) -> None:
    store = bench.open()
    blob = put_blob(store, b"1")
    bench.remote.reachable = False
    with pytest.raises(StoreUnavailable, match="no route"):
        store.put_record(record(step("a", [blob])))
    with pytest.raises(StoreUnavailable, match="no route"):
        put_blob(store, b"2")
    assert bench.near.lookup(NAMESPACE, ["a"]) is None


def test_an_outage_mixes_no_lineages(bench: Bench) -> None:
    """The record that served a key online serves it offline, though a later one has the key as well."""
    first = save(bench.direct, [("a", b"1"), ("b", b"2")], created="2026-01-01T00:00:00Z")
    second = save(bench.direct, [("a", b"1'"), ("b", b"2'"), ("c", b"3")], created="2026-01-02T00:00:00Z")
    store = bench.open()
    assert store.lookup(NAMESPACE, ["a", "b"]) == Match(first, 2)
    assert store.lookup(NAMESPACE, ["a", "b", "c"]) == Match(second, 3)
    for data in (b"1", b"2", b"1'", b"2'", b"3"):
        read_blob(store, descriptor_of(data))
    bench.remote.reachable = False
    store = bench.open()
    assert store.lookup(NAMESPACE, ["a", "b"]) == Match(first, 2)
    assert store.lookup(NAMESPACE, ["a", "b", "c"]) == Match(second, 3)


@pytest.mark.parametrize("at", [0, BLOCK + 1, len(BIG) - 1])
def test_damage_in_the_folder_is_made_good_by_the_remote(bench: Bench, at: int) -> None:
    blob = put_blob(bench.open(), BIG)
    path = bench.near.blob_file(blob)
    assert path is not None
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    assert read_blob(bench.open(), blob) == BIG
    assert bench.warnings == []


def test_damage_in_the_remote_is_found_and_not_kept(bench: Bench) -> None:
    blob = put_blob(bench.direct, BIG)
    path = bench.direct.blob_file(blob)
    assert path is not None
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)
    with bench.open().open_blob(blob) as stream, pytest.raises(BlobDamaged):
        stream.read()
    assert bench.near.contains([blob.digest]) == frozenset()


def spoil(bench: Bench) -> None:
    """A file where the folder should be."""
    (bench.folder / "near").write_bytes(b"")


def use(store: TierStore, existing: Descriptor) -> Iterator[object]:
    yield read_blob(store, existing) == BIG
    yield store.read_range(existing, 0, BLOCK) == BIG[:BLOCK]
    made = put_blob(store, b"new")
    yield store.put_record(record(step("n", [made]), stage="n"))
    found = store.lookup(NAMESPACE, ["n"])
    yield found is not None
    if found is not None:
        store.touch(found.record, 1)
    yield read_blob(store, made) == b"new"
    yield store.collect() == 0


def test_a_broken_folder_is_one_warning(bench: Bench) -> None:
    existing = put_blob(bench.direct, BIG)
    spoil(bench)
    assert all(use(bench.open(), existing))
    (warning,) = bench.warnings
    assert "not used any more" in warning
    assert str(bench.folder / "near") in warning


def test_a_folder_that_breaks_on_the_way_is_one_warning(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    existing = put_blob(bench.direct, BIG)
    store = bench.open()

    def full(*_: object) -> None:
        raise StoreUnavailable("no space is left on its disk")

    monkeypatch.setattr("layercache_ci.store.blobs.LocalBlobWriter.commit", full)
    with store.open_blob(existing) as stream:
        assert stream.read() == BIG
    assert read_blob(store, existing) == BIG
    (warning,) = bench.warnings
    assert "no space is left" in warning


def test_neither_remote_nor_folder(bench: Bench) -> None:
    spoil(bench)
    bench.remote.reachable = False
    store = bench.open()
    with pytest.raises(StoreUnavailable, match="no route"):
        store.lookup(NAMESPACE, ["a"])
    with pytest.raises(StoreUnavailable, match="no route"):
        read_blob(store, descriptor_of(b"1"))
    assert len(bench.warnings) == 2


def fill(store: TierStore, letters: Sequence[str], size: int = 100_000) -> None:
    for letter in letters:
        save(store, [(letter, letter.encode() * size)], stage=letter)


def test_a_folder_full_of_what_is_young_takes_no_more_and_says_so_once(bench: Bench) -> None:
    store = bench.open(max_size=250_000)
    fill(store, "abcde")
    (warning,) = bench.warnings
    assert "full" in warning
    assert bench.near.stats().size < 350_000
    for letter in "abcde":
        assert read_blob(store, descriptor_of(letter.encode() * 100_000)) == letter.encode() * 100_000


def test_the_least_recently_used_makes_room(bench: Bench) -> None:
    store = bench.open(max_size=250_000)
    near = LocalBackend(bench.folder)
    near.root = bench.folder / "near"
    for letter in "abcde":
        fill(store, letter)
        near.age(10_000)
    assert bench.warnings == []
    assert bench.near.stats().size <= 250_000
    assert bench.near.lookup(NAMESPACE, ["e"]) is not None
    assert bench.near.lookup(NAMESPACE, ["a"]) is None


def test_a_blob_larger_than_the_folder_passes_by(bench: Bench) -> None:
    store = bench.open(max_size=BLOCK)
    small = put_blob(store, b"small")
    blob = put_blob(store, BIG)
    assert read_blob(store, blob) == BIG
    store.read_range(blob, 0, len(BIG))
    assert bench.near.contains([blob.digest, small.digest]) == {small.digest}
    assert bench.warnings == []


def test_a_fork_reads_the_folder_and_leaves_it_as_it_is(bench: Bench) -> None:
    save(bench.open(), [("a", b"1")])
    other = put_blob(bench.direct, b"2")
    before = sorted(path for path in (bench.folder / "near").rglob("*"))
    store = bench.open(Scopes(("own",), None))
    assert read_blob(store, other) == b"2"
    assert store.lookup(NAMESPACE, ["a"]) is not None
    bench.remote.calls.clear()
    assert read_blob(store, descriptor_of(b"1")) == b"1"
    assert bench.remote.calls == []
    assert sorted(path for path in (bench.folder / "near").rglob("*")) == before
