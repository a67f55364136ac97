"""Builds on engines of the lab, and what came of them: by layercache's report, and by the engine's own output."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.conftest import MakeEngine
from tests.e2e.images import read_image
from tests.e2e.row import Row
from tests.e2e.store_sites import LocalSite, StoreSite
from tests.e2e.vertices import hits_of_vertices, read_vertices, shapes
from tests.lab.engines import BUILDKIT, Engine
from tests.lab.lab import Lab

STEP = re.compile(r"(?:\[(?P<stage>\d+)/\d+\] )?STEP (?P<step>\d+)/\d+: ")
IMAGE = re.compile(r"--> [0-9a-f]{11,64}")
LETTERS = {"hit": "h", "miss": "m", "skipped": "-"}


@dataclass(frozen=True, slots=True)
class Said:
    """A finished `layercache build` with its report.json."""

    done: subprocess.CompletedProcess[str]
    report: dict[str, Any] = field(repr=False)

    @property
    def outcomes(self) -> str:
        """As Row.expect: upper case where the prediction was `unknown`."""
        return " ".join(
            "".join(letter(step) for step in stage["steps"] if step["outcome"]) for stage in self.report["stages"]
        )

    @property
    def disagreements(self) -> list[str]:
        """The steps whose prediction, unknowns aside, was not what happened."""
        return [
            f"line {step['start_line']}, {step['text']}: predicted {step['predicted']}, was {step['outcome']}"
            for stage in self.report["stages"]
            for step in stage["steps"]
            if step["predicted"] not in {"unknown", step["outcome"]}
        ]

    @property
    def shown(self) -> str:
        return f"{self.done.stdout}\n{self.done.stderr}"


def letter(step: dict[str, Any]) -> str:
    found = LETTERS[step["outcome"]]
    return found.upper() if step["predicted"] == "unknown" else found


@dataclass(slots=True)
class Bench:
    """The lab and one store, for one scenario on one kind of engine."""

    lab: Lab
    make_engine: MakeEngine
    kind: str
    folder: Path
    elsewhere: StoreSite | None = None
    """Where the store is, where it is no local one."""

    @property
    def store(self) -> Path:
        """Of the local one."""
        return self.folder / "store"

    @property
    def store_site(self) -> StoreSite:
        return self.elsewhere or LocalSite(self.store)

    def engine(self) -> Engine:
        """An emptied one."""
        return self.make_engine(self.kind)

    def site(self) -> Path:
        """A new folder for a context: what a fresh checkout is."""
        return self.lab.scratch("site-")

    def build(self, engine: Engine, *arguments: str | Path, code: int = 0) -> Said:
        """`layercache build` of `app` with a report; AssertionError where its exit code isn't `code`."""
        report = engine.folder / "report.json"
        report.unlink(missing_ok=True)
        site = self.store_site
        done = replace(engine, environment={**engine.environment, **site.environment}).build(
            *site.options, "--report", report, "--network", "host", *result(engine),
            *arguments, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Said(done, json.loads(report.read_text()))

    def plain(self, engine: Engine, *arguments: str | Path, code: int = 0) -> str:
        """The same build without layercache, by the engine's own command and with what it kept: its output."""
        shown = ("--progress", "rawjson") if self.kind in BUILDKIT else ()
        done = engine.plain("--network", "host", *result(engine), *shown, *arguments, check=False)
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stderr if self.kind in BUILDKIT else done.stdout

    def hits(self, output: str, said: Said) -> str:
        """What the engine itself says, in `output`, of each stage of the same Dockerfile: `h` and `m`."""
        if self.kind in BUILDKIT:
            return hits_of_vertices(read_vertices(output), shapes(said.report))
        return hits_of(output, len(said.report["stages"]))

    def records(self) -> frozenset[str]:
        return self.store_site.records()


def result(engine: Engine) -> tuple[str, ...]:
    """The options that leave `app` where read_image finds it."""
    if engine.program == "buildkit" and "BUILDX_BUILDER" in engine.environment:
        return ("--output", f"type=oci,dest={engine.folder / 'image.tar'}")
    return ("-t", "app")


def hits_of(output: str, stages: int) -> str:
    """What the engine itself says of each stage's steps, FROM left out: `h` and `m`, a blank between stages.

    A stage that waits for another in the middle of a step goes on, without a word, when that other one has ended.
    """
    found: list[list[str]] = [[] for _ in range(stages)]
    open_steps: list[re.Match[str]] = []
    for line in output.splitlines():
        if step := STEP.match(line):
            if open_steps and open_steps[-1]["step"] == "1":
                open_steps.pop()
            open_steps.append(step)
            if step["step"] != "1":
                found[int(step["stage"] or 1) - 1].append("m")
        elif not open_steps:
            continue
        elif line.startswith("--> Using cache "):
            found[int(open_steps[-1]["stage"] or 1) - 1][-1] = "h"
        elif IMAGE.fullmatch(line):
            open_steps.pop()
    return " ".join(map("".join, found))


def run_row(row: Row, bench: Bench) -> None:
    """The scenario of a row, and all that is asked of every one."""
    before, after = bench.site(), bench.site()
    base = bench.lab.busybox
    old: list[str | Path] = [*row.arguments(before, base, changed=False), row.write(before, base, changed=False)]
    new: list[str | Path] = [*row.arguments(after, base, changed=True), row.write(after, base, changed=True)]
    own = row.own_options(bench.kind)
    expected = row.expected(bench.kind)
    kept_engine, emptied, third = bench.engine(), bench.engine(), bench.engine()

    cold = bench.build(kept_engine, *old, "--", *own)
    if bench.kind == "docker-classic":
        bench.plain(kept_engine, *own, *old)  # the builder that layercache makes there is not the daemon's own
    warm = bench.build(emptied, *new, "--", *own)
    kept = bench.plain(kept_engine, *own, *new)
    kept_hits = bench.hits(kept, warm)
    print(warm.shown)

    assert cold.disagreements == []
    assert (warm.disagreements, warm.outcomes) == ([], expected)
    assert kept_hits == row.expected_of_kept(bench.kind)
    check_images(row, bench.kind, kept_engine, emptied)

    records = bench.records()
    again = bench.build(third, *new, "--", *own)
    print(again.shown)
    assert records or not expected
    assert (again.disagreements, again.outcomes) == ([], all_hit(expected) if row.again is None else row.again)
    if row.again is None:
        assert again.report["totals"]["bytes_saved"] == 0
        assert bench.records() == records


def check_images(row: Row, kind: str, kept_engine: Engine, emptied: Engine) -> None:
    """What was restored and built is what the engine that kept its cache has, and holds what it should."""
    image = read_image(emptied)
    assert [path for path, content in row.result.items() if not image.has(path, content)] == []
    if row.builds_the_same(kind):
        check_same_image(kept_engine, emptied)


def check_same_image(one: Engine, other: Engine) -> None:
    """Both built the same: history, config and files."""
    first, second = read_image(one), read_image(other)
    assert told(second.history) == told(first.history)
    assert second.config == first.config
    assert different(second.files, first.files) == []


def told(history: Sequence[str]) -> list[str]:
    """The history as every BuildKit tells it: one prints what HEALTHCHECK holds as Go shows pointers, another as it
    shows values, and the builder that stands in for a daemon's own is another."""
    return ["HEALTHCHECK" if entry.startswith("HEALTHCHECK ") else entry for entry in history]


def different(ours: dict[str, tuple[object, ...]], theirs: dict[str, tuple[object, ...]]) -> list[str]:
    return [
        f"{path}: {ours.get(path)}, not {theirs.get(path)}"
        for path in sorted({*ours, *theirs})
        if ours.get(path) != theirs.get(path)
    ]


def all_hit(expected: str) -> str:
    return re.sub("[hm]", "h", expected.lower())
