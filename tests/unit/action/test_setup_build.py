"""`setup: true`: what comes of a build of a later step where something of ours fails."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from layercache_ci.action.inputs import Inputs
from layercache_ci.action.setup import build as module
from layercache_ci.action.setup.build import run
from layercache_ci.action.setup.shims import Made, Setup
from layercache_ci.engines.containers import engine
from layercache_ci.errors import EngineError
from layercache_ci.handover import Cancellation
from layercache_ci.pipeline import Course, Result
from layercache_ci.report.model import Report

CODE = 7


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a setup; the working folder holds a Dockerfile."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    (tmp_path / "setup").mkdir()
    Setup(tmp_path / "setup", Inputs({"store": "local"}), {}, ()).write()
    return str(tmp_path / "setup")


@pytest.mark.parametrize("code", [0, CODE, None])
@pytest.mark.parametrize("error", [OSError("full"), EngineError("odd"), BrokenPipeError()])
def test_a_fault_behind_the_engines_start_builds_nothing_again(
    folder: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int | None,
) -> None:
    def broken(*_: object, course: Course, **_more: Any) -> Result:
        course.launched, course.code = True, code
        raise error

    monkeypatch.setattr(module, "build", broken)
    assert run(folder, "docker", ["build", "."]) == (1 if code is None else code)
    assert f"warning: {type(error).__name__}: {error}" in capsys.readouterr().err


def test_a_fault_before_it_leaves_all_to_the_real_program(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **_more: Any) -> Result:
        raise error

    monkeypatch.setattr(module, "build", broken)
    error: Exception = EngineError("none")
    assert run(folder, "docker", ["build", "."]) == ["build", "."]
    error = OSError("full")
    with pytest.raises(OSError, match="full"):
        run(folder, "docker", ["build", "."])


def test_a_summary_that_can_not_be_told_of_is_a_warning(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_made: Made) -> None:
        raise OSError("no space")

    monkeypatch.setattr(module, "build", lambda *_, **_more: Result(0, Report("e", "1", "t")))
    monkeypatch.setattr(Made, "write", full)
    assert run(folder, "docker", ["build", "."]) == 0
    assert "warning: the job summary will not tell of this build: no space" in capsys.readouterr().err


def test_the_steps_variables_of_aws_are_for_the_store_alone(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "mine")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    setup = replace(Setup.read(Path(folder)), defaults={"AWS_REGION": "x", "AWS_PROFILE": "p"})
    with monkeypatch.context() as later:
        later.setenv("AWS_PROFILE", "")
        later.delenv("AWS_PROFILE")
        environment = module._machine(setup).environment
        assert (os.environ["AWS_REGION"], os.environ["AWS_PROFILE"]) == ("mine", "p")
        assert (environment["AWS_REGION"], "AWS_PROFILE" in environment) == ("mine", False)


def test_an_end_that_is_asked_for_comes_when_the_build_is_told_of(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []

    def asked_to_end(*_: object, cancellation: Cancellation, **_more: Any) -> Result:
        monkeypatch.setattr(cancellation.__class__, "admit", lambda _: told.append(bool(list(made()))))
        return Result(0, Report("e", "1", "t"))

    def made() -> Iterator[Path]:
        return Setup.read(Path(folder)).builds()

    monkeypatch.setattr(module, "build", asked_to_end)
    assert run(folder, "docker", ["build", "."]) == 0
    assert told == [True]


@pytest.mark.parametrize(
    ("program", "uid", "inside"), [("buildah", 1, True), ("buildah", 0, False), ("docker", 1, False)]
)
def test_an_ordinary_users_build_starts_anew_where_the_engine_keeps_its_files(
    folder: str, monkeypatch: pytest.MonkeyPatch, program: str, uid: int, inside: bool
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setattr(module, "build", lambda *_, **_more: Result(0, Report("e", "1", "t")))
    monkeypatch.setattr(engine, "command_inside", lambda *_: ["unshare", "x"])
    monkeypatch.setattr("layercache_ci.action.namespace.run_inside", lambda *_: CODE)
    assert run(folder, program, ["build", "."]) == (CODE if inside else 0)
