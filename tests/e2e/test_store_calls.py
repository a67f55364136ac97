"""How often whole builds ask a distant store: what its rate limits and its distance make count."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import MakeEngine
from tests.e2e.harness import Bench
from tests.e2e.rows import ROWS
from tests.e2e.store_sites import GithubSite
from tests.lab.lab import Lab

ASKED = "GetCacheEntryDownloadURL"
STAGES = 3
ELSEWHERE = 2
"""Entries that the last stage's record names beside its own: those of the stages below it."""


@pytest.mark.parametrize(("engine", "again"), [("buildah-1.28", 0), ("remote", STAGES)])
def test_a_build_that_changes_something_asks_for_chains_and_what_was_newest_and_saves_without_asking(
    lab: Lab, make_engine: MakeEngine, tmp_path: Path, engine: str, again: int
) -> None:
    row = next(row for row in ROWS if row.name == "stages on stages")
    site = GithubSite(tmp_path)
    bench = Bench(lab, make_engine, engine, tmp_path, site)
    bench.build(bench.engine(), row.write(bench.site(), lab.busybox, changed=False))
    before = site.server.counts()

    changed = bench.build(bench.engine(), row.write(bench.site(), lab.busybox, changed=True))

    counts = site.server.counts() - before
    missed = sum("m" in stage for stage in changed.outcomes.lower().split())
    assert missed
    assert counts[ASKED] <= STAGES + ELSEWHERE + missed + again + (again and STAGES - missed)
    assert counts["CreateCacheEntry"] == 2 * missed


@pytest.mark.parametrize(
    ("engine", "asked"),
    [
        pytest.param("buildah-1.28", STAGES + ELSEWHERE, id="buildah-1.28"),
        # the process that serves BuildKit needs signed URLs of its own
        pytest.param("remote", STAGES + ELSEWHERE + STAGES, id="remote"),
    ],
)
def test_a_build_that_changes_nothing_asks_once_a_stage_and_entry_and_saves_nothing(
    lab: Lab, make_engine: MakeEngine, tmp_path: Path, engine: str, asked: int
) -> None:
    row = next(row for row in ROWS if row.name == "stages on stages")
    site = GithubSite(tmp_path)
    bench = Bench(lab, make_engine, engine, tmp_path, site)
    context = row.write(bench.site(), lab.busybox, changed=False)
    bench.build(bench.engine(), context)
    before = site.server.counts()

    warm = bench.build(bench.engine(), context)

    counts = site.server.counts() - before
    assert warm.outcomes == "h hh h"
    assert counts[ASKED] <= asked
    assert counts - Counter({ASKED: counts[ASKED], "get blob": counts["get blob"]}) == Counter()
