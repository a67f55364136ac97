"""The order of the stages and what each may do, with an engine that does as it is told."""

from __future__ import annotations

import io
import json
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest

from layercache_ci import pipeline
from layercache_ci.engines.protocol import Saved
from layercache_ci.errors import EngineError
from layercache_ci.handover import Cancellation
from layercache_ci.report.model import StageReport, StepReport
from layercache_ci.report.progress import Voice
from layercache_ci.settings import BuildSettings, Machine


@dataclass(slots=True)
class Told:
    """A build that notes what is asked of it, and raises where `fault` names the stage."""

    fault: str = ""
    code: int = 0
    saved: Saved = field(default_factory=Saved)
    asked: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    later: dict[str, str] = field(default_factory=dict)
    unpushed: tuple[dict[str, object], ...] = ()
    kept: tuple[Path, ...] = ()
    bytes_restored: int = 7
    launched: float | None = None
    engine_name: str = "buildah"
    engine_version: str = "1.28.2"
    transport: str = "image store"
    image_id: str | None = "sha256:abc"

    def _ask(self, stage: str) -> None:
        self.asked.append(stage)
        if stage == self.fault:
            raise (EngineError if stage == "finish" else ZeroDivisionError)(stage)

    def abandon(self, warning: str) -> None:
        self.warnings.append(warning)
        self.asked.append("abandon")

    def begin(self) -> None:
        self._ask("begin")

    def plan(self) -> None:
        self._ask("plan")

    def preview(self) -> None:
        self._ask("preview")

    def restore(self) -> None:
        self._ask("restore")

    def run(self, sink: BinaryIO | None) -> int:
        self._ask("run")
        if sink is not None:
            sink.flush()
        return self.code

    def finish(self) -> None:
        self._ask("finish")

    def stages(self) -> tuple[StageReport, ...]:
        if self.fault == "stages":
            raise ZeroDivisionError(self.fault)
        step = StepReport(1, "RUN", "RUN x", 2, 2, "0" * 64, "hit", "hit", source="store")
        return (StageReport(0, "0", (step,)),)

    def save(self) -> Saved:
        self._ask("save")
        return self.saved

    def close(self) -> None:
        self._ask("close")


@dataclass(slots=True)
class Outcome:
    code: int
    report: dict[str, object]
    said: str


def build(told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, quiet: bool = False) -> Outcome:
    monkeypatch.setattr(pipeline, "prepare", lambda _settings, _machine: told)
    out = io.StringIO()
    settings = BuildSettings(context=".", report=tmp_path / "report.json", quiet=quiet)
    code = pipeline.build(settings, Machine({}, 0, 1, False), voice=Voice(out, terminal=False)).code
    return Outcome(code, json.loads((tmp_path / "report.json").read_text()), out.getvalue())


def test_the_stages_come_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(saved=Saved(records=1, size=42))
    outcome = build(told, tmp_path, monkeypatch)
    assert told.asked == ["begin", "plan", "restore", "run", "finish", "save", "close"]
    assert outcome.code == 0
    assert outcome.report["saved"] is True
    totals = outcome.report["totals"]
    assert isinstance(totals, dict)
    assert (totals["hits"], totals["bytes_saved"], totals["bytes_restored"]) == (1, 42, 7)
    assert "1 of 1 steps hit" in outcome.said


@pytest.mark.parametrize("stage", ["begin", "plan", "restore"])
def test_a_fault_that_nobody_thought_of_builds_without_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    told = Told(fault=stage)
    outcome = build(told, tmp_path, monkeypatch)
    assert outcome.code == 0
    assert told.asked[told.asked.index(stage) + 1] == "abandon"
    assert "run" in told.asked
    assert f"warning: built without the cache: ZeroDivisionError: {stage}" in outcome.said


def test_a_save_that_fails_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = build(Told(fault="save"), tmp_path, monkeypatch)
    assert outcome.code == 0
    assert outcome.report["saved"] is False
    assert "not saved: ZeroDivisionError" in outcome.said


def test_what_kept_it_from_being_restored_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = Saved(complete=False, warnings=("not saved: there is no such bucket", "not saved: another"))
    outcome = build(Told(warnings=["there is no such bucket"], saved=saved), tmp_path, monkeypatch)
    assert outcome.report["warnings"] == ["there is no such bucket", "not saved: another"]
    assert outcome.said.count("there is no such bucket") == 1


def test_a_failing_build_is_saved_and_keeps_its_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(code=42)
    outcome = build(told, tmp_path, monkeypatch)
    assert told.asked == ["begin", "plan", "restore", "run", "save", "close"]
    assert outcome.code == 42
    assert (outcome.report["exit_code"], outcome.report["failed_in"]) == (42, "engine")


def test_an_image_that_can_not_be_brought_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(fault="finish")
    outcome = build(told, tmp_path, monkeypatch)
    assert outcome.code == pipeline.ENGINE_FAILED
    assert "error: finish" in outcome.said
    assert told.asked[-2:] == ["save", "close"]


def test_whatever_ends_a_build_its_store_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(fault="run")
    with pytest.raises(ZeroDivisionError):
        build(told, tmp_path, monkeypatch)
    assert told.asked[-1] == "close"


@pytest.mark.parametrize("stage", ["stages", "close"])
def test_nothing_that_comes_after_the_engine_fails_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    outcome = build(Told(fault=stage), tmp_path, monkeypatch)
    assert outcome.code == 0
    assert f": ZeroDivisionError: {stage}" in outcome.said
    assert outcome.report["saved"] is True


def test_a_save_that_can_not_go_to_the_background_is_made_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    monkeypatch.setattr(pipeline, "prepare", lambda _settings, _machine: told)
    (tmp_path / "file").write_text("")
    out = io.StringIO()
    settings = BuildSettings(context=".", wait=False)
    machine = Machine({"LAYERCACHE_SCRATCH": str(tmp_path / "file")}, 0, 1, False)
    result = pipeline.build(settings, machine, voice=Voice(out, terminal=False))
    assert (result.code, result.pid) == (0, None)
    assert told.asked[-2:] == ["save", "close"]
    assert "warning: saving here, not in the background: " in out.getvalue()


@dataclass(slots=True)
class Cancelled(Told):
    """By whoever runs the job, while the report is made."""

    def stages(self) -> tuple[StageReport, ...]:
        signal.raise_signal(signal.SIGINT)
        return ()


def test_a_cancellation_is_not_put_off_until_a_save_that_is_made_here_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Cancelled()
    monkeypatch.setattr(pipeline, "prepare", lambda _settings, _machine: told)
    (tmp_path / "file").write_text("")
    machine = Machine({"LAYERCACHE_SCRATCH": str(tmp_path / "file")}, 0, 1, False)
    voice = Voice(io.StringIO(), terminal=False)
    with pytest.raises(KeyboardInterrupt):
        pipeline.build(BuildSettings(context=".", wait=False), machine, voice=voice, cancellation=Cancellation())
    assert told.asked[-2:] == ["finish", "close"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_log_of_a_save_is_no_link_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    monkeypatch.setattr(pipeline, "prepare", lambda _settings, _machine: told)
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    settings = BuildSettings(context=".", wait=False)
    out = io.StringIO()
    result = pipeline.build(settings, Machine({}, 0, 1, False), voice=Voice(out, terminal=False), log=tmp_path / "log")
    assert result.pid is None
    assert not (tmp_path / "elsewhere").exists()
    assert "save" in told.asked


def test_quiet_prints_the_image_id_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build(Told(), tmp_path, monkeypatch, quiet=True)
    assert capsys.readouterr().out == "sha256:abc\n"
