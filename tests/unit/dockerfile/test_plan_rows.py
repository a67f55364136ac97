"""The keys alone, of every row of the scenario suite: equal where the engines hit, different where they miss.

tests/e2e shows on real engines that the table is right.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from layercache_ci.commands.options import configure_build
from layercache_ci.dockerfile.plan import Plan
from layercache_ci.settings import assignments
from tests.e2e.row import BASE, Row
from tests.e2e.rows import ROWS
from tests.unit.dockerfile.planning import plan_of


@pytest.mark.parametrize(
    ("row", "engine"),
    [
        pytest.param(row, engine, id=f"{engine}: {row.name}")
        for engine in ("buildah-1.28", "buildah-sid")
        for row in ROWS
        if row.runs_on(engine) and row.again is None
    ],
)
def test_keys_change_where_the_engine_misses(tmp_path: Path, row: Row, engine: str) -> None:
    newer = engine == "buildah-sid"
    before, after = (planned(row, tmp_path / str(changed), changed=changed, newer=newer) for changed in (False, True))
    held = {key for index in before.stages for key in before.chain(index)}
    expected = row.expected(engine)

    found = " ".join(
        "".join("h" if step.key in held else "m" for step in after.stages[stage.index].steps)
        if stage.index in after.stages
        else "-" * len(stage.instructions)
        for stage in after.graph.stages
    )

    certain = "".join("?" if letter.isupper() else letter for letter in expected)
    assert "".join("?" if letter.isupper() else mine for mine, letter in zip(found, expected, strict=True)) == certain


def planned(row: Row, site: Path, *, changed: bool, newer: bool) -> Plan:
    parser = argparse.ArgumentParser()
    configure_build(parser)
    context = row.write(site, BASE, changed=changed)
    options = parser.parse_args([*row.arguments(site, BASE, changed=changed), str(context)])
    return plan_of(
        context,
        dockerfile=Path(options.file) if options.file else None,
        build_args=assignments(options.build_arg, name="--build-arg"),
        target=options.target,
        contexts=assignments(options.build_context, name="--build-context"),
        labels=options.label,
        newer=newer,
        docker_format="--format=docker" in row.engine_options,
    )
