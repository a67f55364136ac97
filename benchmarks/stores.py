"""`python -m benchmarks.stores calls|throughput|slow`: the calls of a build, bytes a second, and seconds behind a slow
link."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import slow_builds, store_calls, store_throughput
from benchmarks.measure import RunFailed
from benchmarks.table import machine, write
from tests.lab.lab import open_lab
from tests.lab.paths import CHECKOUT, LARGE


def marks(what: str) -> tuple[str, str]:
    """Between these the table stands in the document."""
    return f"<!-- benchmarks.stores {what}: begin -->", f"<!-- benchmarks.stores {what}: end -->"


DOCUMENT: Final = CHECKOUT / "docs/performance.md"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("calls", "throughput", "slow"))
    parser.add_argument("--engine", dest="engines", action="append", choices=slow_builds.ENGINES)
    parser.add_argument(
        "--store",
        dest="stores",
        action="append",
        choices=store_throughput.STORES,
        help="of throughput: not all of them",
    )
    parser.add_argument("--blobs", type=int, default=40, help="of 1 to 200 MB: 40 are 1.5 GB, of which four copies lie")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--logs", type=Path, help="a folder for what passed the slow link in each run")
    parser.add_argument("--output", type=Path, default=DOCUMENT)
    arguments = parser.parse_args(argv)
    try:
        match arguments.what:
            case "calls":
                text = calls(arguments.engines or store_calls.ENGINES)
            case "throughput":
                text = throughput(arguments.stores or tuple(store_throughput.STORES), arguments.blobs, arguments.rounds)
            case _:
                text = slow(arguments.engines or slow_builds.ENGINES, arguments.rounds, arguments.logs)
    except RunFailed as failure:
        print(f"benchmarks.stores: {failure}", file=sys.stderr)
        return 1
    print(text, flush=True)
    write(arguments.output, text, marks(arguments.what))
    return 0


def calls(engines: Sequence[str]) -> str:
    rows = []
    with open_lab() as lab:
        for row in store_calls.measured(lab, engines):
            print(row.row, flush=True)
            rows.append(row)
    return store_calls.table(rows)


def slow(engines: Sequence[str], rounds: int, logs: Path | None) -> str:
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
    with open_lab() as lab:
        rows = list(slow_builds.measured(lab, engines, rounds, logs))
    return f"{machine(rounds)}\n\n{slow_builds.table(rows)}"


def throughput(stores: Sequence[str], count: int, rounds: int) -> str:
    scratch = Path(tempfile.mkdtemp(prefix="layercache-stores-", dir=LARGE))
    try:
        table = store_throughput.table(list(store_throughput.measured(scratch, stores, count, rounds)))
    finally:
        shutil.rmtree(scratch)
    return f"{machine(rounds)} {count} blobs.\n\n{table}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
