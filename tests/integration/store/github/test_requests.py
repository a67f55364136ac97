"""How often the service is asked: the figure that a rate limit and a distant service make count."""

from __future__ import annotations

import pytest

from layercache_ci.store.github.store import GithubStore
from layercache_ci.store.model import Match, Scopes
from tests.contract.samples import NAMESPACE, digest_of, read_blob, save
from tests.fakes.github_cache import CacheServer
from tests.integration.store.github.conftest import MAIN, OpenStore

BRANCH = Scopes(("refs/heads/topic", "refs/heads/main"), "refs/heads/topic")
ASKED = {"GetCacheEntryDownloadURL", "v1 find"}


def stage(number: int, changed: int = 0) -> list[tuple[str, bytes]]:
    """Ten steps; the last `changed` of them are others. All stages share a base image."""
    steps = [("base", b"base" * 500_000)]
    for link in range(1, 10):
        name = f"stage {number} step {link}" + (" changed" if link >= 10 - changed else "")
        steps.append((name, name.encode() * 5_000))
    return [(digest_of(key.encode())[7:], data) for key, data in steps]


def warm_build(store: GithubStore, *, changed: int = 0) -> None:
    """What a build of 30 steps in 3 stages asks of a store, and reads."""
    for number in range(3):
        layers = stage(number, changed)
        match = store.lookup(NAMESPACE, [key for key, _ in layers])
        assert match is not None
        assert match.depth == 10 - changed
        if changed:
            assert store.newest(NAMESPACE, f"stage {number}") == match.record
        for step, (_, data) in zip(match.record.chain[: match.depth], layers, strict=False):
            assert read_blob(store, step.layers[0].blob) == data


@pytest.mark.parametrize("changed", [0, 1, 4])
def test_a_warm_build_asks_a_handful_of_times(server: CacheServer, open_store: OpenStore, changed: int) -> None:
    cold = open_store()
    for number in range(3):
        save(cold, stage(number), stage=f"stage {number}")
    counts = server.counts()
    assert counts["CreateCacheEntry"] + counts["v1 reserve"] == 6, "a pack a stage, and its newest record"
    server.seen.clear()
    warm_build(open_store(), changed=changed)
    counts = server.counts()
    assert sum(counts[kind] for kind in ASKED) == (3 if not changed else 6)
    assert sum(counts.values()) - sum(counts[kind] for kind in ASKED) == counts["get blob"] <= 35


def test_a_branch_asks_once_more_for_what_is_deeper_elsewhere(server: CacheServer, open_store: OpenStore) -> None:
    save(open_store(BRANCH), stage(0, changed=5), stage="app")
    deeper = save(open_store(MAIN), stage(0), stage="app")
    server.seen.clear()
    store = open_store(BRANCH)
    assert store.lookup(NAMESPACE, [key for key, _ in stage(0)]) == Match(deeper, 10)
    assert sum(server.counts()[kind] for kind in ASKED) <= 3


def test_a_rebuild_that_changes_nothing_writes_nothing(server: CacheServer, open_store: OpenStore) -> None:
    save(open_store(), stage(0), stage="app")
    server.seen.clear()
    save(open_store(), stage(0), stage="app", created="2027-01-01T00:00:00Z")
    assert not {"CreateCacheEntry", "v1 reserve"} & server.counts().keys()
