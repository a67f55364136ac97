"""What every store with a size limit promises of it."""

from __future__ import annotations

from layercache_ci.store.model import Match, Scopes
from tests.contract.backends import OWN, Backend
from tests.contract.samples import NAMESPACE, descriptor_of, put_blob, read_blob, record, save, step

KIB = 1024
OLD = 10_000.0
"""Seconds: beyond every time of grace."""


def filled(letter: bytes, size: int = 100 * KIB) -> bytes:
    return letter * size


def test_the_least_recently_used_record_goes_first(backend: Backend) -> None:
    store = backend.open(max_size=250 * KIB)
    saved = {}
    for letter in (b"a", b"b", b"c"):
        saved[letter] = save(store, [(letter.decode(), filled(letter))], stage=letter.decode())
        backend.age(OLD)
    store.touch(saved[b"a"], 1)
    freed = store.collect()
    assert 100 * KIB <= freed < 110 * KIB
    assert store.stats().size <= 250 * KIB
    assert store.lookup(NAMESPACE, ["b"]) is None
    assert store.newest(NAMESPACE, "b") is None
    for letter in (b"a", b"c"):
        assert store.lookup(NAMESPACE, [letter.decode()]) == Match(saved[letter], 1)
        assert read_blob(store, descriptor_of(filled(letter))) == filled(letter)
    assert store.contains([descriptor_of(filled(b"b")).digest]) == frozenset()


def test_a_save_that_finds_its_chain_held_is_a_use(backend: Backend) -> None:
    store = backend.open(max_size=150 * KIB)
    first = save(store, [("a", filled(b"a"))], stage="a")
    backend.age(OLD)
    save(store, [("b", filled(b"b"))], stage="b")
    backend.age(OLD)
    assert not store.put_record(record(*first.chain, created="2027-01-01T00:00:00Z"))
    store.collect()
    assert store.lookup(NAMESPACE, ["a"]) == Match(first, 1)
    assert store.lookup(NAMESPACE, ["b"]) is None


def test_under_the_limit_nothing_goes(backend: Backend) -> None:
    store = backend.open(max_size=250 * KIB)
    put_blob(store, filled(b"u"))
    save(store, [("a", filled(b"a"))])
    backend.age(OLD)
    before = store.stats()
    assert (store.collect(), store.collect()) == (0, 0)
    assert store.stats() == before


def test_what_grows_after_a_count_is_counted(backend: Backend) -> None:
    store = backend.open(max_size=250 * KIB)
    for letter in (b"a", b"b", b"c", b"d", b"e"):
        save(store, [(letter.decode(), filled(letter))], stage=letter.decode())
        backend.age(OLD)
        backend.open(max_size=250 * KIB).collect()
        assert store.stats().size <= 250 * KIB
    assert store.lookup(NAMESPACE, ["e"]) is not None
    assert store.lookup(NAMESPACE, ["d"]) is not None


def test_blobs_that_no_record_names_go_before_any_record(backend: Backend) -> None:
    store = backend.open(max_size=150 * KIB)
    saved = save(store, [("a", filled(b"a"))])
    backend.age(OLD)
    put_blob(store, filled(b"u"))
    backend.age(OLD)
    store.collect()
    assert store.contains([descriptor_of(filled(b"u")).digest]) == frozenset()
    assert store.lookup(NAMESPACE, ["a"]) == Match(saved, 1)


def test_a_blob_in_flight_is_kept(backend: Backend) -> None:
    store = backend.open(max_size=0)
    blob = put_blob(store, filled(b"a"))
    store.collect()
    assert store.put_record(record(step("a", [blob])))
    backend.age(OLD)
    store.collect()
    assert store.stats().size == 0


def test_an_old_blob_that_a_save_asked_for_is_kept(backend: Backend) -> None:
    store = backend.open(max_size=0)
    blob = put_blob(store, filled(b"a"))
    backend.age(OLD)
    assert store.contains([blob.digest]) == {blob.digest}
    store.collect()
    assert store.put_record(record(step("a", [blob])))


def test_a_fresh_record_is_not_dropped_where_that_frees_nothing(backend: Backend) -> None:
    store = backend.open(max_size=50 * KIB)
    saved = save(store, [("a", filled(b"a"))])
    store.collect()
    assert store.lookup(NAMESPACE, ["a"]) == Match(saved, 1)


def test_shared_layers_stay_with_the_record_that_stays(backend: Backend) -> None:
    store = backend.open(max_size=250 * KIB)
    save(store, [("a", filled(b"a")), ("b", filled(b"b"))], created="2026-01-01T00:00:00Z")
    backend.age(OLD)
    newer = save(store, [("a", filled(b"a")), ("c", filled(b"c"))], created="2026-01-02T00:00:00Z")
    backend.age(OLD)
    assert store.collect() >= 100 * KIB
    assert store.lookup(NAMESPACE, ["a", "c"]) == Match(newer, 2)
    # The record that was found by key a is gone; the one that is left serves it as well.
    assert store.lookup(NAMESPACE, ["a", "b"]) == Match(newer, 1)
    assert store.newest(NAMESPACE, "app") == newer


def test_a_stage_keeps_a_newest_record(backend: Backend) -> None:
    store = backend.open(max_size=250 * KIB)
    left = save(store, [("a", filled(b"a")), ("b", filled(b"b"))], created="2026-01-01T00:00:00Z")
    backend.age(OLD)
    save(store, [("a", filled(b"a")), ("c", filled(b"c"))], created="2026-01-02T00:00:00Z")
    backend.age(OLD)
    store.touch(left, 2)
    store.collect()
    assert store.lookup(NAMESPACE, ["a", "c"]) == Match(left, 1)
    assert store.newest(NAMESPACE, "app") == left


def test_all_scopes_share_one_limit(backend: Backend) -> None:
    other = backend.open(Scopes(("other",), "other"))
    save(other, [("a", filled(b"a"))])
    backend.age(OLD)
    store = backend.open(OWN, max_size=150 * KIB)
    saved = save(store, [("b", filled(b"b"))])
    backend.age(OLD)
    store.collect()
    assert other.lookup(NAMESPACE, ["a"]) is None
    assert store.lookup(NAMESPACE, ["b"]) == Match(saved, 1)
