"""Many jobs at once, and jobs that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from layercache_ci.store.github import open_github
from layercache_ci.store.github.store import GithubStore
from layercache_ci.store.model import Match
from tests.contract.samples import NAMESPACE, read_blob, save
from tests.fakes.github_cache import CacheServer
from tests.integration.store.github.conftest import MAIN
from tests.integration.store.github.processes import chain_of
from tests.waiting import SECONDS

REPOSITORY = Path(__file__).parents[4]
JOBS = 10
TURNS = 2


def start(
    server: CacheServer, folder: Path, number: int, *, version: int = 2, turns: int = TURNS
) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **server.environment(version=version)}
    command = [sys.executable, "-m", "tests.integration.store.github.processes", str(folder)]
    command += [str(number), str(turns)]
    return subprocess.Popen(command, env=environment, cwd=REPOSITORY, stdin=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("version", [2, 1])
def test_ten_jobs_save_overlapping_chains_at_once(server: CacheServer, tmp_path: Path, version: int) -> None:
    jobs = [start(server, tmp_path / f"job{number}", number, version=version) for number in range(JOBS)]
    for job in jobs:
        assert job.stdin is not None
        job.stdin.write(b"go\n")
        job.stdin.flush()
    for job in jobs:
        _, errors = job.communicate(timeout=SECONDS)
        assert job.returncode == 0, errors.decode()
    environment = server.environment(version=version)
    for number in range(JOBS):
        for turn in range(TURNS):
            store = open_github("", environment=environment, scopes=MAIN, folder=tmp_path / "reader")
            chain = chain_of(number, turn)
            match = store.lookup(NAMESPACE, [key for key, _ in chain])
            assert match is not None
            assert match.depth == len(chain)
            for link, (_, data) in zip(match.record.chain, chain, strict=True):
                assert read_blob(store, link.layers[0].blob) == data
        newest = store.newest(NAMESPACE, f"stage {number}")
        assert newest is not None
        assert newest.chain[-1].key == f"end{number}.{TURNS - 1}"
    stored = sum(entry.size or 0 for entry in server.caches.complete())
    assert stored < JOBS * sum(len(data) for _, data in chain_of(0, 0)) + JOBS * TURNS * 2 * 50_000


def killed_at(server: CacheServer, folder: Path, number: int) -> bool:
    """Whether a save was killed as its `number`-th request came in, rather than finishing."""
    job = start(server, folder, 0, turns=1)
    assert job.stdin is not None
    server.at_request(number, job.kill)
    job.communicate(b"go\n", timeout=SECONDS)
    server.at_request(0, lambda: None)
    assert job.returncode in (0, -signal.SIGKILL)
    return job.returncode != 0


def test_a_save_that_is_killed_at_any_request(server: CacheServer, tmp_path: Path) -> None:
    """What was finished reads well, and the save that comes next completes."""
    held, new = chain_of(0, 1), chain_of(0, 0)
    kills = 0
    while True:
        server.caches.entries.clear()
        store = open_github("", environment=server.environment(), scopes=MAIN, folder=tmp_path / "job")
        old = save(store, held, stage="stage 0")
        was_killed = killed_at(server, tmp_path / f"killed{kills}", kills + 1)
        slept: list[float] = []
        environment = server.environment()
        store = open_github("", environment=environment, scopes=MAIN, folder=tmp_path / "job", sleep=slept.append)
        assert store.lookup(NAMESPACE, [key for key, _ in held]) == Match(old, 3)
        assert read(store, held) == 3
        assert read(store, new) >= (2 if was_killed else 3)
        save(store, new, stage="stage 0", created="2026-02-02T00:00:00Z")
        assert read(store, new) == 3
        newest = store.newest(NAMESPACE, "stage 0")
        assert newest is not None
        assert newest.chain[-1].key == new[-1][0]
        assert sum(slept) <= 30, "its key is stepped over, and that of the pointer"
        if not was_killed:
            break
        kills += 1
    assert kills >= 8


def read(store: GithubStore, chain: list[tuple[str, bytes]]) -> int:
    """The depth that is found, all of it read."""
    match = store.lookup(NAMESPACE, [key for key, _ in chain])
    if match is None:
        return 0
    for link, (_, data) in zip(match.record.chain[: match.depth], chain, strict=False):
        assert read_blob(store, link.layers[0].blob) == data
    return match.depth
