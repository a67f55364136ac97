"""A service that has a bad day: what is a miss, what is waited for, what is said, and what is never said."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from layercache_ci.errors import BlobNotFound, StoreUnavailable
from layercache_ci.layers.model import Descriptor
from layercache_ci.store.github.client import BLOCK
from layercache_ci.store.model import Match, Scopes
from tests.contract.samples import NAMESPACE, put_blob, read_blob, record, save, step
from tests.fakes.github_cache import CacheServer
from tests.fakes.github_cache.tokens import make_token
from tests.integration.store.github.conftest import OpenStore

BIG = os.urandom(5 << 20)
CHAIN = [("a", b"small"), ("b", BIG)]
BOTH = ["a", "b"]
EXPIRED = make_token(("refs/heads/main",), "refs/heads/main", seconds=-1)


def blob_of(found: Match | None) -> Descriptor:
    assert found is not None
    return found.record.chain[1].layers[0].blob


def test_a_url_that_ended_is_renewed(server: CacheServer, open_store: OpenStore) -> None:
    save(open_store(), CHAIN)
    store = open_store()
    server.weather.url_seconds = 5
    blob = blob_of(store.lookup(NAMESPACE, BOTH))
    server.later(10)
    assert read_blob(store, blob) == BIG


@pytest.mark.parametrize("status", [401, 403])
def test_a_url_that_is_refused_is_asked_for_anew_once(server: CacheServer, open_store: OpenStore, status: int) -> None:
    save(open_store(), CHAIN)
    store = open_store()
    blob = blob_of(store.lookup(NAMESPACE, BOTH))
    server.seen.clear()
    server.fail("get blob", status)
    assert store.read_range(blob, 3 << 20, 100) == BIG[3 << 20 : (3 << 20) + 100]
    counts = server.counts()
    assert counts["GetCacheEntryDownloadURL"] + counts["v1 find"] == 1
    server.fail("get blob", status, times=2)
    with pytest.raises(StoreUnavailable, match=str(status)):
        store.read_range(blob, 3 << 20, 100)


def test_a_host_without_ranges_is_found_out_once(server: CacheServer, open_store: OpenStore, tmp_path: Path) -> None:
    save(open_store(), CHAIN)
    server.weather.ignore_ranges = True
    store = open_store()
    blob = blob_of(store.lookup(NAMESPACE, BOTH))
    server.seen.clear()
    for offset in range(0, len(BIG), 1 << 20):
        assert store.read_range(blob, offset, 50) == BIG[offset : offset + 50]
    assert read_blob(store, blob) == BIG
    assert server.counts()["get blob"] == 0, "the whole entry was fetched with its head"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "whole" in path.parts], (
        "of nothing to remove"
    )


def test_urls_without_a_query(server: CacheServer, open_store: OpenStore) -> None:
    server.weather.signed_urls = False
    data = os.urandom(BLOCK + 1)
    saved = save(open_store(), [("a", data)])
    store = open_store()
    assert store.lookup(NAMESPACE, ["a"]) == Match(saved, 1)
    assert read_blob(store, saved.chain[0].layers[0].blob) == data


def test_a_host_that_hangs_up_in_the_middle(server: CacheServer, open_store: OpenStore) -> None:
    save(open_store(), CHAIN)
    store = open_store()
    blob = blob_of(store.lookup(NAMESPACE, BOTH))
    server.weather.cut_bodies_at = 100_000
    with pytest.raises(StoreUnavailable, match="breaks off"):
        read_blob(store, blob)
    server.weather.cut_bodies_at = None
    assert read_blob(store, blob) == BIG
    assert store.contains([blob.digest]) == {blob.digest}, "that was no damage"


@pytest.mark.parametrize("status", [500, 502, 503, 0])
def test_what_passes_is_tried_again(server: CacheServer, open_store: OpenStore, status: int) -> None:
    kinds = ["GetCacheEntryDownloadURL", "CreateCacheEntry", "put blob", "FinalizeCacheEntryUpload", "get blob"]
    kinds += ["v1 find", "v1 reserve", "v1 upload", "v1 commit"]
    for kind in kinds:
        server.fail(kind, status)
    saved = save(open_store(), CHAIN)
    assert open_store().lookup(NAMESPACE, BOTH) == Match(saved, 2)


@pytest.mark.parametrize("kind", ["CreateCacheEntry", "FinalizeCacheEntryUpload", "v1 reserve", "v1 commit"])
def test_an_answer_that_was_lost(server: CacheServer, open_store: OpenStore, kind: str) -> None:
    """The request was done and the connection broke: a second one finds the key reserved, or the entry finished."""
    server.fail(kind, 0, late=True)
    saved = save(open_store(), CHAIN)
    assert open_store().lookup(NAMESPACE, BOTH) == Match(saved, 2)


def test_a_rate_limit_is_waited_for(server: CacheServer, open_store: OpenStore, slept: list[float]) -> None:
    for kind in ("GetCacheEntryDownloadURL", "CreateCacheEntry", "v1 find", "v1 reserve"):
        server.fail(kind, 429, headers={"Retry-After": "7"})
    saved = save(open_store(), CHAIN)
    assert slept == [7.0, 7.0]
    assert open_store().lookup(NAMESPACE, BOTH) == Match(saved, 2)


def test_a_rate_limit_that_lasts_is_given_up(server: CacheServer, open_store: OpenStore, slept: list[float]) -> None:
    for kind in ("CreateCacheEntry", "v1 reserve"):
        server.fail(kind, 429, times=100, headers={"Retry-After": "25"})
    store = open_store()
    saved = record(step("a", [put_blob(store, BIG)]))
    with pytest.raises(StoreUnavailable, match="rate limit"):
        store.put_record(saved)
    assert slept == [25.0, 25.0], "a minute in all"
    assert not store.put_record(saved), "it is said once"


def test_a_token_that_may_only_read(open_store: OpenStore) -> None:
    saved = save(open_store(), CHAIN)
    fork = open_store(Scopes(("refs/heads/main",), None))
    assert fork.lookup(NAMESPACE, BOTH) == Match(saved, 2)
    assert not fork.put_record(saved)
    with pytest.raises(StoreUnavailable, match="only read"):
        fork.new_blob("x")


def test_a_token_that_turns_out_to_be_read_only(server: CacheServer, open_store: OpenStore) -> None:
    store = open_store(ACTIONS_RUNTIME_TOKEN=server.token(("refs/heads/main",), None))
    saved = record(step("a", [put_blob(store, BIG)]))
    with pytest.raises(StoreUnavailable, match="refused"):
        store.put_record(saved)
    assert not store.put_record(saved)
    assert open_store().lookup(NAMESPACE, ["a"]) is None


def test_a_token_that_may_not_read(server: CacheServer, open_store: OpenStore) -> None:
    save(open_store(), CHAIN)
    server.fail("GetCacheEntryDownloadURL", 403, body=b'{"code":"permission_denied","msg":"cache read denied: x"}')
    server.fail("v1 find", 403, body=b'{"message":"cache read denied: x"}')
    store = open_store()
    with pytest.raises(StoreUnavailable, match="cache read denied"):
        store.lookup(NAMESPACE, BOTH)
    asked = len(server.seen)
    assert store.lookup(NAMESPACE, BOTH) is None
    assert store.newest(NAMESPACE, "app") is None
    assert len(server.seen) == asked, "it is asked once"


def test_an_expired_token(open_store: OpenStore) -> None:
    store = open_store(ACTIONS_RUNTIME_TOKEN=EXPIRED)
    with pytest.raises(StoreUnavailable, match="does not take the token"):
        store.lookup(NAMESPACE, BOTH)
    assert store.lookup(NAMESPACE, BOTH) is None


@pytest.mark.parametrize(("mode", "reads", "writes"), [("none", 0, 0), ("read", 1, 0), ("write-only", 0, 1)])
def test_the_jobs_cache_mode(server: CacheServer, open_store: OpenStore, mode: str, reads: int, writes: int) -> None:
    saved = save(open_store(), [("a", b"1")])
    before = len(server.caches.complete())
    store = open_store(ACTIONS_CACHE_MODE=mode)
    assert store.lookup(NAMESPACE, ["a"]) == (Match(saved, 1) if reads else None)
    assert store.put_record(record(step("b"))) == bool(writes)
    assert (len(server.caches.complete()) > before) == bool(writes)


def test_a_quota_that_is_used_up(server: CacheServer, open_store: OpenStore) -> None:
    for kind in ("CreateCacheEntry", "v1 reserve"):
        server.fail(kind, 403, body=b'{"msg":"insufficient usage to create cache entry"}', times=5)
    store = open_store()
    saved = record(step("a", [put_blob(store, BIG)]))
    with pytest.raises(StoreUnavailable, match="insufficient usage"):
        store.put_record(saved)
    assert not store.put_record(saved)
    assert store.lookup(NAMESPACE, ["a"]) is None


def test_eviction_is_a_miss_at_any_moment(server: CacheServer, open_store: OpenStore) -> None:
    save(open_store(), CHAIN)
    store = open_store()
    blob = blob_of(store.lookup(NAMESPACE, BOTH))
    for entry in server.caches.complete():
        server.caches.remove(entry)
    with pytest.raises((BlobNotFound, StoreUnavailable)):
        read_blob(store, blob)
    assert open_store().lookup(NAMESPACE, BOTH) is None


def test_no_secret_is_sent_or_said(
    server: CacheServer, open_store: OpenStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urllib3.util.retry.Retry.get_backoff_time", lambda _retry: 0)
    caplog.set_level(logging.DEBUG)
    save(open_store(), CHAIN)
    store = open_store()
    blob = blob_of(store.lookup(NAMESPACE, BOTH))
    for kind in ("get blob", "get blob", "get blob", "get blob", "get blob"):
        server.fail(kind, 0)
    with pytest.raises(StoreUnavailable) as caught:
        store.read_range(blob, 4 << 20, 10)
    blobs = [seen for seen in server.seen if seen.kind.endswith(("blob", "block", "block list"))]
    assert blobs
    assert not any("authorization" in seen.headers for seen in blobs)
    said = caplog.text + str(caught.value) + repr(caught.value.__cause__) + repr(store.__dict__)
    assert "sig=" not in said
    assert server.token().split(".")[0] not in said
