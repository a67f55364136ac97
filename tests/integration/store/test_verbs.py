"""`layercache stats` and `layercache gc` on a local store that others write to meanwhile."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from layercache_ci.store.local import LocalStore
from layercache_ci.store.model import Scopes
from tests.contract.samples import NAMESPACE, descriptor_of, put_blob, read_blob, save

REPOSITORY = Path(__file__).parents[3]
TURNS = 12
MAIN = Scopes(("refs/heads/main",), "refs/heads/main")


def layercache(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    command = [sys.executable, "-m", "layercache_ci", *words]
    return subprocess.run(
        command, cwd=REPOSITORY, env={**clean, **environment}, capture_output=True, text=True, check=False
    )


def told(*words: str, **environment: str) -> Any:
    done = layercache("stats", "--json", *words, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def age(root: Path, seconds: float) -> None:
    then = time.time() - seconds
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two records in one scope, one in another, a blob that nothing names; all of them a month old."""
    place = tmp_path / "store"
    main = LocalStore(place, scopes=MAIN)
    save(main, [("a", b"a" * 50_000), ("b", b"b" * 20_000)], stage="app", created="2026-01-01T00:00:00Z")
    save(main, [("a", b"a" * 50_000), ("c", b"c" * 10_000)], stage="app", created="2026-01-02T00:00:00Z")
    save(LocalStore(place), [("d", b"d" * 5_000)], stage="test", created="2026-01-03T00:00:00Z")
    put_blob(main, b"u" * 7_000)
    age(place, 30 * 86_400)
    return place


def test_stats_say_what_is_where(root: Path) -> None:
    found = told("--store", f"local:{root}")
    assert (found["records"], found["blobs"]) == (3, 5)
    assert 92_000 < found["size"] < 96_000
    scopes = {scope["name"]: scope for scope in found["scopes"]}
    assert list(scopes) == ["refs-heads-main", "default"]
    main = scopes["refs-heads-main"]
    assert main["records"] == 2
    assert 80_000 < main["size"] < 83_000, "what two records share counts once"
    assert (main["oldest"], main["newest"]) == ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    assert [stage["name"] for stage in found["largest_stages"]] == ["RUN make a … RUN make c", "RUN make d"]


def test_stats_for_people(root: Path) -> None:
    done = layercache("stats", "--store", f"local:{root}")
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert re.fullmatch(rf"local:{re.escape(str(root))}: 3 records, 5 blobs, 9\d\.\d kB", first)
    assert any(re.search(r"8\d\.\d kB +2  2026-01-01  2026-01-02  .* refs-heads-main", line) for line in rest)
    assert any("RUN make a … RUN make c" in line for line in rest)


def test_stats_of_an_empty_store_and_of_one_that_cannot_be_read(tmp_path: Path) -> None:
    found = told("--store", f"local:{tmp_path}/none")
    assert (found["records"], found["size"], found["scopes"], found["largest_stages"]) == (0, 0, [], [])
    (tmp_path / "file").write_bytes(b"")
    done = layercache("stats", "--store", f"local:{tmp_path}/file/x")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "a file stands where a folder should be" in line


def test_gc_by_age_by_size_and_by_reference(root: Path) -> None:
    store = LocalStore(root, scopes=MAIN)
    match = store.lookup(NAMESPACE, ["a", "c"])
    assert match is not None
    store.touch(match.record, 2)
    place = ("--store", f"local:{root}")
    before = told(*place)
    would = layercache("gc", *place, "--max-age", "14d", "--dry-run")
    assert would.returncode == 0, would.stderr
    assert told(*place) == before
    done = layercache("gc", *place, "--max-age", "14d")
    assert would.stdout.replace("would remove", "removed") == done.stdout
    assert done.stdout.startswith("removed 2 records, 3 blobs, 3"), done.stdout
    after = told(*place)
    assert after["records"] == 1
    assert before["size"] - after["size"] > 32_000
    assert read_blob(store, descriptor_of(b"a" * 50_000)) == b"a" * 50_000
    put_blob(store, b"v" * 3_000)
    age(root, 3_600)
    assert layercache("gc", *place, "--unreferenced").stdout.startswith("removed 0 records, 1 blobs, 3.0 kB")
    assert layercache("gc", *place, "--max-size", "1kB").stdout.startswith("removed 1 records, 2 blobs, 60")
    assert told(*place)["size"] == 0


def test_gc_of_a_pull_request_of_a_fork_is_refused(root: Path, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"head": {"repo": None}}}))
    done = layercache(
        "gc",
        "--store",
        f"local:{root}",
        "--max-size",
        "0",
        GITHUB_ACTIONS="true",
        GITHUB_EVENT_NAME="pull_request",
        GITHUB_EVENT_PATH=str(event),
        GITHUB_REF="refs/pull/1/merge",
    )
    assert done.returncode == 2
    assert "fork's pull request" in done.stderr
    assert told("--store", f"local:{root}")["records"] == 3


def save_many(root: Path, number: int) -> None:
    for turn in range(TURNS):
        layers = [("base", b"base" * 5_000), (f"end{number}.{turn}", b"%d.%d" % (number, turn) * 2_000)]
        save(LocalStore(root), layers, stage=f"{number}.{turn}")


def test_gc_takes_nothing_of_what_is_being_saved(tmp_path: Path) -> None:
    """Over and over, by the strictest rules, while five write: all that they saved is there."""
    spawn = multiprocessing.get_context("spawn")
    savers = [spawn.Process(target=save_many, args=(tmp_path, number)) for number in range(5)]
    for saver in savers:
        saver.start()
    rounds = 0
    while any(saver.is_alive() for saver in savers):
        done = layercache("gc", "--store", f"local:{tmp_path}", "--max-size", "0", "--max-age", "0s", "--unreferenced")
        assert done.returncode == 0, done.stderr
        rounds += 1
    assert rounds
    assert [saver.exitcode for saver in savers] == [0] * 5
    store = LocalStore(tmp_path)
    for number in range(5):
        for turn in range(TURNS):
            match = store.lookup(NAMESPACE, ["base", f"end{number}.{turn}"])
            assert match is not None
            assert match.depth == 2
            for layer in (layer for link in match.record.chain for layer in link.layers):
                read_blob(store, layer.blob)
