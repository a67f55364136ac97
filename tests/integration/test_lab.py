"""The lab keeps its promises: every engine is its own, starts empty, and sees the same paths as everybody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import MakeEngine
from tests.lab.engines import CONTAINERS
from tests.lab.lab import Lab

DOCKERFILE = """ARG BASE
FROM $BASE
RUN echo made > /made
COPY message /message
"""


def context(lab: Lab) -> Path:
    folder = lab.scratch()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "message").write_text("here\n")
    return folder


@pytest.mark.parametrize("name", CONTAINERS)
def test_an_engine_builds_and_another_of_its_kind_is_empty(lab: Lab, make_engine: MakeEngine, name: str) -> None:
    engine = make_engine(name)
    arguments = ["build", "--layers", "--network", "host", "--build-arg", f"BASE={lab.busybox}", "-t", "app"]
    built = engine.run(*arguments, context(lab))
    again = engine.run(*arguments, context(lab))

    assert "Using cache" not in built.stdout + built.stderr
    assert (again.stdout + again.stderr).count("Using cache") == 2
    assert "localhost/app" in engine.run("images").stdout
    assert "localhost/app" not in make_engine(name).run("images").stdout


@pytest.mark.parametrize("name", CONTAINERS)
def test_storage_is_in_the_engines_folder_at_the_same_path(lab: Lab, make_engine: MakeEngine, name: str) -> None:
    engine = make_engine(name)
    engine.run("pull", lab.busybox)

    assert list(engine.folder.rglob("overlay-images/images.json"))


@pytest.mark.parametrize("name", ["buildah-1.28", "buildah-sid"])
def test_exit_codes_pass_through(lab: Lab, make_engine: MakeEngine, name: str) -> None:
    folder = lab.scratch()
    (folder / "Dockerfile").write_text(f"FROM {lab.busybox}\nRUN exit 42\n")

    assert make_engine(name).run("build", "--network", "host", folder, check=False).returncode == 42


def test_nothing_stays_mounted(lab: Lab, make_engine: MakeEngine) -> None:
    engine = make_engine("buildah-sid")
    engine.run("build", "--network", "host", "--build-arg", f"BASE={lab.busybox}", context(lab))

    assert str(lab.paths.sid) not in Path("/proc/self/mountinfo").read_text()
