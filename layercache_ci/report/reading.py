"""report.json read back, by a process that was not there when it was written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layercache_ci.report.model import REPORT_VERSION, Reason, Report, Seconds, StageReport, StepReport


def read_report(path: Path) -> Report:
    """Raises OSError, and ValueError for what is no report of this version."""
    value = json.loads(path.read_bytes())
    if not isinstance(value, dict) or value.get("version") != REPORT_VERSION:
        raise ValueError(f"{path} is no report of version {REPORT_VERSION}")
    try:
        return _report(value)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is no report: {error}") from error


def _report(value: Mapping[str, Any]) -> Report:
    totals = value["totals"]
    return Report(
        engine=value["engine"],
        engine_version=value["engine_version"],
        transport=value["transport"],
        exit_code=value["exit_code"],
        failed_in=value["failed_in"],
        saved=value["saved"],
        stages=tuple(_stage(stage) for stage in value["stages"]),
        bytes_restored=totals["bytes_restored"],
        bytes_read=totals["bytes_read"],
        bytes_saved=totals["bytes_saved"],
        seconds=Seconds(**totals["seconds"]),
        warnings=tuple(value["warnings"]),
    )


def _stage(value: Mapping[str, Any]) -> StageReport:
    steps = tuple(
        StepReport(**{**step, "reason": None if step["reason"] is None else Reason(**step["reason"])})
        for step in value["steps"]
    )
    return StageReport(value["index"], value["name"], steps, tuple(value["needs"]))
