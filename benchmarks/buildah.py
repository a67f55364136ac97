"""Layercache against Buildah's own registry cache."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from benchmarks.measure import Cost, measure
from benchmarks.table import Cold, Row
from tests.lab.engines import Engine
from tests.lab.lab import Lab
from tests.lab.paths import CHECKOUT

KEPT: Final = "`layercache build --keep-store`"
WHOLE: Final = "`layercache build` (image made whole)"
BASELINE: Final = "`buildah build --cache-from` (gzip)"
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class BuildahBench:
    """The measurements of one engine."""

    lab: Lab
    name: str
    scratch: Path
    baseline: str = BASELINE
    runs: dict[str, list[tuple[Cost, int]]] = field(default_factory=dict)

    def plain(self, change: str, *options: str) -> tuple[Cost, int]:
        """Buildah by itself on an emptied engine."""
        engine = self.lab.engine(self.name)
        argv = ["buildah", "build", "--layers", *options, *self._arguments(), str(changed_app(self.lab, change))]
        log = engine.folder / "log"
        cost = measure([str(engine.folder / "bin/buildah"), *argv[1:]], engine.environment, log)
        return cost, built_steps(log.read_text())

    def layercache(
        self, change: str, *options: str, environment: Mapping[str, str] = NOTHING
    ) -> tuple[Cost, dict[str, Any]]:
        """The whole process of `layercache build` on an emptied engine, and its report."""
        engine: Engine = self.lab.engine(self.name)
        report = engine.folder / "report.json"
        argv = [
            *engine.layercache, "build", "--engine", engine.program, "--store", f"local:{self.scratch / 'store'}",
            "--report", str(report), *options, *self._arguments(), str(changed_app(self.lab, change)),
        ]  # fmt: skip
        cost = measure(argv, {**engine.environment, **environment}, engine.folder / "log")
        return cost, json.loads(report.read_text())

    def cold(self) -> Cold:
        """The first builds: each way fills its cache."""
        plain, _ = self.plain("cold")
        cost, report = self.layercache("cold")
        self.plain("cold", "--cache-to", self._cache)
        seconds = report["totals"]["seconds"]
        before = seconds["before"]
        after = max(0.0, cost.wall - seconds["plan"] - seconds["restore"] - seconds["build"] - seconds["save"])
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


def changed_app(lab: Lab, change: str) -> Path:
    """The application, with a source file that no other run has."""
    folder = lab.scratch("app-") / "app"
    shutil.copytree(CHECKOUT / "examples/app", folder)
    with (folder / "src/main.py").open("a") as source:
        source.write(f"\n# {change}\n")
    return folder


def built_steps(output: str) -> int:
    """How many steps Buildah ran, by its own output: those that are neither FROM nor taken from a cache."""
    steps = len(re.findall(r"^(?:\[\d+/\d+\] )?STEP \d+/\d+: (?!FROM)", output, re.MULTILINE))
    # A step out of the registry prints "Cache pulled from remote" and then "Using cache" too.
    return steps - len(re.findall(r"^--> Using cache", output, re.MULTILINE))
