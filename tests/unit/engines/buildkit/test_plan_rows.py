"""The keys alone, of every row of the scenario suite: equal where BuildKit hits, different where it misses.

tests/e2e shows on real builders that the table is right.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from layercache_ci.commands.options import configure_build, configure_run, settings_of
from layercache_ci.dockerfile.plan import Plan
from layercache_ci.engines.buildkit.planning import make_plan
from layercache_ci.settings import Machine
from tests.e2e.expect_buildkit import EXPECT
from tests.e2e.row import BASE, Row
from tests.e2e.rows import ROWS
from tests.unit.dockerfile.planning import Images

OTHERWISE = {
    # the content of another stage is not known before it ran: predicted unknown
    "a stage changes, what is copied from it stays the same": "mm mm",
    # the keys are the same, they are not looked up
    "--no-cache": "hh",
    # a builder that kept its context overlooks it, an emptied one does not
    "the mode of the copied folder itself": "hmm",
    "the mode of a folder inside": "hmm",
    # by the fsutil of BuildKit 0.34.2, which tests/oracle asks, docs/a is sent; the lab's client of its own does not
    "the last rule wins": "mm",
}


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS if row.name in EXPECT])
def test_keys_change_where_buildkit_misses(tmp_path: Path, row: Row) -> None:
    before, after = (planned(row, tmp_path / str(changed), changed=changed) for changed in (False, True))
    held = {key for index in before.stages for key in before.chain(index)}

    found = " ".join(
        "".join("h" if step.key in held else "m" for step in after.stages[stage.index].steps if step.link)
        if stage.index in after.stages
        else "-"
        for stage in after.graph.stages
    )

    assert found == OTHERWISE.get(row.name, EXPECT[row.name].lower())


def planned(row: Row, site: Path, *, changed: bool) -> Plan:
    parser = argparse.ArgumentParser()
    configure_build(parser)
    configure_run(parser)
    context = row.write(site, BASE, changed=changed)
    options = parser.parse_args([*row.arguments(site, BASE, changed=changed), str(context)])
    machine = Machine({"HOME": str(site)}, 0, 1, terminal=False)
    return make_plan(settings_of(options, row.engine_options, machine), machine, Images())
