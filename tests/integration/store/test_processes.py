"""The local store with real processes: many at once, killed ones, a disk that is full."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from layercache_ci.errors import BlobNotFound, StoreUnavailable
from layercache_ci.layers.model import ZSTD_LAYER
from layercache_ci.store.local import LocalStore
from layercache_ci.store.model import Store
from tests.contract.samples import NAMESPACE, descriptor_of, put_blob, read_blob, record, save, step

PROCESSES = 10
TURNS = 6
REPOSITORY = Path(__file__).parents[3]


def chain_of(number: int, turn: int) -> list[tuple[str, bytes]]:
    """Overlapping chains: a base that all share, a middle that pairs share, an end of one's own."""
    return [
        ("base", b"base" * 50_000),
        (f"middle{number // 2}", b"%d" % (number // 2) * 30_000),
        (f"end{number}.{turn}", b"%d.%d" % (number, turn) * 10_000),
    ]


def save_many(root: Path, number: int) -> None:
    for turn in range(TURNS):
        save(LocalStore(root), chain_of(number, turn), created=f"2026-01-01T00:{number:02}:{turn:02}Z")


def collect_and_read(root: Path, turns: int) -> None:
    """A store that is always over its limit, read while it shrinks: a reader sees whole blobs or none."""
    for _ in range(turns):
        store = LocalStore(root, max_size=1_000_000)
        store.collect()
        for held in store.records():
            for link in held.chain:
                try:
                    read_blob(store, link.layers[0].blob)
                except BlobNotFound:
                    continue


def check_all_is_held(store: Store, processes: int, turns: int) -> None:
    """What so many of them saved, each in so many turns."""
    for number in range(processes):
        for turn in range(turns):
            wanted = chain_of(number, turn)
            match = store.lookup(NAMESPACE, [key for key, _ in wanted])
            assert match is not None
            assert match.depth == 3
            for link, (_, data) in zip(match.record.chain, wanted, strict=True):
                assert read_blob(store, link.layers[0].blob) == data
    assert store.stats().blobs == 1 + processes // 2 + processes * turns
    assert store.stats().records == processes * turns


def run_all(*processes: multiprocessing.process.BaseProcess) -> None:
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(processes)


def test_ten_processes_save_overlapping_chains_at_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    run_all(*(spawn.Process(target=save_many, args=(tmp_path, number)) for number in range(PROCESSES)))
    check_all_is_held(LocalStore(tmp_path), PROCESSES, TURNS)
    assert list((tmp_path / "lc1/tmp").iterdir()) == []


def test_savers_collectors_and_readers_at_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    savers = [spawn.Process(target=save_many, args=(tmp_path, number)) for number in range(4)]
    run_all(*savers, *(spawn.Process(target=collect_and_read, args=(tmp_path, 20)) for _ in range(2)))
    store = LocalStore(tmp_path)
    for held in store.records():
        match = store.lookup(NAMESPACE, [link.key for link in held.chain])
        assert match is not None
        assert match.depth == 3


@pytest.mark.parametrize("verb", ["save", "collect"])
def test_killed_before_any_of_its_calls(tmp_path: Path, verb: str) -> None:
    command = [sys.executable, "-m", "tests.integration.store.killed", str(tmp_path), verb]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 15


def test_killed_while_it_writes_a_blob(tmp_path: Path) -> None:
    endless = (
        "import sys, pathlib; from layercache_ci.store.local import LocalStore\n"
        "with LocalStore(pathlib.Path(sys.argv[1])).new_blob('x') as writer:\n"
        "    for turn in range(10**9):\n"
        "        writer.write(bytes(100_000))\n"
        "        if turn == 5: print('going', flush=True)\n"
        "        if turn > 5: sys.stdin.read(1)\n"
    )
    save(LocalStore(tmp_path), [("a", b"1")])
    with subprocess.Popen(
        [sys.executable, "-c", endless, str(tmp_path)], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"going\n"
        writer.kill()
    store = LocalStore(tmp_path)
    assert store.stats().blobs == 1
    assert store.put_record(record(step("b", [put_blob(store, b"2")])))
    assert store.collect() == 0
    assert len(list((tmp_path / "lc1/tmp").iterdir())) == 1, "it may be alive yet, for all that a collect can know"


def test_a_killed_writer_leaves_no_lock(tmp_path: Path) -> None:
    hold = (
        "import sys, pathlib; from layercache_ci.store.folder import Folder\n"
        "with Folder(pathlib.Path(sys.argv[1])).lock():\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.kill()
    assert LocalStore(tmp_path).put_record(record(step("a")))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "layercache-test", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    store = LocalStore(small_disk)
    saved = save(store, [("a", b"1" * 100_000)])
    with store.new_blob(ZSTD_LAYER) as writer, pytest.raises(StoreUnavailable, match="no space is left") as caught:
        writer.write(bytes(2_000_000))
    assert str(small_disk) in str(caught.value)
    assert read_blob(store, saved.chain[0].layers[0].blob) == b"1" * 100_000
    assert put_blob(store, b"2" * 500_000) == descriptor_of(b"2" * 500_000), "what was written in vain is gone"
    assert store.lookup(NAMESPACE, ["a"]) is not None
