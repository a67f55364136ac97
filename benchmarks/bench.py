"""`make bench`: layercache against Buildah's own registry cache: the sample application, a source changed.

In each round every way to build runs once, in turn, on a new engine folder. No folder is used twice and none is deleted
before the end: a file system that has just deleted a store is slower for minutes.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import Cost, RunFailed, measure
from benchmarks.table import Cold, Row, cold_table, machine, warm_table, write
from tests.lab.engines import Engine
from tests.lab.lab import Lab, open_lab
from tests.lab.paths import CHECKOUT, LARGE

ENGINES: Final = ("buildah-1.28", "buildah-sid")
KEPT: Final = "`layercache build --keep-store`"
WHOLE: Final = "`layercache build` (image made whole)"
BASELINE: Final = "`buildah build --cache-from` (gzip)"
FREE_BYTES_PER_RUN: Final = 1_300_000_000


@dataclass(frozen=True, slots=True)
class Bench:
    """The measurements of one engine."""

    lab: Lab
    name: str
    scratch: Path
    runs: dict[str, list[tuple[Cost, int]]] = field(default_factory=dict)

    def context(self, change: str) -> Path:
        """The application, with a source file that no other run has."""
        folder = self.lab.scratch(f"{self.name}-app-") / "app"
        shutil.copytree(CHECKOUT / "examples/app", folder)
        with (folder / "src/main.py").open("a") as source:
            source.write(f"\n# {change}\n")
        return folder

    def plain(self, change: str, *options: str) -> tuple[Cost, int]:
        """Buildah by itself on an emptied engine."""
        engine = self.lab.engine(self.name)
        argv = ["buildah", "build", "--layers", *options, *self._arguments(), str(self.context(change))]
        log = engine.folder / "log"
        cost = measure([str(engine.folder / "bin/buildah"), *argv[1:]], engine.environment, log)
        return cost, built_steps(log.read_text())

    def layercache(self, change: str, *options: str) -> tuple[Cost, dict[str, Any]]:
        """The whole process of `layercache build` on an emptied engine, and its report."""
        engine: Engine = self.lab.engine(self.name)
        report = engine.folder / "report.json"
        argv = [
            *engine.layercache, "build", "--engine", engine.program, "--store", f"local:{self.scratch / 'store'}",
            "--report", str(report), *options, *self._arguments(), str(self.context(change)),
        ]  # fmt: skip
        cost = measure(argv, engine.environment, engine.folder / "log")
        return cost, json.loads(report.read_text())

    def cold(self) -> Cold:
        """The first builds: each way fills its cache."""
        plain, _ = self.plain("cold")
        cost, report = self.layercache("cold")
        self.plain("cold", "--cache-to", self._cache)
        seconds = report["totals"]["seconds"]
        before = seconds["plan"] + seconds["restore"]
        after = max(0.0, cost.wall - before - seconds["build"] - seconds["save"])
        return Cold(self.name, plain.wall, cost.wall, before, after, seconds["save"])

    def round(self, number: int) -> None:
        """Layercache and Buildah's own cache, once each."""
        self._run(KEPT, number, "--keep-store")
        self.runs.setdefault(BASELINE, []).append(self.plain(f"plain {number}", "--cache-from", self._cache))

    def whole(self, number: int) -> None:
        """The way that removes what it no longer needs, and so slows what comes after it: last of all."""
        self._run(WHOLE, number)

    def _run(self, what: str, number: int, *options: str) -> None:
        cost, report = self.layercache(f"{what} {number}", *options)
        self.runs.setdefault(what, []).append((cost, report["totals"]["misses"]))

    def rows(self) -> list[Row]:
        """What was measured."""
        return [
            Row(self.name, what, tuple(cost for cost, _ in runs), tuple(built for _, built in runs))
            for what, runs in self.runs.items()
        ]

    @property
    def _cache(self) -> str:
        return f"{self.lab.registry}/cache-{self.name}"

    def _arguments(self) -> list[str]:
        return ["--network", "host", "--build-arg", f"BASE={self.lab.debian}", "-t", "app"]


def built_steps(output: str) -> int:
    """How many steps Buildah ran, by its own output: those that are neither FROM nor taken from a cache."""
    steps = len(re.findall(r"^(?:\[\d+/\d+\] )?STEP \d+/\d+: (?!FROM)", output, re.MULTILINE))
    # A step out of the registry prints "Cache pulled from remote" and then "Using cache" too.
    return steps - len(re.findall(r"^--> Using cache", output, re.MULTILINE))


def same_work(rows: Sequence[Row], engine: str) -> bool:
    """Whether every run of an engine built the same number of steps."""
    return len({built for row in rows if row.engine == engine for built in row.rebuilt}) == 1


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", dest="engines", action="append", choices=ENGINES)
    parser.add_argument("--output", type=Path, default=CHECKOUT / "docs/performance.md")
    arguments = parser.parse_args(argv)
    engines = arguments.engines or ENGINES
    needed = FREE_BYTES_PER_RUN * len(engines) * 3 * (arguments.rounds + 1)
    if shutil.disk_usage(LARGE).free < needed:
        print(f"bench: needs {needed / 1e9:.0f} GB free in {LARGE}: fewer --rounds, or one --engine", file=sys.stderr)
        return 2
    try:
        with open_lab() as lab:
            benches = [Bench(lab, name, lab.scratch()) for name in engines]
            cold = []
            for bench in benches:
                print(f"cold builds: {bench.name}", flush=True)
                cold.append(bench.cold())
            for one_round in (Bench.round, Bench.whole):
                for number in range(arguments.rounds):
                    for bench in benches:
                        one_round(bench, number)
                        print(f"round {number + 1} of {arguments.rounds}: {bench.name}", flush=True)
            rows = [row for bench in benches for row in bench.rows()]
            text = "\n\n".join([machine(arguments.rounds), warm_table(rows, BASELINE), cold_table(cold)])
            print(text, flush=True)
            write(arguments.output, text)
    except RunFailed as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    if not all(same_work(rows, name) for name in engines):
        print("bench: the ways to build did not build the same steps: the times say nothing", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
