"""Where the result goes: pushed to a registry that has the unchanged layers, or into the daemon.

    python -m benchmarks.results --engine remote --result push

Ours beside what build-push-action and buildah-build run, with the engines' own registry cache, in turn, on emptied
engines. Before the first round each way builds and pushes once, so that its target has what it will not change. The
bytes are those that went over the loopback, either way: what the engine reads, and what it pushes.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.buildah import changed_app
from benchmarks.measure import Cost, RunFailed, measure
from tests.lab.engines import BUILDKIT, Engine
from tests.lab.lab import Lab, open_lab

OURS: Final = "layercache"
KEPT: Final = "layercache, --keep-store"
PEER: Final = "the engine's own cache"
PULLED: Final = "the engine's own cache, pushed and pulled"
"""Into the daemon by way of a registry: what `docker pull` of the layers would take the place of a tarball."""
CHANGES: Final = {"hit": "nothing changed", "changed": "a source changed"}


@dataclass(frozen=True, slots=True)
class Run:
    """What one build cost, its result where it belongs."""

    cost: Cost
    bytes: int


@dataclass(slots=True)
class Results:
    """The measurements of one kind of engine with one kind of result, `push` or `load`."""

    lab: Lab
    kind: str
    result: str
    scratch: Path
    changes: Sequence[str] = tuple(CHANGES)
    runs: dict[tuple[str, str], list[Run]] = field(default_factory=dict)

    @property
    def ways(self) -> dict[str, Callable[[Engine, Path], list[str]]]:
        """The commands, by their names."""
        if self.kind not in BUILDKIT:
            kept = {KEPT: lambda engine, folder: self._ours(engine, folder, "--keep-store")}
            return {PEER: self._buildah, OURS: self._ours, **kept}
        pulled = {PULLED: self._pulled} if self.result == "load" and self.kind.startswith("container") else {}
        return {PEER: self._buildx, OURS: self._ours, **pulled}

    def cold(self) -> None:
        """Fills the caches and the target."""
        for name, words in self.ways.items():
            if name in {OURS, PEER}:
                self._measure(name, "cold", words, fill=name == PEER)

    def round(self, number: int) -> None:
        """Each way once, with nothing changed and with one source file changed."""
        for change in self.changes:
            for name, words in self.ways.items():
                text = "cold" if change == "hit" else f"{name} {number}"
                self.runs.setdefault((change, name), []).append(self._measure(name, text, words))

    def _measure(
        self, name: str, change: str, words: Callable[[Engine, Path], list[str]], *, fill: bool = False
    ) -> Run:
        engine = self.lab.engine(self.kind)
        folder = changed_app(self.lab, change)
        command = words(engine, folder)
        if fill and self.kind in BUILDKIT:
            command[-1:-1] = [f"--cache-to=type=registry,ref={self._cache(engine)},mode=max"]
        elif fill:
            command[2] = command[2].replace("--cache-from", "--cache-to")
        before = over_the_loopback()
        with engine.resources:
            cost = measure(command, engine.environment, engine.folder / "log")
            moved = over_the_loopback() - before
        print(f"{self.kind} {self.result}, {name}, {change}: {cost.wall:.1f} s, {moved / 1e6:.1f} MB", flush=True)
        return Run(cost, moved)

    def _ours(self, engine: Engine, folder: Path, *options: str) -> list[str]:
        return [
            *engine.layercache, "build", "--engine", engine.program, "--store", f"local:{self.scratch / 'store'}",
            *self._result(engine, "ours"), *options, *self._arguments(), str(folder),
        ]  # fmt: skip

    def _buildx(self, engine: Engine, folder: Path) -> list[str]:
        docker, cache = str(engine.folder / "bin/docker"), f"--cache-from=type=registry,ref={self._cache(engine)}"
        return [docker, "buildx", "build", cache, *self._result(engine, "theirs"), *self._arguments(), str(folder)]

    def _pulled(self, engine: Engine, folder: Path) -> list[str]:
        name = f"{engine.registry}/pulled-{self.kind}"
        words = self._buildx(engine, folder)
        words = [word for word in words if word not in {"--load", *self._named(engine, "theirs")}]
        words[-1:-1] = [f"--tag={name}", "--push", "--provenance=false"]
        docker = words[0]
        return ["sh", "-c", f"{shlex.join(words)} && {docker} pull {name} && {docker} tag {name} app"]

    def _buildah(self, engine: Engine, folder: Path) -> list[str]:
        own = str(engine.folder / "bin" / engine.program)
        build = [own, "build", "--layers", f"--cache-from={self._cache(engine)}", *self._arguments()]
        build = [*build, *self._named(engine, "theirs"), str(folder)]
        push = [own, "push", "--tls-verify=false", self._name(engine, "theirs")]
        script = shlex.join(build)
        return ["sh", "-c", f"{script} && {shlex.join(push)}" if self.result == "push" else script]

    def _result(self, engine: Engine, name: str) -> list[str]:
        return [f"--{self.result}"] * (self.result == "push" or self.kind in BUILDKIT) + self._named(engine, name)

    def _named(self, engine: Engine, name: str) -> list[str]:
        return [f"--tag={self._name(engine, name)}"]

    def _name(self, engine: Engine, name: str) -> str:
        return f"{engine.registry}/{name}-{self.kind}" if self.result == "push" else "app"

    def _cache(self, engine: Engine) -> str:
        return f"{engine.registry}/cache-{self.kind}"

    def _arguments(self) -> list[str]:
        return ["--network=host", f"--build-arg=BASE={self.lab.debian}"]

    def table(self) -> str:
        """Medians with ranges, and megabytes."""
        lines = [
            f"{self.kind}, {self.result}:",
            "",
            f"| way | {' | '.join(f'{CHANGES[change]} |' for change in self.changes)} |",
            "|---" * (1 + 2 * len(self.changes)) + "|",
        ]
        for name in self.ways:
            cells = [cell for change in self.changes for cell in shown(self.runs[change, name])]
            lines.append(f"| {' | '.join([name, *cells])} |")
        return "\n".join(lines)


def shown(runs: Sequence[Run]) -> tuple[str, str]:
    """Seconds, and megabytes over the loopback."""
    walls = sorted(run.cost.wall for run in runs)
    size = statistics.median(run.bytes for run in runs)
    return f"{statistics.median(walls):.1f} s ({walls[0]:.1f}-{walls[-1]:.1f})", f"{size / 1e6:.1f} MB"


def over_the_loopback() -> int:
    """Bytes that went over this machine's loopback so far."""
    line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.partition(":")[2].split()[0])


def main(argv: Sequence[str]) -> int:
    """0, or 1 where a build failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", required=True)
    parser.add_argument("--result", choices=("push", "load"), required=True)
    parser.add_argument("--change", action="append", choices=tuple(CHANGES))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args(argv)
    try:
        with open_lab() as lab:
            changes = arguments.change or tuple(CHANGES)
            results = Results(lab, arguments.engine, arguments.result, lab.scratch(), changes)
            results.cold()
            for number in range(arguments.rounds):
                results.round(number)
            print(results.table(), flush=True)
    except RunFailed as failure:
        print(f"results: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
