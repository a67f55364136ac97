"""Runs a writer of the local store again and again, each time killed before another of its file system calls, and
judges what it left. A program of its own, since it forks: `python killed.py FOLDER save|collect` prints the number of
kills.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from layercache_ci.store.local import LocalStore
from layercache_ci.store.model import Match, StepRecord
from tests.contract.samples import NAMESPACE, put_blob, read_blob, record, save, step

OLD = [("a", b"a" * 5000), ("b", b"b" * 5000)]
NEW = [("a", b"A" * 5000), ("c", b"c" * 5000)]
EVENTS = ("open", "os.", "fcntl.", "pathlib.")


def kill_self_before(call: int) -> Callable[[str, tuple[object, ...]], None]:
    seen = 0

    def hook(event: str, _arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event.startswith(EVENTS):
            seen += 1
            if seen == call:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def killed(work: Callable[[], object], call: int) -> bool:
    """Whether the child that does `work` was killed before its `call`-th file system call, rather than finishing."""
    child = os.fork()
    if child == 0:
        sys.addaudithook(kill_self_before(call))
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) not in (0, -signal.SIGKILL):
        raise AssertionError(f"the writer failed by itself at call {call}")
    return os.WIFSIGNALED(status)


def age(root: Path, seconds: float) -> None:
    then = time.time() - seconds
    for path in root.rglob("*"):
        os.utime(path, (then, then), follow_symlinks=False)


def judge(root: Path, known: list[StepRecord]) -> None:
    """What is found is whole, and the store goes on working."""
    store = LocalStore(root)
    for chain in (OLD, NEW):
        match = store.lookup(NAMESPACE, [key for key, _ in chain])
        assert match is None or match.record in known
        for layer in (layer for link in (match.record.chain[: match.depth] if match else ()) for layer in link.layers):
            read_blob(store, layer.blob)
    newest = store.newest(NAMESPACE, "app")
    assert newest is None or newest in known
    for link in OLD, NEW:
        for _, data in link:
            put_blob(store, data)
    for wanted in known:
        store.put_record(wanted)
    for chain, wanted in ((OLD, known[0]), (NEW, known[1])):
        match = store.lookup(NAMESPACE, [key for key, _ in chain])
        assert match is not None
        assert match.depth == len(wanted.chain)
    age(root, 100_000)
    LocalStore(root).collect()
    assert list((root / "lc1/tmp").iterdir()) == []
    assert int((root / "lc1/size").read_text()) >= store.stats().size
    LocalStore(root, max_size=0).collect()
    assert store.stats().size == 0
    assert store.lookup(NAMESPACE, ["a", "b"]) is None


def rounds(folder: Path, verb: str) -> int:
    call = 0
    while True:
        call += 1
        root = folder / f"{verb}{call}"
        store = LocalStore(root)
        old = save(store, OLD)
        store.collect()
        new = record(*(step(key, [put_blob(LocalStore(folder / "other"), data)]) for key, data in NEW), stage="app")

        def save_new(store: LocalStore = store, new: StepRecord = new) -> None:
            for _, data in NEW:
                put_blob(store, data)
            store.put_record(new, supersede=frozenset({"a"}))

        def collect(root: Path = root) -> None:
            LocalStore(root, max_size=12_000).collect()

        if verb == "collect":
            save_new()
            age(root, 100_000)
            store.touch(new, 2)
        was_killed = killed(save_new if verb == "save" else collect, call)
        if verb == "save":
            assert store.lookup(NAMESPACE, ["a", "b"]) == Match(old, 2), "what was held must stay so"
        else:
            assert store.lookup(NAMESPACE, ["a", "c"]) == Match(new, 2), "what is in use must stay"
        judge(root, [old, new])
        shutil.rmtree(root)
        if not was_killed:
            return call - 1


if __name__ == "__main__":
    print(rounds(Path(sys.argv[1]), sys.argv[2]))
