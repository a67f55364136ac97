"""How many requests a build makes of S3."""

from __future__ import annotations

from layercache_ci.store.model import Match, Scopes
from layercache_ci.store.s3_entries import SEGMENT
from tests.contract.samples import NAMESPACE, put_blob, record, save, step
from tests.integration.store.s3.conftest import Place

MIB = 1 << 20
PULL_REQUEST = Scopes(("pull/1", "develop", "main"), "pull/1")
KEYS = [f"key{number}" for number in range(30)]


def test_a_warm_lookup_of_thirty_steps_in_three_scopes(place: Place) -> None:
    saved = save(place.open(Scopes(("main",), "main")), [(key, key.encode()) for key in KEYS])
    store = place.open(PULL_REQUEST)
    assert store.lookup(NAMESPACE, KEYS) == Match(saved, 30)
    assert store.calls == {"ListObjectsV2": 4, "GetObject": 1}
    store.touch(saved, 30)
    assert store.calls == {"ListObjectsV2": 4, "GetObject": 1}, "what is young is left alone"
    assert store.lookup(NAMESPACE, [*KEYS[:20], "changed"]) == Match(saved, 20)
    assert store.calls == {"ListObjectsV2": 8, "GetObject": 2}


def test_saving_the_steps_that_changed(place: Place) -> None:
    saved = save(place.open(Scopes(("main",), "main")), [(key, key.encode()) for key in KEYS])
    store = place.open(PULL_REQUEST)
    assert len(store.contains(blob.digest for link in saved.chain for blob in [link.layers[0].blob])) == 30
    assert store.calls == {"ListObjectsV2": 1}
    changed = record(*saved.chain[:29], step("changed", [put_blob(store, b"changed")]), stage="app")
    assert store.put_record(changed)
    assert store.calls == {"ListObjectsV2": 5, "GetObject": 1, "PutObject": 4}
    assert store.lookup(NAMESPACE, [*KEYS[:29], "changed"]) == Match(changed, 30)


def test_an_empty_store_is_found_out_at_once(place: Place) -> None:
    store = place.open(PULL_REQUEST)
    assert store.lookup(NAMESPACE, KEYS) is None
    assert store.calls == {"ListObjectsV2": 4}


def test_a_lazily_mounted_layer_brings_the_digests_of_its_blocks_with_its_end(place: Place) -> None:
    blob = put_blob(place.open(), bytes(5 * MIB))
    store = place.open()
    assert store.read_range(blob, blob.size - 100, 100) == bytes(100)
    assert store.read_range(blob, 2 * MIB, 100) == bytes(100)
    assert store.calls == {"GetObject": 2}
    other = place.open()
    assert other.read_range(blob, 2 * MIB, 100) == bytes(100)
    assert other.calls == {"GetObject": 2}


def test_a_chain_longer_than_an_entry(place: Place) -> None:
    keys = [f"key{number}" for number in range(2 * SEGMENT + 5)]
    store = place.open()
    saved = save(store, [(key, b"same") for key in keys])
    for depth in (1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, len(keys)):
        assert store.lookup(NAMESPACE, [*keys[:depth], "other"]) == Match(saved, depth)


def test_more_chains_with_the_same_beginning_than_a_listing_holds(place: Place) -> None:
    """The deepest match is found by halving, not by listing them all."""
    store = place.open()
    connection = store._connection
    saved = save(store, [(key, key.encode()) for key in KEYS[:8]])
    entry = next(each for each in connection.objects("scopes/") if "/chains/" in each.name).name
    folder, _, name = entry.rpartition("/")
    tags = folder[: -6 * 4]  # the first four keys
    connection.map(lambda number: connection.put(f"{tags}{number:06x}/{name}", b""), range(1, 1101))
    before = store.calls["ListObjectsV2"]
    assert store.lookup(NAMESPACE, KEYS[:8]) == Match(saved, 8)
    assert store.calls["ListObjectsV2"] - before <= 6
