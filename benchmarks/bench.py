"""`make bench`: layercache against the engines' own caches: the sample application, a source changed.

In each round every way to build runs once, in turn, on a new engine folder. No folder is used twice and none is deleted
before the end: a file system that has just deleted a store is slower for minutes.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from benchmarks.buildah import BuildahBench
from benchmarks.buildkit import BuildKitBench
from benchmarks.measure import RunFailed
from benchmarks.table import Cold, Row, cold_table, machine, warm_table, write
from tests.lab.lab import Lab, open_lab
from tests.lab.paths import CHECKOUT, LARGE


class Bench(Protocol):
    """The measurements of one engine."""

    @property
    def name(self) -> str: ...

    @property
    def baseline(self) -> str:
        """The way that the others are compared with."""

    def cold(self) -> Cold: ...

    def round(self, number: int) -> None: ...

    def whole(self, number: int) -> None:
        """What removes things, and so slows what comes after it: last of all."""

    def rows(self) -> list[Row]: ...


ENGINES: Final[dict[str, Callable[[Lab, str, Path], Bench]]] = {
    "buildah-1.28": BuildahBench,
    "buildah-sid": BuildahBench,
    "remote": BuildKitBench,
    "docker-containerd": BuildKitBench,
}
FREE_BYTES_PER_RUN: Final = 1_300_000_000


def same_work(rows: Sequence[Row], engine: str) -> bool:
    """Whether every run of an engine built the same number of steps."""
    return len({built for row in rows if row.engine == engine for built in row.rebuilt}) == 1


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", dest="engines", action="append", choices=tuple(ENGINES))
    parser.add_argument("--output", type=Path, default=CHECKOUT / "docs/performance.md")
    arguments = parser.parse_args(argv)
    engines = arguments.engines or tuple(ENGINES)
    needed = FREE_BYTES_PER_RUN * len(engines) * 3 * (arguments.rounds + 1)
    if shutil.disk_usage(LARGE).free < needed:
        print(f"bench: needs {needed / 1e9:.0f} GB free in {LARGE}: fewer --rounds, or one --engine", file=sys.stderr)
        return 2
    try:
        rows = measured(engines, arguments.rounds, arguments.output)
    except RunFailed as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    if not all(same_work(rows, name) for name in engines):
        print("bench: the ways to build did not build the same steps: the times say nothing", file=sys.stderr)
        return 1
    return 0


def measured(engines: Sequence[str], rounds: int, output: Path) -> list[Row]:
    """Measures, and writes the tables into `output`. Raises RunFailed."""
    with open_lab() as lab:
        benches = [ENGINES[name](lab, name, lab.scratch()) for name in engines]
        cold = []
        for bench in benches:
            print(f"cold builds: {bench.name}", flush=True)
            cold.append(bench.cold())
        for number in range(rounds):
            for bench in benches:
                bench.round(number)
                print(f"round {number + 1} of {rounds}: {bench.name}", flush=True)
        for number in range(rounds):
            for bench in benches:
                bench.whole(number)
        rows = [row for bench in benches for row in bench.rows()]
        baselines = {bench.name: bench.baseline for bench in benches}
        text = "\n\n".join([machine(rounds), warm_table(rows, baselines), cold_table(cold)])
        print(text, flush=True)
        write(output, text)
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
