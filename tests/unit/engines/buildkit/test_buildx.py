"""Which program `docker buildx` is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from layercache_ci.engines.buildkit.buildx import DOCKER, buildx

ELF = b"\x7fELF..."
SCRIPT = b"#!/bin/sh\n"


def program(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def environment(folder: Path) -> dict[str, str]:
    return {"PATH": str(folder / "bin"), "HOME": str(folder / "home")}


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    program(tmp_path / "bin/docker", ELF)
    return program(tmp_path / "home/.docker/cli-plugins/docker-buildx", ELF)


def test_the_plugin_that_docker_would_run(tmp_path: Path, plugin: Path) -> None:
    assert buildx(environment(tmp_path)) == [str(plugin)]


def test_the_folders_that_the_configuration_names_come_first(tmp_path: Path, plugin: Path) -> None:
    extra = program(tmp_path / "extra/docker-buildx", ELF)
    (plugin.parents[1] / "config.json").write_text(json.dumps({"cliPluginsExtraDirs": [str(extra.parent)]}))
    assert buildx(environment(tmp_path)) == [str(extra)]
    (plugin.parents[1] / "config.json").write_text("no JSON")
    assert buildx(environment(tmp_path)) == [str(plugin)]


@pytest.mark.parametrize("wrapped", ["docker", "plugin", "another"])
def test_a_script_in_the_place_of_either_is_kept_in_use(tmp_path: Path, plugin: Path, wrapped: str) -> None:
    if wrapped == "another":
        (tmp_path / "bin/docker").unlink()
        (tmp_path / "bin/docker").symlink_to(program(tmp_path / "usr/snap", ELF))
    else:
        program(tmp_path / "bin/docker" if wrapped == "docker" else plugin, SCRIPT)
    assert buildx(environment(tmp_path)) == list(DOCKER)


def test_without_docker_there_is_nothing_to_find(tmp_path: Path) -> None:
    assert buildx(environment(tmp_path)) == list(DOCKER)
