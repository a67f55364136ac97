"""`layercache plan`: stages, steps and keys, and what the store holds of them, without running the engine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping

from layercache_ci.commands.options import configure_build, settings_of
from layercache_ci.engines import prepare
from layercache_ci.errors import PlanError
from layercache_ci.report.model import StageReport
from layercache_ci.report.text import shorten
from layercache_ci.settings import Machine


def configure(parser: argparse.ArgumentParser) -> None:
    configure_build(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(arguments: argparse.Namespace) -> int:
    machine = Machine.read()
    build = prepare(settings_of(arguments, arguments.rest, machine), machine)
    build.plan()
    build.preview()
    stages = build.stages()
    if not stages:
        raise PlanError("; ".join(build.warnings))
    for warning in build.warnings:
        print(f"layercache: warning: {warning}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"version": 1, "stages": [_stage(stage) for stage in stages]}, indent=1))
    else:
        print("\n".join(_lines(stages)))
    return 0


def _stage(stage: StageReport) -> Mapping[str, object]:
    names = ("index", "instruction", "text", "start_line", "end_line", "key", "predicted")
    steps = [{name: getattr(step, name) for name in names} for step in stage.steps]
    return {"index": stage.index, "name": stage.name, "steps": steps}


def _lines(stages: Iterable[StageReport]) -> Iterable[str]:
    for stage in stages:
        yield f"stage {stage.index} ({stage.name})"
        for step in stage.steps:
            key = (step.key or "")[:12]
            yield f"  {step.predicted or '':8} {key:12} line {step.start_line:<4} {shorten(step.text)}"
