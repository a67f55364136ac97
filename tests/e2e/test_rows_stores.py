"""Rows of the scenario suite over every store that is no local folder, on real servers and on Buildah and BuildKit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest
from _pytest.mark import ParameterSet

from tests.conftest import MakeEngine
from tests.e2e.harness import Bench, run_row
from tests.e2e.row import Row
from tests.e2e.rows import ROWS
from tests.e2e.store_sites import SITES
from tests.e2e.stories import check_failed_build
from tests.lab.lab import Lab

NAMES: Final = (
    "a file changes",
    "ARG",
    "a stage changes, what is copied from it stays the same",
    "--target goes to another stage",
    "a file that a ! takes back changes",
    "stages on stages",
    "a diamond, one side changes",
    "FROM scratch",
    "--from an image",
    "--target, a stage in the middle",
    "ONBUILD of a stage that is built on",
    "a bind mount of a stage that changes",
    "a cache mount",
    "a secret, whose content never counts",
    "a heredoc stays the same",
    "ADD of an archive that is packed again",
    "a copied file changes in the midst of many",
    "--build-context, a folder",
    "--no-cache",
)
"""The rows, those first that `make test` runs."""

IN_MAKE_TEST: Final[Mapping[str, int]] = MappingProxyType(
    {"minio": 5, "versity": 2, "rclone": 2, "github-v2": 5, "github-v1": 3, "act": 2}
)
"""How many of them `make test` runs on each store, on both engines; the whole matrix runs all."""

FAILED_BUILD_CODES: Final[Mapping[str, int]] = MappingProxyType({"buildah-1.28": 3, "remote": 1})


def engines(row: Row) -> tuple[str, str]:
    """The Buildah that can have the row, and BuildKit."""
    return ("buildah-sid" if row.only == "new" else "buildah-1.28", "remote")


def rows() -> Iterator[ParameterSet]:
    by_name = {row.name: row for row in ROWS}
    for site, few in IN_MAKE_TEST.items():
        for number, name in enumerate(NAMES):
            row = by_name[name]
            for engine in engines(row):
                marks = () if number < few else pytest.mark.all_rows
                yield pytest.param(row, (engine, site), id=f"{site}: {engine}: {name}", marks=marks)


@pytest.fixture
def bench(lab: Lab, make_engine: MakeEngine, tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    """For an engine and a store, both by name."""
    engine, site = request.param
    return Bench(lab, make_engine, engine, tmp_path, SITES[site](tmp_path))


@pytest.mark.parametrize(("row", "bench"), list(rows()), indirect=["bench"])
def test_row(row: Row, bench: Bench) -> None:
    run_row(row, bench)


@pytest.mark.all_rows
@pytest.mark.parametrize(
    "bench",
    [pytest.param((engine, site), id=f"{site}: {engine}") for site in SITES for engine in FAILED_BUILD_CODES],
    indirect=True,
)
def test_a_failed_build_keeps_what_it_finished(bench: Bench) -> None:
    check_failed_build(bench, FAILED_BUILD_CODES[bench.kind])


def test_every_store_has_as_many_rows_as_promised_on_engines_that_can_have_them() -> None:
    chosen = [row for row in ROWS if row.name in NAMES]
    assert set(IN_MAKE_TEST) == set(SITES)
    assert len(chosen) == len(set(NAMES)) >= 15
    assert all(row.runs_on(engine) for row in chosen for engine in engines(row))
