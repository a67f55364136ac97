from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layercache_ci.store.github import open_github
from layercache_ci.store.github.store import GithubStore
from layercache_ci.store.model import Scopes
from tests.fakes.github_cache import CacheServer, serve
from tests.lab.npm import installed

MAIN = Scopes(("refs/heads/main",), "refs/heads/main")

PEER = Path(__file__).parent / "actions_cache"

OpenStore = Callable[..., GithubStore]


@pytest.fixture
def server() -> Iterator[CacheServer]:
    with serve() as running:
        yield running


@pytest.fixture(scope="session")
def client() -> Path:
    """The official client's script, beside the packages that it needs."""
    return Path(shutil.copy(PEER / "client.mjs", installed(PEER)))


@pytest.fixture
def slept() -> list[float]:
    """Seconds that the stores would have waited, had they not been told to note it."""
    return []


@pytest.fixture(params=[2, 1], ids=["v2", "v1"])
def open_store(request: pytest.FixtureRequest, server: CacheServer, tmp_path: Path, slept: list[float]) -> OpenStore:
    """Opens the store as another job would, with a token for its scopes and a folder of its own."""
    jobs = iter(range(1000))

    def open_it(scopes: Scopes = MAIN, **variables: str) -> GithubStore:
        environment = server.environment(server.token(scopes.read, scopes.write), version=request.param)
        folder = tmp_path / f"job{next(jobs)}"
        return open_github("", environment=environment | variables, scopes=scopes, folder=folder, sleep=slept.append)

    return open_it
