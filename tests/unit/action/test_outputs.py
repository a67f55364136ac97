"""The outputs of a build."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from layercache_ci.action.main import default_summary, named
from layercache_ci.action.outputs import OUTPUTS, all_hit, misses, outputs
from layercache_ci.action.request import Request
from layercache_ci.pipeline import Result
from layercache_ci.report.model import Report, Seconds, StageReport, StepReport
from layercache_ci.settings import BuildSettings, Machine

HIT = StepReport(1, "RUN", "RUN a", 2, 2, "1" * 64, "hit", "hit", "store", seconds=0.0, built_seconds=9.5)
MISS = StepReport(2, "RUN", "RUN b", 3, 3, "2" * 64, "miss", "miss")
UNUSED = StepReport(1, "RUN", "RUN c", 4, 4, None, "skipped", "skipped")


def result(*steps: StepReport, code: int = 0) -> Result:
    stages = (StageReport(0, "0", steps),) if steps else ()
    report = Report("buildah", "1", None, code, stages=stages, bytes_restored=7, seconds=Seconds(restore=2.0))
    return Result(code, report)


def told(tmp_path: Path, built: Result) -> dict[str, str]:
    settings = BuildSettings(context=".", iidfile=tmp_path / "image-id", metadata_file=tmp_path / "metadata.json")
    return outputs(Request(settings, ("a:1", "a:2"), image="a", tags="1 2"), built, tmp_path)


def test_a_build_with_an_image(tmp_path: Path) -> None:
    (tmp_path / "image-id").write_text("sha256:1\n")
    (tmp_path / "metadata.json").write_text(json.dumps({"containerimage.digest": "sha256:2"}))
    assert told(tmp_path, result(HIT, MISS)) == {
        "imageid": "sha256:1",
        "digest": "sha256:2",
        "metadata": '{"containerimage.digest": "sha256:2"}',
        "image": "a",
        "tags": "1 2",
        "image-with-tag": "a:1",
        "cache-hit": "false",
        "hit-steps": "1",
        "total-steps": "2",
        "report": str(tmp_path / "report.json"),
        "seconds-saved": "7.5",
        "bytes-restored": "7",
        "bytes-saved": "0",
    }


@pytest.mark.parametrize("metadata", [None, "no JSON", "[1]", '{"containerimage.digest": 1}'])
def test_a_build_without(tmp_path: Path, metadata: str | None) -> None:
    if metadata is not None:
        (tmp_path / "metadata.json").write_text(metadata)
    found = told(tmp_path, result(UNUSED, code=1))
    assert (found["imageid"], found["digest"], found["metadata"]) == ("", "", metadata or "")


def test_all_of_them_are_told(tmp_path: Path) -> None:
    assert told(tmp_path, result()).keys() == OUTPUTS.keys()


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (result(HIT), True),
        (result(HIT, UNUSED), True),
        (result(HIT, MISS), False),
        (result(HIT, code=1), False),
        (result(), False),
    ],
)
def test_a_hit_is_where_every_step_hit(built: Result, expected: bool) -> None:
    assert all_hit(built) is expected


def test_missed_steps_by_their_lines() -> None:
    assert misses(result(HIT, replace(MISS, text="RUN  b\n  && c")).report) == ["line 3 (RUN b && c)"]


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("--file: 'x' is no file", "file: 'x' is no file"),
        ("CONTEXT: 'x' is no folder", "context: 'x' is no folder"),
        ("Dockerfile:3: what is it", "Dockerfile:3: what is it"),
        ("max-size: 'x' is no size", "max-size: 'x' is no size"),
        ("built without the cache: --platform a,b: build", "built without the cache: platforms a,b: build"),
        ("built without the cache: --shm-size 'x': y", "built without the cache: shm-size 'x': y"),
        ("built without the cache: --env makes steps", "built without the cache: --env makes steps"),
        ("line 3 (RUN a --file b): what is it", "line 3 (RUN a --file b): what is it"),
    ],
)
def test_a_message_names_the_input_not_the_option(error: str, shown: str) -> None:
    assert named(error) == shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [("false", "off"), ("0", "off"), ("f", "off"), ("F", "off"), ("true", "short"), ("", "short"), ("x", "short")],
)
def test_build_push_actions_variable_turns_the_summary_off(value: str, expected: str) -> None:
    assert default_summary(Machine({"DOCKER_BUILD_SUMMARY": value}, 0, 1, terminal=False)) == expected


def test_the_variable_of_build_push_actions_v5_and_v6_counts_too() -> None:
    refused = {"DOCKER_BUILD_NO_SUMMARY": "true"}
    assert default_summary(Machine(refused, 0, 1, terminal=False)) == "off"
    both = {"DOCKER_BUILD_NO_SUMMARY": "false", "DOCKER_BUILD_SUMMARY": "false"}
    assert default_summary(Machine(both, 0, 1, terminal=False)) == "short"
