"""Builds on engines of the lab, and what came of them: by layercache's report, and by the engine's own output."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import MakeEngine
from tests.e2e.images import read_image
from tests.e2e.row import Row
from tests.lab.engines import Engine
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

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def engine(self) -> Engine:
        """An emptied one."""
        return self.make_engine(self.kind)

    def site(self) -> Path:
        """A new folder for a context: what a fresh checkout is."""
        return self.lab.scratch("site-")

    def build(self, engine: Engine, *arguments: str | Path, code: int = 0) -> Said:
        """`layercache build -t app` with a report; AssertionError where its exit code isn't `code`."""
        report = engine.folder / "report.json"
        report.unlink(missing_ok=True)
        done = engine.build(
            "--store", f"local:{self.store}", "--report", report,
            "--network", "host", "-t", "app",
            *arguments, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Said(done, json.loads(report.read_text()))

    def plain(self, engine: Engine, *arguments: str | Path, code: int = 0) -> str:
        """The same build without layercache, by the engine's own command and with what it kept: its output."""
        done = engine.run("build", "--layers", "--network", "host", "-t", "app", *arguments, check=False)
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def records(self) -> frozenset[str]:
        """The files in the store that hold records."""
        return frozenset(path.name for path in self.store.glob("*/records/*"))


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
    own = ["--", *row.engine_options]
    expected = row.expected(bench.kind)
    kept_engine, emptied, third = bench.engine(), bench.engine(), bench.engine()

    cold = bench.build(kept_engine, *old, *own)
    warm = bench.build(emptied, *new, *own)
    kept = bench.plain(kept_engine, *row.engine_options, *new)
    print(warm.shown, kept, sep="\n--- the engine that kept its cache:\n")

    assert cold.disagreements == []
    assert (warm.disagreements, warm.outcomes) == ([], expected)
    assert hits_of(kept, len(warm.report["stages"])) == row.expected_of_kept(bench.kind)
    check_images(row, kept_engine, emptied)

    records = bench.records()
    again = bench.build(third, *new, *own)
    print(again.shown)
    assert records or not expected
    assert (again.disagreements, again.outcomes) == ([], all_hit(expected) if row.again is None else row.again)
    if row.again is None:
        assert again.report["totals"]["bytes_saved"] == 0
        assert bench.records() == records


def check_images(row: Row, kept_engine: Engine, emptied: Engine) -> None:
    """What was restored and built is what the engine that kept its cache has, and holds what it should."""
    image = read_image(emptied)
    assert [path for path, content in row.result.items() if not image.has(path, content)] == []
    if not row.kept_differs:
        check_same_image(kept_engine, emptied)


def check_same_image(one: Engine, other: Engine) -> None:
    """Both built the same: history, config and files."""
    first, second = read_image(one), read_image(other)
    assert second.history == first.history
    assert second.config == first.config
    assert different(second.files, first.files) == []


def different(ours: dict[str, tuple[object, ...]], theirs: dict[str, tuple[object, ...]]) -> list[str]:
    return [
        f"{path}: {ours.get(path)}, not {theirs.get(path)}"
        for path in sorted({*ours, *theirs})
        if ours.get(path) != theirs.get(path)
    ]


def all_hit(expected: str) -> str:
    return re.sub("[hm]", "h", expected.lower())
