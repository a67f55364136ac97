"""What every store promises of its records."""

from __future__ import annotations

import pytest

from layercache_ci.errors import BlobNotFound, StoreUnavailable
from layercache_ci.layers.model import ZSTD_LAYER, Layer
from layercache_ci.store.model import Match, Scopes, Step
from tests.contract.backends import Backend
from tests.contract.samples import NAMESPACE, descriptor_of, put_blob, read_blob, record, save, step

FORK = Scopes(("own", "main"), None)
BRANCH = Scopes(("own", "main"), "own")
MAIN = Scopes(("main",), "main")


def test_an_empty_store_answers_as_one(backend: Backend) -> None:
    store = backend.open()
    assert store.lookup(NAMESPACE, ["a", "b"]) is None
    assert store.lookup(NAMESPACE, []) is None
    assert store.newest(NAMESPACE, "app") is None
    assert store.contains([descriptor_of(b"x").digest]) == frozenset()
    assert list(store.records()) == []
    assert (store.stats().records, store.stats().blobs, store.stats().size) == (0, 0, 0)
    assert store.collect() == 0


def test_a_record_is_found_at_each_of_its_depths(backend: Backend) -> None:
    saved = save(backend.open(), [("a", b"1"), ("b", b"2"), ("c", b"3")])
    store = backend.open()
    assert store.lookup(NAMESPACE, ["a", "b", "c"]) == Match(saved, 3)
    assert store.lookup(NAMESPACE, ["a", "b", "other", "c"]) == Match(saved, 2)
    assert store.lookup(NAMESPACE, ["a"]) == Match(saved, 1)
    assert store.lookup(NAMESPACE, ["other", "b"]) is None
    assert store.lookup("another namespace", ["a", "b", "c"]) is None


def test_the_full_keys_count_not_the_last_one(backend: Backend) -> None:
    saved = save(backend.open(), [("a", b"1"), ("b", b"2")])
    store = backend.open()
    assert store.lookup(NAMESPACE, ["x", "b"]) is None
    assert store.lookup(NAMESPACE, ["a", "x", "b"]) == Match(saved, 1)
    assert store.lookup(NAMESPACE, ["b"]) is None


def test_the_first_writer_of_a_key_stays(backend: Backend) -> None:
    store = backend.open()
    first = save(store, [("a", b"1"), ("b", b"2")], created="2026-01-01T00:00:00Z")
    second = save(store, [("a", b"1'"), ("b", b"2"), ("c", b"3")], created="2026-01-02T00:00:00Z")
    assert store.lookup(NAMESPACE, ["a", "b"]) == Match(first, 2)
    assert store.lookup(NAMESPACE, ["a", "b", "c"]) == Match(second, 3)


def test_a_chain_that_is_held_whole_gets_no_new_record(backend: Backend) -> None:
    store = backend.open()
    blob = put_blob(store, b"1")
    first = record(step("a", [blob]), step("b"))
    assert store.put_record(first)
    later = record(step("a", [blob]), step("b"), created="2027-01-01T00:00:00Z")
    assert not store.put_record(later)
    assert backend.count_records() == 1
    assert store.newest(NAMESPACE, first.stage) == first


def test_the_same_record_again_still_is_the_one_pointed_to(backend: Backend) -> None:
    store = backend.open()
    saved = record(step("a", [put_blob(store, b"1")]))
    assert store.put_record(saved)
    assert store.put_record(saved)
    assert backend.count_records() == 1


def test_superseded_keys_get_the_new_record_and_only_they(backend: Backend) -> None:
    store = backend.open()
    first = save(store, [("a", b"1"), ("b", b"2"), ("c", b"3")])
    successor = record(*(step(key, [put_blob(store, key.encode())]) for key in "abc"), created="2026-02-01T00:00:00Z")
    assert store.put_record(successor, supersede=frozenset({"b"}))
    assert store.lookup(NAMESPACE, ["a"]) == Match(first, 1)
    assert store.lookup(NAMESPACE, ["a", "b"]) == Match(successor, 2)
    assert store.lookup(NAMESPACE, ["a", "b", "c"]) == Match(first, 3)


def test_a_record_whose_blobs_are_not_there_is_refused(backend: Backend) -> None:
    store = backend.open()
    held = put_blob(store, b"here")
    missing = descriptor_of(b"never written")
    with pytest.raises(BlobNotFound, match=missing.digest):
        store.put_record(record(step("a", [held]), step("b", [missing])))
    layer = Layer(diff_id=held.digest, size=4, blob=held, tar_split=missing)
    with pytest.raises(BlobNotFound, match=missing.digest):
        store.put_record(record(Step(key="a", instruction="RUN", text="", ingredients={}, layers=(layer,))))
    assert store.lookup(NAMESPACE, ["a", "b"]) is None
    assert backend.count_records() == 0


def test_a_record_serves_only_as_deep_as_its_blobs_are_there(backend: Backend) -> None:
    saved = save(backend.open(), [("a", b"1"), ("b", b"2"), ("c", b"3")])
    backend.remove_blob(saved.chain[1].layers[0].blob.digest)
    store = backend.open()
    assert store.lookup(NAMESPACE, ["a", "b", "c"]) == Match(saved, 1)


def test_a_record_whose_layer_is_gone_is_succeeded(backend: Backend) -> None:
    store = backend.open()
    saved = save(store, [("a", b"1"), ("b", b"2"), ("c", b"3")])
    backend.remove_blob(saved.chain[1].layers[0].blob.digest)
    successor = save(store, [("a", b"1"), ("b", b"built again"), ("c", b"3")], created="2026-02-01T00:00:00Z")
    assert store.lookup(NAMESPACE, ["a", "b", "c"]) == Match(successor, 3)
    assert store.lookup(NAMESPACE, ["a"]) == Match(saved, 1)
    assert store.newest(NAMESPACE, "app") == successor


@pytest.mark.parametrize("how", ["truncate", "alter", "empty", "remove"])
def test_a_damaged_record_is_a_miss_and_is_succeeded(backend: Backend, how: str) -> None:
    store = backend.open()
    layers = [("a", b"1"), ("b", b"2")]
    saved = save(store, layers)
    backend.damage_records(how=how)
    assert store.lookup(NAMESPACE, ["a", "b"]) is None
    assert store.newest(NAMESPACE, "app") is None
    assert list(store.records()) == []
    store.collect()
    assert store.put_record(saved)
    assert store.lookup(NAMESPACE, ["a", "b"]) == Match(saved, 2)
    assert store.newest(NAMESPACE, "app") == saved


def test_newest_is_the_record_that_serves_the_stage_now(backend: Backend) -> None:
    store = backend.open()
    first = save(store, [("a", b"1")], created="2026-01-01T00:00:00Z")
    second = save(store, [("b", b"2")], created="2026-01-02T00:00:00Z")
    assert store.newest(NAMESPACE, "app") == second
    save(store, [("a", b"1")], created="2026-01-03T00:00:00Z")
    assert store.newest(NAMESPACE, "app") == first
    assert store.newest(NAMESPACE, "another stage") is None
    assert list(store.records()) == [second, first]


def test_deeper_wins_over_the_own_scope_and_the_own_scope_at_equal_depth(backend: Backend) -> None:
    own = backend.open(Scopes(("own",), "own"))
    main = backend.open(MAIN)
    mine = save(own, [("a", b"1"), ("b", b"mine")])
    theirs = save(main, [("a", b"1"), ("b", b"theirs"), ("c", b"3")])
    store = backend.open(BRANCH)
    assert store.lookup(NAMESPACE, ["a", "b", "c"]) == Match(theirs, 3)
    assert store.lookup(NAMESPACE, ["a", "b", "x"]) == Match(mine, 2)
    assert store.newest(NAMESPACE, "app") == mine


def test_a_scope_that_may_not_be_read_is_not_seen(backend: Backend) -> None:
    branch = backend.open(BRANCH)
    saved = save(branch, [("a", b"1")])
    main = backend.open(MAIN)
    assert main.lookup(NAMESPACE, ["a"]) is None
    assert main.newest(NAMESPACE, "app") is None
    assert list(main.records()) == []
    assert main.put_record(saved)
    assert main.lookup(NAMESPACE, ["a"]) == Match(saved, 1)


def test_what_the_default_branch_holds_is_not_written_again(backend: Backend) -> None:
    saved = save(backend.open(MAIN), [("a", b"1"), ("b", b"2")])
    branch = backend.open(BRANCH)
    again = record(*saved.chain, created="2027-01-01T00:00:00Z", stage="app")
    assert not branch.put_record(again)
    assert backend.count_records() == 1
    assert branch.put_record(again, supersede=frozenset({"b"}))
    assert branch.lookup(NAMESPACE, ["a", "b"]) == Match(again, 2)
    assert backend.open(MAIN).lookup(NAMESPACE, ["a", "b"]) == Match(saved, 2)


def test_a_fork_reads_and_leaves_the_store_as_it_is(backend: Backend) -> None:
    saved = save(backend.open(MAIN), [("a", b"1")])
    before = backend.open(MAIN).stats()
    fork = backend.open(FORK, max_size=0)
    assert fork.lookup(NAMESPACE, ["a"]) == Match(saved, 1)
    assert read_blob(fork, saved.chain[0].layers[0].blob) == b"1"
    assert not fork.put_record(record(step("b"), stage="app"))
    with pytest.raises(StoreUnavailable, match="only read"):
        fork.new_blob(ZSTD_LAYER)
    fork.touch(saved, 1)
    backend.age(10_000)
    assert fork.collect() == 0
    assert backend.open(MAIN).stats() == before
    assert fork.newest(NAMESPACE, "app") == saved


def test_names_may_hold_anything(backend: Backend) -> None:
    strange = "refs/heads/…/../" + "x" * 500
    scopes = Scopes((strange,), strange)
    store = backend.open(scopes)
    saved = record(step("../" * 100 + "é"), stage="a/\0b", namespace=".")
    assert store.put_record(saved)
    assert backend.open(scopes).lookup(".", [saved.chain[0].key]) == Match(saved, 1)
    assert backend.open(Scopes((strange.upper(),), None)).lookup(".", [saved.chain[0].key]) is None
