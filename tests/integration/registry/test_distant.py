"""A store that is elsewhere (the GitHub cache, as a stand-in serves it), read through a registry that runs."""

from __future__ import annotations

import http.client
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from layercache_ci.layers.model import Descriptor
from layercache_ci.registry.client import Registry, StoreChoice
from layercache_ci.store.model import StepRecord
from tests.contract.github import GithubBackend
from tests.contract.samples import save
from tests.fakes.github_cache.rest import TOKEN
from tests.integration.registry.conftest import StartRegistry, authorization

SIZE = (17 << 20) + 4321
LAYERS = [random.Random(seed).randbytes(SIZE) for seed in range(3)]


@dataclass(frozen=True, slots=True)
class Distant:
    registry: Registry
    backend: GithubBackend
    record: StepRecord

    @property
    def blobs(self) -> list[Descriptor]:
        return [step.layers[0].blob for step in self.record.chain]

    def get(self, blob: Descriptor, part: str = "") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.registry.access.addresses[0], timeout=60)
        headers = authorization(self.registry.access) | ({"Range": part} if part else {})
        try:
            connection.request("GET", f"/v2/a/blobs/{blob.digest}", headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def fetched(self) -> set[str]:
        return {path.name for path in (self.registry.access.folder / "fetched/sha256").iterdir()}


@pytest.fixture
def distant(tmp_path: Path, start_registry: StartRegistry) -> Distant:
    backend = GithubBackend(tmp_path / "far")
    record = save(backend.open(), [(f"key{number}", data) for number, data in enumerate(LAYERS)])
    given = {"GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": "octo/repo", "GITHUB_API_URL": backend.server.url}
    environment = backend.server.environment(backend.server.token(("own",), "own")) | given
    choice = StoreChoice("github", tmp_path / "near", ("own",), "own")
    return Distant(start_registry(store=choice, environment=environment), backend, record)


def test_layers_are_fetched_ahead_and_given(distant: Distant) -> None:
    distant.registry.offer(distant.blobs, records=[distant.record])
    for blob, data in zip(distant.blobs, LAYERS, strict=True):
        assert distant.get(blob) == (200, data)
        assert distant.get(blob, "bytes=1000-1002") == (206, data[1000:1003])
    assert distant.fetched() == {blob.digest.removeprefix("sha256:") for blob in distant.blobs}
    assert distant.registry.status().faults == ()


def test_a_range_brings_nothing_else(distant: Distant) -> None:
    distant.registry.offer(distant.blobs, prefetch=False, records=[distant.record])
    start, end = 3_000_000, 12_345_678
    assert distant.get(distant.blobs[1], f"bytes={start}-{end - 1}") == (206, LAYERS[1][start:end])
    assert not (distant.registry.access.folder / "fetched").exists()


def test_a_blob_altered_over_there_is_never_given(distant: Distant) -> None:
    bad = distant.blobs[2]
    distant.backend.alter_blob(bad.digest, SIZE - 1)
    distant.registry.offer(distant.blobs, records=[distant.record])
    # Where the fetch ahead finds it first, there is no answer at all; else one that is cut before the bad piece.
    try:
        status, given = distant.get(bad)
        assert status in {404, 502}
    except http.client.IncompleteRead as broken:
        given = broken.partial
        assert LAYERS[2].startswith(given)
    assert LAYERS[2] != given
    assert [fault.partition(": ")[0] for fault in distant.registry.status().faults] == [bad.digest]
    assert distant.get(distant.blobs[0]) == (200, LAYERS[0])


def test_a_blob_that_no_record_names_is_gone(distant: Distant) -> None:
    missing = Descriptor("x", f"sha256:{'0' * 64}", 100)
    distant.registry.offer([missing, *distant.blobs], records=[distant.record])
    assert distant.get(missing)[0] == 404
    assert distant.get(distant.blobs[0]) == (200, LAYERS[0])
