"""`setup: true`: what the step leaves for later ones, and how much of it the summary tells."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from layercache_ci.action import toolkit
from layercache_ci.action.inputs import Inputs
from layercache_ci.action.setup import step
from layercache_ci.action.setup.finish import _summaries, finish
from layercache_ci.action.setup.shims import Made, Setup, real_programs
from layercache_ci.report.model import Report, StageReport, StepReport
from layercache_ci.settings import Machine, without_shims

MACHINE = Machine({}, 0, 1, terminal=False)


def program(folder: Path, name: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    return str(folder / name)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    setup = Setup(
        tmp_path, Inputs({"store": "local", "read-scope": ("a", "b")}), {"ACTIONS_X": "1"}, ("/p",), {"AWS_X": "2"}
    )
    setup.write()
    assert Setup.read(tmp_path) == setup


def test_a_build_that_came_to_no_end_is_not_told_of(tmp_path: Path) -> None:
    setup = Setup(tmp_path, Inputs(), {}, ())
    setup.write()
    places = [setup.new_build() for _ in range(3)]
    for number in (2, 0):
        Made(places[number], f"build {number}", number or None).write()
    assert [Made.read(place) for place in setup.builds()] == [
        Made(places[0], "build 0", None),
        Made(places[2], "build 2", 2),
    ]


@pytest.mark.parametrize("text", ["", "[]", '{"path": [], "inputs": 1, "environment": {}}'])
def test_nothing_is_left_of_a_damaged_setup(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "setup"
    folder.mkdir()
    (folder / "setup.json").write_text(text)
    with pytest.raises(ValueError, match="damaged" if text else "Expecting"):
        finish(folder, MACHINE)
    assert not folder.exists()


@pytest.mark.parametrize("text", ["", "[]", '{"title": "x", "pid": "1"}'])
def test_a_damaged_build_is_a_warning(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    setup = Setup(tmp_path / "setup", Inputs(), {}, ())
    setup.folder.mkdir()
    setup.write()
    (setup.new_build() / Made.FILE).write_text(text)
    finish(setup.folder, MACHINE)
    assert capsys.readouterr().out.startswith("::warning::")
    assert not setup.folder.exists()


def test_the_jobs_token_is_kept_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", "buildah")
    monkeypatch.setattr(toolkit, "save_state", lambda *_: None)
    monkeypatch.setattr(toolkit, "add_path", lambda *_: None)
    environment = {"PATH": str(tmp_path / "bin"), "RUNNER_TEMP": str(tmp_path)}
    step.set_up(
        Inputs({"github-token": "ghs_x", "store": "local"}), replace(MACHINE, environment=environment), tmp_path
    )
    (kept,) = tmp_path.glob("*/setup.json")
    assert "ghs_x" not in kept.read_text()
    assert Setup.read(kept.parent).inputs.text("store")


def test_the_real_program_is_never_ours(tmp_path: Path) -> None:
    real = program(tmp_path / "bin", "buildah")
    path = str(tmp_path / "bin")
    for name in ("first", "second"):
        setup = Setup(tmp_path / name, Inputs(), {}, ())
        setup.folder.mkdir()
        assert real_programs(path) == {"buildah": real}
        path = f"{setup.write_shims(real_programs(path))}{os.pathsep}{path}"
    assert without_shims(path) == str(tmp_path / "bin")
    assert f'exec {real} "$@"' in (tmp_path / "second/bin/buildah").read_text()


def test_nothing_else_of_ours_starts_a_shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = Setup(tmp_path / "setup", Inputs(), {}, ())
    setup.folder.mkdir()
    shims = setup.write_shims({"buildah": program(tmp_path / "bin", "buildah")})
    monkeypatch.setenv("PATH", f"{shims}{os.pathsep}{tmp_path / 'bin'}")
    assert Machine.read().environment["PATH"] == str(tmp_path / "bin")
    monkeypatch.delenv("PATH")
    assert "PATH" not in Machine.read().environment


def test_folders_hold_wherever_a_later_step_works() -> None:
    inputs = Inputs({"store": "local:cache", "tier": "fast:1GB"})
    assert step._places(inputs, Path("/w")) == {"store": "local:/w/cache", "tier": "/w/fast:1GB"}
    for store in ("local", "local:/cache", "local:~/cache", "s3://a/b", "github"):
        assert step._places(Inputs({"store": store, "tier": "~/x"}), Path("/w")) == {}


def test_credentials_of_the_steps_own_environment_are_kept() -> None:
    machine = Machine({"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}, 0, 1, terminal=False)
    assert step._credentials(Inputs(), machine) == {"s3-access-key-id": "k", "s3-secret-access-key": "s"}
    assert step._credentials(Inputs({"s3-access-key-id": "mine"}), machine) == {}


def test_what_the_steps_own_environment_says_of_the_store_holds_for_later_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin", "buildah")
    monkeypatch.setattr(toolkit, "save_state", lambda *_: None)
    monkeypatch.setattr(toolkit, "add_path", lambda *_: None)
    environment = {
        "PATH": str(tmp_path / "bin"), "RUNNER_TEMP": str(tmp_path), "LAYERCACHE_S3_BUCKET": "bucket/prefix",
        "LAYERCACHE_TIER": "fast:1GB", "AWS_REGION": "eu-north-1", "AWS_ACCESS_KEY_ID": "k", "AWS_PROFILE": "p",
    }  # fmt: skip
    step.set_up(Inputs(), replace(MACHINE, environment=environment), tmp_path)
    (kept,) = tmp_path.glob("*/setup.json")
    setup = Setup.read(kept.parent)
    assert setup.defaults == {"AWS_REGION": "eu-north-1", "AWS_PROFILE": "p"}
    assert (setup.inputs.text("store"), setup.inputs.text("tier")) == ("s3://bucket/prefix", f"{tmp_path}/fast:1GB")
    assert setup.inputs.text("s3-access-key-id") == "k"


@pytest.mark.parametrize("steps", [3, 3000])
def test_all_summaries_together_are_no_more_than_github_shows(tmp_path: Path, steps: int) -> None:
    missed = (StepReport(line, "RUN", "RUN " + "x" * 80, line, line, None, "miss", "miss") for line in range(steps))
    stage = StageReport(0, "x", tuple(missed))
    built = [
        (Made(tmp_path, f"docker build {number}", None), Report("e", "1", "t", stages=(stage,))) for number in range(9)
    ]
    text = "\n".join(_summaries(built, "full", {}))
    assert len(text.encode()) < 1 << 20
    assert text.count("### docker build ") == 9


def test_a_real_program_that_starts_what_stands_behind_it_on_path_comes_to_an_end(tmp_path: Path) -> None:
    program(tmp_path / "bin", "docker")
    (tmp_path / "bin/docker").write_text('#!/bin/sh\necho "the last one: $*"\necho "$PATH"\n')
    script = program(tmp_path / "first", "docker")
    Path(script).write_text(f'#!/bin/sh\nPATH=$(echo "$PATH" | sed "s,{tmp_path}/first:,,")\ndocker --its-own "$@"\n')
    behind = f"{tmp_path}/first:{tmp_path}/bin:/usr/bin:/bin"
    setup = Setup(tmp_path / "set up", Inputs(), {}, ())
    setup.folder.mkdir()
    path = f"{setup.write_shims(real_programs(behind))}:{behind}"
    done = subprocess.run(["docker", "ps", "a b"], env={"PATH": path}, capture_output=True, text=True, check=True)
    assert done.stdout == f"the last one: --its-own ps a b\n{tmp_path}/bin:/usr/bin:/bin\n"


def test_the_real_program_is_started_as_it_would_be_without_us(tmp_path: Path) -> None:
    """Python ignores SIGPIPE, and the step's variables for AWS's SDK are not for engines."""
    real = Path(program(tmp_path / "bin", "docker"))
    real.write_text('#!/bin/sh\necho "$* ${AWS_REGION-unset}"\ngrep SigIgn /proc/self/status\n')
    root = str(Path(step.__file__).parents[3])
    setup = Setup(tmp_path / "setup", Inputs({"store": "local"}), {}, (root,), {"AWS_REGION": "of-the-step"})
    setup.folder.mkdir()
    setup.write()
    shim = setup.write_shims({"docker": str(real)}) / "docker"
    words = ["compose", "up", "--no-build"]
    ours, plain = (
        subprocess.run([each, *words], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True)
        for each in (shim, real)
    )
    assert (ours.stdout, ours.stderr) == (plain.stdout, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_where_nobody_can_be_told_the_real_program_builds(tmp_path: Path, closed: str) -> None:
    (tmp_path / "setup").mkdir()
    setup = Setup(tmp_path / "setup", Inputs({"store": "local"}), {}, (str(Path(step.__file__).parents[3]),))
    setup.write()
    real = Path(program(tmp_path / "bin", "buildah"))
    real.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/called\nexit 3\n')
    shims = setup.write_shims({"buildah": str(real)})
    script = f"cd {tmp_path} && touch Dockerfile && {shims}/buildah build . {closed}"
    assert subprocess.run(["sh", "-c", script], env={"PATH": "/usr/bin:/bin"}, check=False).returncode == 3
    assert (tmp_path / "called").read_text() == "build .\n"
