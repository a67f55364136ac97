from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from layercache_ci.report.model import Report, Seconds
from layercache_ci.report.reading import read_report
from tests.unit.report.test_markdown import REPORT, reports


@settings(max_examples=30, deadline=None)
@given(reports())
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, report: Report) -> None:
    path = tmp_path_factory.mktemp("reports") / "report.json"
    for written in (report, replace(REPORT, saved=False, bytes_read=3, seconds=Seconds(0.5, 1, 2, 3, 4, 5))):
        written.write(path)
        assert read_report(path) == written


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', '{"version": 1}', '{"version": 1, "totals": []}'])
def test_what_is_no_report_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"no report|Expecting"):
        read_report(path)


def test_a_report_of_another_make_is_none(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    value = json.loads(json.dumps(REPORT.to_json()))
    value["stages"][0]["steps"][0]["surprise"] = 1
    path.write_text(json.dumps(value))
    with pytest.raises(ValueError, match="surprise"):
        read_report(path)
