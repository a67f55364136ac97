"""Bad input: exit code 2 and one line that names the input, its value and the remedy, before anything runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from layercache_ci.cli import run


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.chdir(tmp_path)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--tga", "app", "."], ["--tga"]),
        (["--target"], ["--target"]),
        ([], ["CONTEXT"]),
        (["nowhere"], ["CONTEXT", "nowhere"]),
        (["Dockerfile"], ["CONTEXT", "Dockerfile"]),
        (["empty"], ["--file", "empty/Dockerfile"]),
        (["-f", "nothing", "."], ["--file", "nothing"]),
        (["--build-context", "x", "."], ["--build-context", "'x'", "NAME=VALUE"]),
        (["--max-size", "big", "."], ["--max-size", "'big'", "10GB"]),
        (["--engine", "kaniko", "."], ["--engine", "kaniko", "buildah"]),
        (["--engine", "podman", "."], ["--engine", "'podman'", "PATH"]),
        (["."], ["--engine", "no Docker daemon that answers", "neither podman nor buildah on PATH", "install"]),
        (["--push", "."], ["--push", "-t"]),
        (["--report", "absent/report.json", "."], ["--report", "absent"]),
        (["--progress", "loud", "."], ["--progress", "loud"]),
    ],
)
def test_one_line_and_exit_code_2(
    context: str, capsys: pytest.CaptureFixture[str], arguments: list[str], named: list[str]
) -> None:
    assert context
    assert run(["build", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("layercache: ")
    for part in named:
        assert part in line


def test_an_unknown_verb_lists_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bulid"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "bulid" in line
    assert "build" in line


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["gc"], ["gc", "--max-size", "--max-age", "--unreferenced"]),
        (["gc", "--dry-run"], ["gc", "--unreferenced"]),
        (["gc", "--max-age", "14"], ["--max-age", "'14'", "14d"]),
        (["gc", "--max-age", "-1d"], ["--max-age"]),
        (["gc", "--max-size", "much"], ["--max-size", "'much'", "10GB"]),
        (["gc", "--unreferenced", "--mode", "read-only"], ["gc", "--mode read-only", "--mode read-write"]),
        (["gc", "--unreferenced", "--store", "nowhere"], ["--store", "'nowhere'", "local:DIR"]),
        (["stats", "--s3-bucket", "s3://"], ["--s3-bucket", "BUCKET/PREFIX"]),
        (["stats", "--mode", "write"], ["--mode", "'write'", "read-only"]),
        (["doctor", "--tier", "Dockerfile:1GB"], ["--tier", "'Dockerfile:1GB'", "DIR:SIZE"]),
    ],
)
def test_of_the_store(context: str, capsys: pytest.CaptureFixture[str], arguments: list[str], named: list[str]) -> None:
    assert context
    assert run(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for part in named:
        assert part in line


@pytest.mark.parametrize("verb", ["build", "plan", "stats", "gc", "doctor", "parse", "expand", "context"])
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run([verb, "--help"])
    assert ended.value.code == 0
    assert f"usage: layercache {verb}" in capsys.readouterr().out


def test_who_has_read_enough_may_go(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM scratch\n" + "ENV A=b\n" * 20_000)
    command = [sys.executable, "-m", "layercache_ci", "parse", str(file)]
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline().split() == [b"1", b"FROM", b"scratch"]
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141
