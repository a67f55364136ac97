"""What every store promises of what is removed on request, and of what it says it holds."""

from __future__ import annotations

from layercache_ci.store.model import Match, Removed, Retention, Scopes
from tests.contract.backends import Backend
from tests.contract.samples import NAMESPACE, descriptor_of, put_blob, read_blob, record, save, step

KIB = 1024
OLD = 200_000.0
"""Seconds: beyond every time of grace."""
NOTHING = Removed(0, 0, 0)
MAIN = Scopes(("main",), "main")


def filled(letter: str) -> bytes:
    return letter.encode() * (100 * KIB)


def two_saved(backend: Backend) -> None:
    """A record of old times, and one that was used since."""
    store = backend.open()
    save(store, [("a", filled("a"))], stage="a")
    used = save(store, [("b", filled("b"))], stage="b")
    backend.age(5 * OLD)
    store.touch(used, 1)
    assert store.put_record(record(*used.chain, stage="b", created="2027-01-01T00:00:00Z")) is False


def test_what_was_not_used_for_too_long_goes(backend: Backend) -> None:
    two_saved(backend)
    store = backend.open()
    removed = store.prune(Retention(max_age=4 * OLD))
    assert removed.records == 1
    assert 100 * KIB <= removed.size < 110 * KIB
    assert store.lookup(NAMESPACE, ["a"]) is None
    found = store.lookup(NAMESPACE, ["b"])
    assert found is not None
    assert read_blob(store, found.record.chain[0].layers[0].blob) == filled("b")
    assert store.prune(Retention(max_age=4 * OLD)) == NOTHING


def test_a_dry_run_says_the_same_and_removes_nothing(backend: Backend) -> None:
    two_saved(backend)
    before = backend.open().stats()
    said = backend.open().prune(Retention(max_age=4 * OLD, dry_run=True))
    assert backend.open().stats() == before
    assert backend.open().prune(Retention(max_age=4 * OLD)) == said
    assert said.records == 1


def test_what_is_given_counts_not_the_stores_own_limit(backend: Backend) -> None:
    two_saved(backend)
    store = backend.open(max_size=0)
    assert store.prune(Retention(max_size=1 << 40)) == NOTHING
    assert store.prune(Retention(max_size=150 * KIB)).records == 1
    assert store.lookup(NAMESPACE, ["b"]) is not None
    assert store.lookup(NAMESPACE, ["a"]) is None


def test_both_limits_hold(backend: Backend) -> None:
    two_saved(backend)
    backend.age(OLD)
    store = backend.open()
    assert store.prune(Retention(max_age=4 * OLD, max_size=50 * KIB)).records == 2
    assert store.stats().records == 0


def test_what_is_being_saved_stays_whatever_the_rules(backend: Backend) -> None:
    store = backend.open()
    blob = put_blob(store, filled("a"))
    rules = Retention(max_size=0, max_age=0, unreferenced=True)
    assert backend.open().prune(rules) == NOTHING
    saved = record(step("a", [blob]))
    assert store.put_record(saved)
    backend.open().prune(rules)
    assert store.lookup(NAMESPACE, ["a"]) == Match(saved, 1)


def test_a_young_record_of_old_layers_stays_whatever_its_age_may_be(backend: Backend) -> None:
    store = backend.open()
    save(store, [("a", filled("a"))], stage="old")
    backend.age(5 * OLD)
    saved = save(store, [("a", filled("a")), ("b", b"")], stage="new")
    backend.open().prune(Retention(max_age=0))
    assert store.lookup(NAMESPACE, ["a", "b"]) == Match(saved, 2)


def test_blobs_that_no_record_names_go_where_that_is_asked_for(backend: Backend) -> None:
    store = backend.open()
    saved = save(store, [("a", filled("a"))])
    put_blob(store, filled("u"))
    backend.age(OLD)
    assert store.prune(Retention(max_size=1 << 40)) == NOTHING
    assert store.prune(Retention(unreferenced=True)).blobs == 1
    assert store.contains([descriptor_of(filled("u")).digest]) == frozenset()
    assert store.lookup(NAMESPACE, ["a"]) == Match(saved, 1)


def test_a_run_that_may_not_write_removes_nothing(backend: Backend) -> None:
    two_saved(backend)
    before = backend.open().stats()
    assert backend.open(Scopes(("own",), None)).prune(Retention(max_size=0, max_age=0)) == NOTHING
    assert backend.open().stats() == before


def test_shared_layers_stay_with_what_is_in_use(backend: Backend) -> None:
    store = backend.open()
    save(store, [("a", filled("a")), ("b", filled("b"))], stage="old")
    backend.age(5 * OLD)
    newer = save(store, [("a", filled("a")), ("c", filled("c"))], created="2026-01-02T00:00:00Z", stage="new")
    assert store.prune(Retention(max_age=4 * OLD)).blobs == 1
    assert store.lookup(NAMESPACE, ["a", "c"]) == Match(newer, 2)
    assert read_blob(store, descriptor_of(filled("a"))) == filled("a")


def test_everything_is_listed_by_scope(backend: Backend) -> None:
    save(backend.open(MAIN), [("a", filled("a"))], stage="one", created="2026-01-01T00:00:00Z")
    save(backend.open(), [("b", filled("b"))], stage="two", created="2026-01-02T00:00:00Z")
    save(backend.open(), [("c", filled("c"))], stage="two", created="2026-01-03T00:00:00Z")
    found = list(backend.open(Scopes(("own", "main"), "own")).inventory())
    assert sorted((holding.scope, holding.stage, holding.title) for holding in found) == [
        ("main", "one", "RUN make a"),
        ("own", "two", "RUN make b"),
        ("own", "two", "RUN make c"),
    ]
    for holding in found:
        assert 100 * KIB <= sum(holding.parts.values()) < 110 * KIB
        assert holding.created > 0
        assert holding.used > 0


def test_an_empty_store_lists_and_removes_nothing(backend: Backend) -> None:
    assert list(backend.open().inventory()) == []
    assert backend.open().prune(Retention(max_size=0, max_age=0, unreferenced=True)) == NOTHING
