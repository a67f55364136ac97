"""What the stories have in common: a small Dockerfile, fresh checkouts of it, and harm done to what is stored."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from layercache_ci.store import StoreChoice, open_store
from tests.e2e.harness import Bench
from tests.e2e.row import Node, write_tree

STEPS = """FROM {base}
RUN echo one > /one
COPY file /file
RUN cat /file > /two
"""


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
