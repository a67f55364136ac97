"""Packs: what older entries hold, what goes with them, keys that are taken, chains longer than a key."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from layercache_ci.errors import BlobNotFound
from layercache_ci.store.github.keys import is_record_key
from layercache_ci.store.github.saver import LITTLE, MOST_ENTRIES
from layercache_ci.store.model import Match, StepRecord
from tests.contract.samples import NAMESPACE, digest_of, put_blob, read_blob, record, save, step
from tests.fakes.github_cache import CacheServer
from tests.fakes.github_cache.caches import Entry
from tests.integration.store.github.conftest import OpenStore

MIB = 1 << 20


def packs(server: CacheServer) -> list[Entry]:
    """Those of chains, oldest first."""
    return [entry for entry in server.caches.complete() if is_record_key(entry.key)]


def extend(open_store: OpenStore, keys: Sequence[str], *, bulk: int = 1000) -> StepRecord:
    """A job that restores what there is of a chain and builds the rest."""
    store = open_store()
    match = store.lookup(NAMESPACE, keys)
    old = match.record.chain[: match.depth] if match else ()
    new = [step(key, [put_blob(store, key.encode() * bulk)]) for key in keys[len(old) :]]
    made = record(*old, *new, created=f"2026-01-01T00:00:{len(keys):02}Z")
    store.put_record(made)
    return made


def test_a_blob_is_shipped_once(server: CacheServer, open_store: OpenStore) -> None:
    extend(open_store, ["base", "deps", "app"], bulk=MIB // 4)
    extend(open_store, ["base", "deps", "app 2"], bulk=1000)
    first, second = packs(server)
    assert (first.size or 0) > MIB
    assert (second.size or 0) < 10_000
    store = open_store()
    match = store.lookup(NAMESPACE, ["base", "deps", "app 2"])
    assert match is not None
    assert [read_blob(store, link.layers[0].blob)[:4] for link in match.record.chain] == [b"base", b"deps", b"app "]


def test_an_older_entry_that_is_evicted(server: CacheServer, open_store: OpenStore) -> None:
    extend(open_store, ["base", "deps"])
    newer = extend(open_store, ["base", "deps", "app"])
    server.caches.remove(packs(server)[0])
    store = open_store()
    assert store.lookup(NAMESPACE, ["base", "deps", "app"]) is None, "its base is gone"
    with pytest.raises(BlobNotFound):
        store.put_record(newer)
    again = extend(open_store, ["base", "deps", "app"])
    store = open_store()
    assert store.lookup(NAMESPACE, ["base", "deps", "app"]) == Match(again, 3)
    assert read_blob(store, again.chain[0].layers[0].blob) == b"base" * 1000


def test_a_middle_entry_that_is_evicted(server: CacheServer, open_store: OpenStore) -> None:
    for depth in range(1, 4):
        made = extend(open_store, ["base", "deps", "app"][:depth])
    server.caches.remove(packs(server)[1])
    assert open_store().lookup(NAMESPACE, ["base", "deps", "app"]) == Match(extend(open_store, ["base"]), 1)
    again = extend(open_store, ["base", "deps", "app"])
    assert open_store().lookup(NAMESPACE, ["base", "deps", "app"]) == Match(again, 3)
    assert again.chain[0] == made.chain[0]


def test_a_record_never_names_too_many_entries(server: CacheServer, open_store: OpenStore) -> None:
    keys = [f"step {number}" for number in range(20)]
    for depth in range(1, len(keys) + 1):
        made = extend(open_store, keys[:depth])
    server.seen.clear()
    store = open_store()
    assert store.lookup(NAMESPACE, keys) == Match(made, 20)
    counts = server.counts()
    assert counts["GetCacheEntryDownloadURL"] + counts["v1 find"] <= MOST_ENTRIES
    for link, key in zip(made.chain, keys, strict=True):
        assert read_blob(store, link.layers[0].blob) == key.encode() * 1000


@pytest.mark.parametrize("length", [55, 56, 57, 113])
def test_a_chain_longer_than_a_key(server: CacheServer, open_store: OpenStore, length: int) -> None:
    keys = [digest_of(b"%d" % number)[7:] for number in range(length)]
    made = extend(open_store, keys)
    assert len(packs(server)) == 1 + (length - 1) // 56
    assert all(len(entry.key) < 512 for entry in packs(server))
    for depth in {1, 2, 55, 56, 57, 112, length} & set(range(length + 1)):
        store = open_store()
        assert store.lookup(NAMESPACE, [*keys[:depth], "another"]) == Match(made, depth)
        assert read_blob(store, made.chain[depth - 1].layers[0].blob) == keys[depth - 1].encode() * 1000
    assert extend(open_store, keys) == made


@pytest.mark.parametrize("depth", range(1, 31))
def test_any_depth_is_found_in_few_questions(server: CacheServer, open_store: OpenStore, depth: int) -> None:
    keys = [f"step {number}" for number in range(30)]
    made = extend(open_store, keys)
    server.seen.clear()
    assert open_store().lookup(NAMESPACE, [*keys[:depth], *(f"other {n}" for n in range(depth, 30))]) == Match(
        made, depth
    )
    counts = server.counts()
    assert counts["GetCacheEntryDownloadURL"] + counts["v1 find"] <= 2


def test_a_dead_reservation_is_stepped_over(server: CacheServer, open_store: OpenStore, slept: list[float]) -> None:
    made = extend(open_store, ["a", "b"])
    dead, pointer = server.caches.complete()
    for entry in (dead, pointer):
        server.caches.remove(entry)
        server.caches.reserve(entry.key, entry.version, entry.scope)
    assert extend(open_store, ["a", "b"]) == made
    assert sum(slept) == 15, "its writer may be at work"
    assert packs(server)[-1].key.endswith("-r1")
    assert open_store().lookup(NAMESPACE, ["a", "b"]) == Match(made, 2)


def test_another_writer_was_first(server: CacheServer, open_store: OpenStore, slept: list[float]) -> None:
    """Both looked before either saved."""
    mine, theirs = open_store(), open_store()
    records = []
    for store, content in ((theirs, b"theirs"), (mine, b"mine")):
        records.append(record(step("a", [put_blob(store, content)]), created=f"2026-01-01T00:00:0{len(content)}Z"))
    assert theirs.put_record(records[0])
    server.caches.stale_lookups = 0
    for entry in server.caches.complete():
        entry.visible_after = 1  # what they saved is not found at once
    assert not mine.put_record(records[1])
    assert open_store().lookup(NAMESPACE, ["a"]) == Match(records[0], 1)
    assert len(packs(server)) == 1
    assert slept == []


def test_a_save_asks_nothing_that_its_build_was_told(server: CacheServer, open_store: OpenStore) -> None:
    extend(open_store, ["base", "deps", "app"])
    store = open_store()
    match = store.lookup(NAMESPACE, ["base", "deps", "app 2"])
    assert match is not None
    store.newest(NAMESPACE, match.record.stage)
    server.seen.clear()
    made = record(*match.record.chain[:2], step("app 2", [put_blob(store, b"app 2")]), created="2026-01-02T00:00:00Z")
    assert store.put_record(made)
    counts = server.counts()
    assert counts["GetCacheEntryDownloadURL"] + counts["v1 find"] + counts["get blob"] == 0
    assert open_store().lookup(NAMESPACE, ["base", "deps", "app 2"]) == Match(made, 3)
    assert open_store().newest(NAMESPACE, made.stage) == made


def test_a_save_after_a_long_build_asks_again(
    server: CacheServer, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    assert store.lookup(NAMESPACE, ["base", "deps"]) is None
    theirs = extend(open_store, ["base"])
    monkeypatch.setattr("layercache_ci.store.github.finder.RECENT", 0.0)
    server.seen.clear()
    save(store, [("base", b"base of mine"), ("deps", b"deps")])
    counts = server.counts()
    assert counts["GetCacheEntryDownloadURL"] + counts["v1 find"] == 2, "for the chain, and for the stage's newest"
    assert open_store().lookup(NAMESPACE, ["base", "x"]) == Match(theirs, 1), "the first writer stays"


def test_a_save_after_a_long_build_names_no_entry_that_is_gone(
    server: CacheServer, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    extend(open_store, ["base", "deps"])
    store = open_store()
    match = store.lookup(NAMESPACE, ["base", "deps", "app"])
    assert match is not None
    server.caches.remove(packs(server)[0])
    for module in ("finder", "entries"):
        monkeypatch.setattr(f"layercache_ci.store.github.{module}.RECENT", 0.0)
    made = record(*match.record.chain, step("app", [put_blob(store, b"app")]))
    with pytest.raises(BlobNotFound):
        store.put_record(made)
    assert packs(server) == []


@pytest.mark.parametrize("keys", [["base", "deps"], ["base", "deps", "app"], ["base"], ["base", "other"]])
def test_what_another_saved_meanwhile_stays(open_store: OpenStore, keys: list[str]) -> None:
    """It was not there when this run asked, just before."""
    mine = open_store()
    assert mine.lookup(NAMESPACE, ["base", "deps"]) is None
    assert mine.newest(NAMESPACE, "app") is None
    theirs = save(open_store(), [(key, f"their {key}".encode()) for key in keys])
    made = save(mine, [("base", b"base"), ("deps", b"deps")], created="2026-01-02T00:00:00Z")
    store = open_store()
    found = store.lookup(NAMESPACE, ["base", "deps"])
    assert found is not None
    assert found.depth == 2
    if keys[:2] != ["base", "deps"]:
        assert found.record == made
    for link in found.record.chain:
        read_blob(store, link.layers[0].blob)
    if keys != ["base"]:  # which the newer entry serves as well
        assert store.lookup(NAMESPACE, keys) == Match(theirs, len(keys))
        for link in theirs.chain:
            read_blob(store, link.layers[0].blob)
    assert store.newest(NAMESPACE, "app") in (theirs, made)


def test_what_is_large_is_asked_for_before_it_is_sent(server: CacheServer, open_store: OpenStore) -> None:
    mine, large = open_store(), bytes(LITTLE) + b"base"
    assert mine.lookup(NAMESPACE, ["base", "deps"]) is None
    save(open_store(), [("base", large), ("other", b"other")])
    save(mine, [("base", large), ("deps", b"deps")], created="2026-01-02T00:00:00Z")
    assert sum(entry.size or 0 for entry in server.caches.complete()) < 2 * LITTLE
    found = open_store().lookup(NAMESPACE, ["base", "deps"])
    assert found is not None
    assert found.depth == 2


def test_what_was_just_saved_is_found_a_little_later(server: CacheServer, open_store: OpenStore) -> None:
    server.caches.stale_lookups = 1
    store = open_store()
    made = save(store, [("a", b"a")])
    for entry in server.caches.complete():
        entry.visible_after = 2
    assert store.contains([made.chain[0].layers[0].blob.digest]), "the run that saved it knows"
    assert store.lookup(NAMESPACE, ["a"]) is None
    assert store.lookup(NAMESPACE, ["a"]) is None
    assert store.lookup(NAMESPACE, ["a"]) == Match(made, 1)
