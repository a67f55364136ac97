"""The blob host behind the service as Microsoft's own emulator has it: blocks, ranges, signed URLs and their end."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layercache_ci.store.github import open_github
from layercache_ci.store.github.store import GithubStore
from tests.contract.samples import save
from tests.fakes.github_cache import CacheServer
from tests.fakes.github_cache.azurite import serve_azurite
from tests.integration.store.github.conftest import MAIN
from tests.integration.store.github.test_actions_cache import check_ours_is_restored, check_theirs_is_read
from tests.lab.npm import installed

SIZES = (1000, (150 << 20) + 77)
LAYERS = [(f"key{size}", random.Random(size).randbytes(size)) for size in SIZES]


@pytest.fixture
def server(server: CacheServer, tmp_path: Path) -> Iterator[CacheServer]:
    program = installed(Path(__file__).parent / "azurite") / "node_modules/azurite/dist/src/blob/main.js"
    (folder := tmp_path / "azurite").mkdir()
    with serve_azurite(program, folder) as running:
        server.blob_host = running
        yield server


def opened(server: CacheServer, folder: Path) -> GithubStore:
    """As another job does."""
    environment = server.environment(server.token(MAIN.read, MAIN.write))
    return open_github("", environment=environment, scopes=MAIN, folder=folder)


def test_layers_come_back_whole_and_in_ranges(server: CacheServer, tmp_path: Path) -> None:
    record = save(opened(server, tmp_path / "first"), LAYERS)
    store = opened(server, tmp_path / "second")
    found = store.lookup(record.namespace, [step.key for step in record.chain])
    assert found is not None
    assert found.depth == len(LAYERS)
    for step, (_, data) in zip(record.chain, LAYERS, strict=True):
        blob = step.layers[0].blob
        for start, end in ((0, blob.size), (blob.size // 3, blob.size // 2), (blob.size - 7, blob.size)):
            assert store.read_range(blob, start, end - start) == data[start:end]
    assert not {"put block", "put blob", "get blob"} & server.counts().keys(), "the bytes went elsewhere"


@pytest.mark.parametrize("check", [check_theirs_is_read, check_ours_is_restored])
@pytest.mark.parametrize("size", [1000, 150 << 20], ids=["one block", "many blocks"])
def test_the_official_client_and_ours(
    server: CacheServer, client: Path, tmp_path: Path, check: Callable[..., None], size: int
) -> None:
    check(server, client, tmp_path, 2, size)
