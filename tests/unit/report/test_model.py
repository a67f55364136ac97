from __future__ import annotations

import json
from pathlib import Path

import jsonschema

from layercache_ci.report.model import Reason, Report, Seconds, StageReport, StepReport
from layercache_ci.report.text import shorten, size, summary

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "report.schema.json").read_text())
FROM = StepReport(0, "FROM", "FROM a", 1, 1, "0" * 64, None)
HIT = StepReport(1, "RUN", "RUN x", 2, 2, "1" * 64, "hit", "hit", "store", seconds=0.1, bytes_restored=5)
MISS = StepReport(2, "COPY", "COPY a /a", 3, 3, "2" * 64, "miss", "miss", reason=Reason("file-changed", "a changed"))
LATER = StepReport(
    3, "RUN", "RUN y", 4, 4, "3" * 64, "miss", "miss", reason=Reason("parent-missed", "the step before it missed")
)
UNUSED = StepReport(1, "RUN", "RUN z", 6, 6, None, "skipped", "skipped")
REPORT = Report(
    engine="buildah",
    engine_version="1.28.2",
    transport="image store",
    saved=True,
    stages=(StageReport(0, "one", (FROM, HIT, MISS, LATER)), StageReport(1, "two", (FROM, UNUSED))),
    bytes_restored=5,
    bytes_saved=1_500_000,
    seconds=Seconds(0.15, 0.1, 0.2, 3.0, 0.4, 3.7),
)


def test_a_report_follows_its_schema_and_counts_what_ran() -> None:
    value = REPORT.to_json()
    jsonschema.validate(json.loads(json.dumps(value)), SCHEMA)
    totals = value["totals"]
    assert isinstance(totals, dict)
    assert (totals["steps"], totals["hits"], totals["misses"]) == (3, 1, 2)


def test_it_is_written_whole_and_readable_by_all(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    REPORT.write(path)
    assert json.loads(path.read_text())["totals"]["bytes_saved"] == 1_500_000
    assert path.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_the_summary_names_the_first_miss_of_a_stage_and_its_reason() -> None:
    head, *reasons = summary(REPORT)
    assert head == (
        "1 of 3 steps hit, 5 B restored in 0.2 s, build 3.0 s, 1.5 MB saved in 0.4 s, plan 0.1 s, total 3.7 s"
    )
    assert reasons == ["missed from line 3 on (one: COPY a /a): a changed"]


def test_sizes_and_texts_for_people() -> None:
    assert [size(n) for n in (0, 999, 1000, 8_250_000, 258_000_000, 12_345_678_901)] == [
        "0 B", "999 B", "1.0 kB", "8.2 MB", "258 MB", "12.35 GB",
    ]  # fmt: skip
    assert shorten("RUN a \\\n  b") == "RUN a \\ b"
    assert len(shorten("x" * 100)) == 60
