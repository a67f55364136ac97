"""A job that saves, in a process of its own, with the service in the environment:

    python -m tests.integration.store.github.processes FOLDER NUMBER TURNS

It begins with a line on its standard input."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from layercache_ci.store.github import open_github
from tests.contract.samples import NAMESPACE, save
from tests.integration.store.github.conftest import MAIN


def chain_of(number: int, turn: int) -> list[tuple[str, bytes]]:
    """Overlapping chains: a base that all share, a middle that pairs share, an end of one's own."""
    return [
        ("base", b"base" * 50_000),
        (f"middle{number // 2}", b"%d" % (number // 2) * 30_000),
        (f"end{number}.{turn}", b"%d.%d" % (number, turn) * 10_000),
    ]


def main(folder: Path, number: int, turns: int) -> None:
    sys.stdin.readline()
    for turn in range(turns):
        store = open_github("", environment=os.environ, scopes=MAIN, folder=folder)
        if number % 2:  # as a build does, and goes by what it is told; what is saved without asks by itself
            store.lookup(NAMESPACE, [key for key, _ in chain_of(number, turn)])
            store.newest(NAMESPACE, f"stage {number}")
        save(store, chain_of(number, turn), created=f"2026-01-01T00:{number:02}:{turn:02}Z", stage=f"stage {number}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
