"""The scenario suite: what is predicted happens, and is what an engine that kept its cache does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import MakeEngine
from tests.e2e.expect_buildkit import EXPECT, LEFT_OUT
from tests.e2e.harness import Bench, run_row
from tests.e2e.row import Row
from tests.e2e.rows import ROWS
from tests.lab.engines import BUILDKIT
from tests.lab.lab import Lab

ENGINES = ("buildah-1.28", "podman-4.3", "buildah-sid", "podman-sid", *BUILDKIT)


def chosen(row: Row, engine: str) -> bool:
    """Whether `make test` runs the row on this engine; the whole matrix runs all."""
    return row.everywhere or engine in {"remote", "buildah-sid" if row.only == "new" else "buildah-1.28"}


@pytest.mark.parametrize(
    ("row", "engine"),
    [
        pytest.param(row, engine, id=f"{engine}: {row.name}", marks=() if chosen(row, engine) else pytest.mark.all_rows)
        for engine in ENGINES
        for row in ROWS
        if row.runs_on(engine)
    ],
)
def test_row(lab: Lab, make_engine: MakeEngine, tmp_path: Path, row: Row, engine: str) -> None:
    run_row(row, Bench(lab, make_engine, engine, tmp_path))


def test_every_row_is_said_to_apply_to_buildkit_or_not() -> None:
    assert sorted([*EXPECT, *LEFT_OUT]) == sorted(row.name for row in ROWS)


def test_the_suite_is_as_large_as_promised() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert len(ROWS) >= 60
