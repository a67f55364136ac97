"""The REST API's list of caches, through PyGithub: faults, what is tried again, and that no restore imports it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from layercache_ci.errors import StoreUnavailable
from layercache_ci.store.github import open_github
from layercache_ci.store.github.store import GithubStore
from layercache_ci.store.model import Retention
from tests.contract.samples import NAMESPACE, save
from tests.fakes.github_cache import CacheServer
from tests.fakes.github_cache.rest import TOKEN
from tests.integration.store.github.conftest import MAIN


def environment(server: CacheServer, token: str = TOKEN) -> dict[str, str]:
    rest = {"GITHUB_TOKEN": token, "GITHUB_REPOSITORY": "octo/repo", "GITHUB_API_URL": server.url}
    return server.environment() | rest


def opened(server: CacheServer, folder: Path, token: str = TOKEN) -> GithubStore:
    return open_github("", environment=environment(server, token), scopes=MAIN, folder=folder)


@pytest.mark.parametrize("status", [500, 503])
def test_a_fault_is_tried_again(server: CacheServer, tmp_path: Path, status: int) -> None:
    store = opened(server, tmp_path)
    save(store, [("a", b"a")])
    server.fail("api list", status)
    assert store.stats().records == 1


@pytest.mark.parametrize(
    ("status", "headers"),
    [(403, {"X-RateLimit-Remaining": "0", "Retry-After": "3600"}), (429, {"Retry-After": "3600"}), (403, {})],
)
def test_no_rate_limit_is_slept_through(
    server: CacheServer, tmp_path: Path, status: int, headers: dict[str, str]
) -> None:
    store = opened(server, tmp_path)
    server.fail("api list", status, headers=headers, body=b'{"message": "API rate limit exceeded"}')
    with pytest.raises(StoreUnavailable, match=rf"listing the caches: 127.0.0.1 answered {status}: API rate limit"):
        store.stats()
    assert server.counts()["api list"] == 1


def test_a_wrong_token_is_a_message_without_it(server: CacheServer, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="answered 401: Bad credentials") as caught:
        opened(server, tmp_path, token="ghp_another").stats()
    assert "ghp_another" not in str(caught.value)


def test_a_cache_that_is_gone_already_is_fine(server: CacheServer, tmp_path: Path) -> None:
    store = opened(server, tmp_path)
    save(store, [("a", b"a")])
    for entry in server.caches.complete():
        entry.accessed -= 3600
    server.fail("api delete", 404, body=b'{"message": "Not Found"}')
    assert store.prune(Retention(max_age=60)).records == 1


def test_what_is_no_action_clears_it_too(server: CacheServer, tmp_path: Path) -> None:
    """A `run` step, a machine elsewhere: there is a token for the REST API, and no cache service."""
    save(opened(server, tmp_path), [("a", b"a")])
    for entry in server.caches.complete():
        entry.accessed -= 3600
    rest = {name: value for name, value in environment(server).items() if not name.startswith("ACTIONS_")}
    store = open_github("", environment=rest, scopes=MAIN, folder=tmp_path / "elsewhere")
    assert store.stats().records == 1
    assert store.prune(Retention(max_age=60)).records == 1
    assert not list(server.caches.complete())
    with pytest.raises(StoreUnavailable, match="given to actions only, not to run steps"):
        store.new_blob("application/octet-stream")


def test_a_lookup_does_not_import_it(server: CacheServer, tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys\n"
        "from layercache_ci.store.github import open_github\n"
        "from layercache_ci.store.model import Scopes\n"
        "scopes = Scopes(('refs/heads/main',), 'refs/heads/main')\n"
        "store = open_github('', environment=os.environ, scopes=scopes, folder=pathlib.Path(sys.argv[1]))\n"
        f"store.lookup({NAMESPACE!r}, ['a'])\n"
        "assert 'github' not in sys.modules\n"
        "store.stats()\n"
        "assert 'github' in sys.modules\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    subprocess.run(command, env={**os.environ, **environment(server)}, check=True, timeout=60)
