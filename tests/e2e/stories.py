"""What the stories have in common: a small Dockerfile, fresh checkouts of it, and harm done to what is stored."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from layercache_ci.store import StoreChoice, open_store
from tests.e2e.harness import Bench, Said
from tests.e2e.row import Node, write_tree
from tests.lab.engines import Engine

STEPS = """FROM {base}
RUN echo one > /one
COPY file /file
RUN cat /file > /two
"""


def kinds(names: Iterable[str], *, in_every_run: Collection[str]) -> list[Any]:
    """Kinds of engine as parameters: `make test` takes some of them, `make test-all` all."""
    return [pytest.param(name, marks=() if name in in_every_run else pytest.mark.all_rows) for name in names]


def context(bench: Bench, dockerfile: str, **files: Node) -> Path:
    """A fresh checkout."""
    folder = bench.site() / "context"
    write_tree(folder, {"Dockerfile": dockerfile.replace("{base}", bench.lab.busybox), **files})
    return folder


def warnings(report: Mapping[str, list[str]]) -> str:
    return "\n".join(report["warnings"])


def in_background(said: str) -> int:
    """The process that saves, by what layercache said of it."""
    return int(said.split("saving in the background: process ")[1].split(",", maxsplit=1)[0])


def alter(blob: Path) -> None:
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)


def truncate(blob: Path) -> None:
    os.truncate(blob, blob.stat().st_size // 2)


def layer_blob(bench: Bench, step: int) -> Path:
    """The file in the store that holds the layer of a step of the only record with so many links."""
    store = open_store(StoreChoice(f"local:{bench.store}", bench.store, ("default",), None))
    record = next(record for record in store.records() if len(record.chain) > step)
    digest = record.chain[step].layers[0].blob.digest
    return next(bench.store.rglob(digest.removeprefix("sha256:")))


def check_failed_build(bench: Bench, code: int) -> None:
    """A build that fails with that code keeps what it finished, for itself and for the one that is mended."""
    broken = context(bench, STEPS + "RUN exit 3\nRUN echo never > /never\n", file="1")
    mended = context(bench, STEPS + "RUN exit 0\nRUN echo last > /last\n", file="1")

    failed = bench.build(bench.engine(), broken, code=code)
    again = bench.build(bench.engine(), broken, code=code)
    fixed = bench.build(bench.engine(), mended)

    assert (failed.outcomes, again.outcomes, fixed.outcomes) == ("mmmm-", "hhhm-", "hhhmm")
    assert fixed.disagreements == []
    assert failed.report["failed_in"] == "engine"
    assert failed.report["saved"] is True


def check_each_platform(
    bench: Bench,
    build: Callable[[Engine, Path], Said],
    left_by: Callable[[Engine], object],
    *,
    one: tuple[Path, object],
    two: tuple[Path, object],
    each: Sequence[str],
) -> Said:
    """Cold, all hit on an emptied engine, and with a source changed, exactly what depends on it. `one` and `two` are
    contexts before and after the change, and what is left of them; `each` are the outcomes that both platforms have in
    the four builds, of which the first is returned."""
    said: list[Said] = []
    left: list[object] = []
    for folder, _ in (one, one, two, two):
        engine = bench.engine()
        said.append(build(engine, folder))
        left.append(left_by(engine))

    assert [run.outcomes for run in said] == [f"{outcomes} {outcomes}" for outcomes in each]
    assert [run.disagreements for run in said] == [[], [], [], []]
    assert left == [one[1], one[1], two[1], two[1]]
    assert [run.report["warnings"] for run in said] == [[], [], [], []]
    assert said[1].report["totals"]["bytes_saved"] == said[3].report["totals"]["bytes_saved"] == 0
    return said[0]
