"""The action beside docker/build-push-action: whole steps as a runner starts them, and what each does after the job.

    python -m benchmarks.action --engine docker-containerd --result push

The other action is on GitHub only; benchmarks/peer calls what it calls, in one minified file as its own is. Each step
is on an emptied engine, the caches filled by each way's own first step; the post step follows at once, so that ours is
still saving. The record of the build is not uploaded, which the other's post step does besides.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from benchmarks.buildah import changed_app
from benchmarks.measure import RunFailed, measure
from benchmarks.store_throughput import served
from tests.lab.engines import BUILDKIT, Engine
from tests.lab.lab import Lab, open_lab
from tests.lab.npm import installed
from tests.lab.paths import CHECKOUT, LabPaths
from tests.lab.programs import find_program

Store = Literal["registry", "github"]
OURS: Final = "layercache"
SHIPPED: Final = "layercache, a release, first on its runner"
FETCHED: Final = "layercache, no release, first on its runner"
"""Its packages are fetched by pip."""
PEER: Final = "build-push-action's calls, cache-from and cache-to"
READING: Final = "build-push-action's calls, cache-from"
THEIRS: Final = (READING, PEER)
WAYS: Final = (*THEIRS, OURS, SHIPPED)
CHANGES: Final = {"hit": "nothing changed", "changed": "a source changed"}
FILES: Final = ("OUTPUT", "STATE", "ENV", "PATH", "STEP_SUMMARY")
SMALL: Final = """\
FROM {base} AS base
RUN mkdir /srv && seq 20000 >/srv/numbers
WORKDIR /srv
FROM base AS builder
COPY requirements.txt .
RUN sort -r numbers >sorted
FROM base
COPY --from=builder /srv/sorted .
COPY src src
RUN cat src/main.py sorted >both
"""
"""A Dockerfile shaped as that of the sample application: what the actions themselves take is all that is left."""
PARTS: Final = ("entrypoint.py", "launcher", "layercache_ci", "requirements")
FOREIGN: Final = ("PYTHON", "GITHUB_", "INPUT_", "RUNNER_", "ACTIONS_")
"""How variables begin that are of this machine's own."""


@dataclass(frozen=True, slots=True)
class Step:
    """Seconds of the main step and of the post step."""

    main: float
    post: float

    @property
    def both(self) -> float:
        return self.main + self.post


@dataclass(slots=True)
class Bench:
    """One kind of engine with one kind of result, and one kind of cache service for both actions."""

    lab: Lab
    kind: str
    result: Literal["push", "load"]
    store: Store
    node: str
    peer: Path
    scratch: Path
    service: Mapping[str, str]
    """What the runner sets of its cache service."""
    small: bool
    """Whether it is SMALL that is built."""
    runs: dict[tuple[str, str], list[Step]] = field(default_factory=dict)

    def cold(self) -> None:
        """Fills the caches, the registry and the tool cache, and makes the release."""
        release = self.scratch / "release"
        copy_action(release)
        python = self.scratch / "python/bin/python"
        subprocess.run([self.node, release / "launcher/ship.js", python, os.uname().machine], check=True)
        for way in (PEER, OURS):
            print(f"cold, {way}: {self.step(way, 'cold')}", flush=True)

    def round(self, number: int, ways: Sequence[str]) -> None:
        for change in CHANGES:
            for way in ways:
                step = self.step(way, "cold" if change == "hit" else f"{way} {number}")
                print(f"{CHANGES[change]}, {way}: {step.main:.2f} + {step.post:.2f} s", flush=True)
                self.runs.setdefault((change, way), []).append(step)

    def step(self, way: str, change: str) -> Step:
        """Raises RunFailed."""
        engine = self.lab.engine(self.kind)
        workspace = changed_app(self.lab, change)
        if self.small:
            (workspace / "Dockerfile").write_text(SMALL.format(base=self.lab.busybox))
        action = CHECKOUT if way == OURS else self._fetched(engine, shipped=way == SHIPPED)
        scripts = [self.peer] * 2 if way in THEIRS else [action / "launcher/main.js", action / "launcher/post.js"]
        tools = self.scratch / "tools" if way == OURS else engine.folder / "tools"
        environment = self._environment(engine, workspace, tools)
        environment |= {f"INPUT_{name.upper()}": value for name, value in self._inputs(engine, way, workspace).items()}
        log = engine.folder / "log"
        with engine.resources, contextlib.chdir(workspace):
            main = measure([self.node, str(scripts[0])], environment, log)
            state = {f"STATE_{name}": value for name, value in saved(engine.folder / "STATE").items()}
            post = measure([self.node, str(scripts[1])], environment | state, engine.folder / "post-log")
        if "::warning" in (said := log.read_text() + (engine.folder / "post-log").read_text()) or "::error" in said:
            raise RunFailed(f"{way}: {said[-4000:]}")
        return Step(main.wall, post.wall)

    def _fetched(self, engine: Engine, *, shipped: bool) -> Path:
        """The action as a runner has just fetched it, the tag vX of a release or any other commit."""
        folder = engine.folder / "action"
        if shipped:
            shutil.copytree(self.scratch / "release", folder)
        else:
            copy_action(folder)
        return folder

    def _environment(self, engine: Engine, workspace: Path, tools: Path) -> dict[str, str]:
        temporary = engine.folder / "temp"
        temporary.mkdir()
        for name in FILES:
            (engine.folder / name).touch()
        (engine.folder / "event.json").write_text("{}")
        kept = {name: value for name, value in engine.environment.items() if not name.startswith(FOREIGN)}
        return {
            **kept,
            **self.service,
            **{f"GITHUB_{name}": str(engine.folder / name) for name in FILES},
            "PATH": os.pathsep.join([str(engine.folder / "bin"), str(self.scratch / "python/bin"), "/usr/bin", "/bin"]),
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_EVENT_PATH": str(engine.folder / "event.json"),
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_REPOSITORY": "octo/app",
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_RUN_ID": "1",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_SHA": "0" * 40,
            "GITHUB_WORKSPACE": str(workspace),
            "RUNNER_TEMP": str(temporary),
            "RUNNER_TOOL_CACHE": str(tools),
            "DOCKER_BUILD_RECORD_UPLOAD": "false",
        }

    def _inputs(self, engine: Engine, way: str, workspace: Path) -> dict[str, str]:
        ours = way not in THEIRS
        name = f"{'ours' if ours else 'theirs'}-{self.kind}"
        inputs = {
            "context": str(workspace),
            "network": "host",
            "build-args": f"BASE={self.lab.debian}",
            "tags": f"{engine.registry}/{name}" if self.result == "push" else "app",
            "push": str(self.result == "push").lower(),
            "load": str(self.result == "load").lower(),
        }
        if ours:
            return {**inputs, "store": "github" if self.store == "github" else f"local:{self.scratch / 'store'}"}
        cache = "type=gha" if self.store == "github" else f"type=registry,ref={engine.registry}/cache-{self.kind}"
        return {**inputs, "cache-from": cache, **({"cache-to": f"{cache},mode=max"} if way == PEER else {})}

    def table(self, ways: Sequence[str]) -> str:
        """Medians with ranges: the step, what comes after the job, and both."""
        lines = [
            f"{self.kind}, {self.result}, {self.store}:",
            "",
            "| way | " + " | ".join(f"{what}: main, s | post, s | both, s" for what in CHANGES.values()) + " |",
            "|---" * (1 + 3 * len(CHANGES)) + "|",
        ]
        for way in ways:
            found = [self.runs[change, way] for change in CHANGES]
            cells = [
                figures([getattr(run, part) for run in runs]) for runs in found for part in ("main", "post", "both")
            ]
            lines.append(f"| {way} | {' | '.join(cells)} |")
        return "\n".join(lines)


def copy_action(folder: Path) -> None:
    """What is committed of it: nothing compiled."""
    folder.mkdir()
    for part in PARTS:
        if (source := CHECKOUT / part).is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)


def figures(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})"


def saved(file: Path) -> dict[str, str]:
    """The entries of a runner's file, `name=value` or `name<<delimiter`."""
    found = {}
    lines = iter(file.read_text().splitlines())
    for line in lines:
        name, several, delimiter = line.partition("<<")
        if several and "=" not in name:
            found[name] = "\n".join(iter(lines.__next__, delimiter))
        else:
            name, _, value = line.partition("=")
            found[name] = value
    return found


def bundled() -> Path:
    """The other action's calls in one file, as its own program is one. Raises CalledProcessError."""
    source = CHECKOUT / "benchmarks/peer"
    folder = installed(source)
    shutil.copy(source / "main.mjs", folder)
    # what is a module of its own asks where it is
    place = "const place = require('node:url').pathToFileURL(__filename).href;"
    options = [
        "--bundle", "--platform=node", "--format=cjs", "--minify", "--keep-names", f"--banner:js={place}",
        "--define:import.meta.url=place", "--outfile=dist/index.cjs",
    ]  # fmt: skip
    subprocess.run(["node_modules/.bin/esbuild", "main.mjs", "--log-level=error", *options], cwd=folder, check=True)
    return folder / "dist/index.cjs"


@contextlib.contextmanager
def opened(kind: str, result: Literal["push", "load"], store: Store, *, small: bool) -> Iterator[Bench]:
    """Raises RuntimeError where the lab is not set up."""
    node = find_program("node", LabPaths.here())
    if node is None:
        raise RuntimeError("node is not in the lab: make lab sets it up")
    with open_lab() as lab, served(2) as variables:
        bench = Bench(lab, kind, result, store, node, bundled(), lab.scratch(), variables, small)
        subprocess.run([sys.executable, "-m", "venv", bench.scratch / "python"], check=True)
        yield bench


def main(argv: Sequence[str]) -> int:
    """0, or 1 where a step failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", choices=tuple(BUILDKIT), required=True)
    parser.add_argument("--result", choices=("push", "load"), default="push")
    parser.add_argument("--store", choices=("registry", "github"), default="registry")
    parser.add_argument("--way", action="append", choices=(*WAYS, FETCHED))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="build three stages of some kilobytes")
    parser.add_argument("--pause", action="store_true", help="once the caches are filled, wait for a line of input")
    arguments = parser.parse_args(argv)
    ways = arguments.way or WAYS
    try:
        with opened(arguments.engine, arguments.result, arguments.store, small=arguments.small) as bench:
            bench.cold()
            if arguments.pause:
                sys.stdin.readline()
            for number in range(arguments.rounds):
                bench.round(number, ways)
            print(bench.table(ways), flush=True)
    except RunFailed as failure:
        print(f"action: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
