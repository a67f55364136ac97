"""Layercache against BuildKit's own caches, in a plain registry and in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.buildah import NOTHING, changed_app
from benchmarks.measure import Cost, measure
from benchmarks.table import Cold, Row
from layercache_ci.engines.buildkit.progress import Progress
from tests.lab.engines import Engine
from tests.lab.lab import Lab

OURS: Final = "`layercache build`"
REGISTRY: Final = "`--cache-from type=registry` (zstd, max)"
LOCAL: Final = "`--cache-from type=local` (zstd, max)"
EXPORT: Final = "mode=max,compression=zstd"


@dataclass(frozen=True, slots=True)
class BuildKitBench:
    """The measurements of one way to run BuildKit. CPU is not measured: the work is the daemon's."""

    lab: Lab
    name: str
    scratch: Path
    baseline: str = REGISTRY
    runs: dict[str, list[tuple[Cost, int]]] = field(default_factory=dict)

    def plain(self, change: str, *options: str) -> tuple[Cost, int]:
        """BuildKit by itself on an emptied engine."""
        engine = self.lab.engine(self.name)
        docker = str(engine.folder / "bin/docker")
        log = engine.folder / "log"
        argv = [docker, "buildx", "build", "--progress=rawjson", *options, *self._arguments(change)]
        with engine.resources:
            cost = measure(argv, engine.environment, log)
        seen = Progress()
        for line in log.read_text().splitlines():
            seen.feed(line)
        return cost, sum(step.state == "ran" and not step.text.startswith("FROM ") for step in seen.steps())

    def layercache(
        self, change: str, *options: str, environment: Mapping[str, str] = NOTHING
    ) -> tuple[Cost, dict[str, Any]]:
        """The whole process of `layercache build` on an emptied engine, and its report."""
        engine: Engine = self.lab.engine(self.name)
        report = engine.folder / "report.json"
        argv = [
            *engine.layercache, "build", "--engine", engine.program, "--store", f"local:{self.scratch / 'store'}",
            "--report", str(report), *options, *self._arguments(change),
        ]  # fmt: skip
        with engine.resources:
            cost = measure(argv, {**engine.environment, **environment}, engine.folder / "log")
        return cost, json.loads(report.read_text())

    def cold(self) -> Cold:
        """The first builds: each way fills its cache."""
        plain, _ = self.plain("cold")
        cost, report = self.layercache("cold")
        self.plain(
            "cold", f"--cache-to=type=registry,ref={self._cache},{EXPORT}",
            f"--cache-to=type=local,dest={self.scratch / 'cache'},{EXPORT}",
        )  # fmt: skip
        seconds = report["totals"]["seconds"]
        before = seconds["before"]
        after = max(0.0, cost.wall - seconds["plan"] - seconds["restore"] - seconds["build"] - seconds["save"])
        return Cold(self.name, plain.wall, cost.wall, before, after, seconds["save"])

    def round(self, number: int) -> None:
        """Each way once, another one first in each round: none is to have the state in which the one before it left the
        machine for itself."""
        ways = (self._ours, self._registry, self._local)
        at = number % len(ways)
        for way in (*ways[at:], *ways[:at]):
            way(number)

    def _ours(self, number: int) -> None:
        cost, report = self.layercache(f"layercache {number}")
        self.runs.setdefault(OURS, []).append((cost, report["totals"]["misses"]))

    def _registry(self, number: int) -> None:
        registry = f"--cache-from=type=registry,ref={self._cache}"
        self.runs.setdefault(REGISTRY, []).append(self.plain(f"registry {number}", registry))

    def _local(self, number: int) -> None:
        local = f"--cache-from=type=local,src={self.scratch / 'cache'}"
        self.runs.setdefault(LOCAL, []).append(self.plain(f"local {number}", local))

    def whole(self, number: int) -> None:
        """Nothing more: the image is whole wherever BuildKit leaves it."""

    def rows(self) -> list[Row]:
        """What was measured."""
        return [
            Row(self.name, what, tuple(cost for cost, _ in runs), tuple(built for _, built in runs), cpu=False)
            for what, runs in self.runs.items()
        ]

    @property
    def _cache(self) -> str:
        return f"{self.lab.registry}/cache-{self.name}"

    def _arguments(self, change: str) -> list[str]:
        return [
            "--network=host",
            f"--build-arg=BASE={self.lab.debian}",
            "--tag=app",
            str(changed_app(self.lab, change)),
        ]
