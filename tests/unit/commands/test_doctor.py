"""What the doctor says of machines that lack something, whose programs are played."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from layercache_ci.cli import run

TAR = "echo 'tar (GNU tar) 1.34'"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that is on PATH; there is no other builder, store or CI than the test's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in [name for name in os.environ if not name.startswith("PYTEST")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    return folder


def put(programs: Path, **scripts: str) -> None:
    for name, script in scripts.items():
        program = programs / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)


def buildah(driver: str) -> str:
    store = {"GraphRoot": "/g", "RunRoot": "/r", "GraphDriverName": driver}
    return f"echo '{json.dumps({'host': {'BuildahVersion': '1.43.2'}, 'store': store})}'"


def podman(driver: str) -> str:
    store = {"graphRoot": "/g", "runRoot": "/r", "graphDriverName": driver}
    told = {"version": {"Version": "5.8.0"}, "host": {"buildahVersion": "1.43.2"}, "store": store}
    return f"echo '{json.dumps(told)}'"


def said(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    return run(["doctor"]), capsys.readouterr().out


def test_a_machine_with_nothing(programs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(programs, tar=TAR)
    code, lines = said(capsys)
    assert code == 1
    assert "--engine auto takes podman, or else buildah: docker is not on PATH" in lines
    assert "BAD  no engine can be used with the cache: start or install docker with buildx, or install podman" in lines
    assert "skopeo" not in lines


def test_buildah_without_skopeo(programs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(programs, tar=TAR, buildah=buildah("overlay"))
    code, lines = said(capsys)
    assert (code, lines.count("BAD")) == (1, 1)
    assert "BAD  skopeo: not on PATH" in lines
    put(programs, skopeo="")
    code, lines = said(capsys)
    assert (code, lines.count("BAD")) == (0, 0)


def test_docker_whose_daemon_does_not_answer(
    programs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    put(programs, tar=TAR, docker="echo github.com/docker/buildx v0.29.1")
    code, lines = said(capsys)
    assert code == 1
    assert f"no Docker daemon answers on unix://{tmp_path}/docker.sock (No such file or directory)" in lines


def test_docker_without_buildx(
    programs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(programs, tar=TAR, docker="echo podman version 5.8.0")
    monkeypatch.chdir(tmp_path)  # the name of a socket has at most 107 bytes
    monkeypatch.setenv("DOCKER_HOST", "unix://docker.sock")
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind("docker.sock")
        daemon.listen()
        code, lines = said(capsys)
    assert code == 1
    assert "what is called docker here has no buildx" in lines


def test_the_engine_that_a_build_takes_is_what_counts(programs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`auto` takes Podman where both are there, and asks no other."""
    put(programs, tar=TAR, skopeo="", buildah=buildah("overlay"), podman=podman("vfs"))
    code, lines = said(capsys)
    assert code == 1
    assert "BAD  podman 5.8.0" in lines
    assert "ok   buildah 1.43.2" in lines
    put(programs, buildah=buildah("vfs"), podman=podman("overlay"))
    assert said(capsys)[0] == 0


def test_the_driver_is_set_in_the_file_that_the_engine_reads(
    programs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Podman that has run before keeps its driver: it is in its database."""
    put(programs, tar=TAR, skopeo="", buildah=buildah("vfs"), podman=podman("vfs"))
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", "/own/storage.conf")
    of_podman, of_buildah = (line for line in said(capsys)[1].splitlines() if "storage vfs in /g" in line)
    for line in (of_podman, of_buildah):
        assert 'not cached; write driver = "overlay" below [storage] in /own/storage.conf' in line
    assert ("podman system reset" in of_podman, "podman system reset" in of_buildah) == (True, False)
