"""BuildKit through a tier before a remote store, and with a mode that takes less than the whole cache."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import MakeEngine
from tests.e2e.harness import Bench
from tests.e2e.row import Row
from tests.e2e.rows import ROWS
from tests.e2e.store_sites import GithubSite, S3Site, StoreSite
from tests.lab.lab import Lab

ENGINE = "remote"
HELD, CHANGED, COLD = "h hh h", "h mm m", "m mm m"


class Unreachable:
    """A store of which only the name is left."""

    def __init__(self, site: StoreSite) -> None:
        self._site = site

    @property
    def options(self) -> tuple[str, ...]:
        return (*self._site.options, "--s3-endpoint", "http://127.0.0.1:1")

    @property
    def environment(self) -> dict[str, str]:
        gone = {"ACTIONS_RESULTS_URL": "http://127.0.0.1:1/"}
        return {name: gone.get(name, value) for name, value in self._site.environment.items()}

    def records(self) -> frozenset[str]:
        return self._site.records()


@pytest.fixture
def row() -> Row:
    return next(row for row in ROWS if row.name == "stages on stages")


def context_of(bench: Bench, row: Row, *, changed: bool = False) -> Path:
    return row.write(bench.site(), bench.lab.busybox, changed=changed)


@pytest.mark.parametrize("make_site", [S3Site, GithubSite], ids=["minio", "github"])
def test_what_passes_through_a_tier_serves_where_the_store_is_gone(
    lab: Lab, make_engine: MakeEngine, tmp_path: Path, row: Row, make_site: type[S3Site | GithubSite]
) -> None:
    site = make_site(tmp_path)
    bench = Bench(lab, make_engine, ENGINE, tmp_path, site)
    cut_off = Bench(lab, make_engine, ENGINE, tmp_path, Unreachable(site))
    first, second = tmp_path / "first", tmp_path / "second"

    cold = bench.build(bench.engine(), "--tier", first, context_of(bench, row))
    saved = cut_off.build(bench.engine(), "--tier", first, context_of(bench, row))
    read = bench.build(bench.engine(), "--tier", second, context_of(bench, row, changed=True))
    kept = cut_off.build(bench.engine(), "--tier", second, context_of(bench, row, changed=True))

    assert (cold.outcomes, saved.outcomes) == (COLD, HELD), "what was saved lies there"
    assert (read.outcomes, kept.outcomes) == (CHANGED, HELD), "and what was read"
    assert cold.report["warnings"] == read.report["warnings"] == []
    for alone in (saved, kept):
        told = [warning for warning in alone.report["warnings"] if "the tier stands in for it" in warning]
        assert len(told) == 1, alone.report["warnings"]


def test_a_run_that_only_reads_saves_nothing(lab: Lab, make_engine: MakeEngine, tmp_path: Path, row: Row) -> None:
    site = GithubSite(tmp_path)
    bench = Bench(lab, make_engine, ENGINE, tmp_path, site)

    cold = bench.build(bench.engine(), "--mode", "read-only", context_of(bench, row))
    assert (cold.outcomes, bench.records()) == (COLD, frozenset())
    bench.build(bench.engine(), context_of(bench, row))
    held, before = bench.records(), site.server.counts()
    changed = bench.build(bench.engine(), "--mode", "read-only", context_of(bench, row, changed=True))

    assert (changed.outcomes, changed.report["warnings"]) == (CHANGED, [])
    assert (changed.report["totals"]["bytes_saved"], bench.records()) == (0, held)
    assert set(site.server.counts() - before) == {"GetCacheEntryDownloadURL", "get blob"}


def test_a_run_without_the_cache_does_not_ask_for_it(
    lab: Lab, make_engine: MakeEngine, tmp_path: Path, row: Row
) -> None:
    site = GithubSite(tmp_path)
    bench = Bench(lab, make_engine, ENGINE, tmp_path, site)
    bench.build(bench.engine(), context_of(bench, row))
    before = site.server.counts()

    off = bench.build(bench.engine(), "--mode", "off", context_of(bench, row))

    assert (off.outcomes, off.report["warnings"]) == (COLD, [])
    reasons = [step["reason"] for stage in off.report["stages"] for step in stage["steps"] if step["reason"]]
    assert {reason["detail"] for reason in reasons} == {"--mode off was given", "the step before it missed"}
    assert site.server.counts() - before == Counter()
