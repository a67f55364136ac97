"""The lab keeps its promises for BuildKit too: every engine is its own, starts empty, and leaves nothing behind."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests.conftest import MakeEngine
from tests.lab.engines import BUILDKIT, Engine
from tests.lab.lab import Lab
from tests.lab.network import open_bridge
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)


def context(lab: Lab, run: str = "echo hi") -> Path:
    folder = lab.scratch()
    (folder / "Dockerfile").write_text(f"FROM {lab.busybox}\nRUN {run}\n")
    return folder


def plain(engine: Engine, folder: Path, *options: str) -> str:
    """The progress of a plain build."""
    return engine.plain("--progress", "plain", "--network", "host", *options, folder).stderr


@pytest.mark.parametrize("name", BUILDKIT)
def test_an_engine_builds_and_another_of_its_kind_is_empty(lab: Lab, make_engine: MakeEngine, name: str) -> None:
    folder, engine, other = context(lab), make_engine(name), make_engine(name)

    assert "CACHED" not in plain(engine, folder)
    assert "CACHED" in plain(engine, folder)
    assert "CACHED" not in plain(other, folder)


@pytest.mark.parametrize("name", BUILDKIT)
def test_base_images_and_packages_can_be_had(lab: Lab, make_engine: MakeEngine, name: str) -> None:
    folder = lab.scratch()
    (folder / "Dockerfile").write_text(f"FROM {lab.debian}\nRUN apt-get update\n")

    assert "Reading package lists" in plain(make_engine(name), folder)


@pytest.mark.parametrize(
    ("name", "driver"),
    [
        ("remote", "remote"),
        ("docker-containerd", "docker"),
        ("docker-classic", "docker"),
        ("container-bridge", "docker-container"),
        ("container-host", "docker-container"),
        ("unreachable", "remote"),
    ],
)
def test_the_client_knows_one_builder(make_engine: MakeEngine, name: str, driver: str) -> None:
    engine = make_engine(name)
    used = re.search(r"^Driver: +(\S+)$", engine.run("buildx", "inspect").stdout, re.MULTILINE)
    made = {path.name for path in (engine.folder / "buildx/instances").glob("*")}

    assert used is not None
    assert used[1] == driver
    assert made == (set() if driver == "docker" else {"lab"})


@pytest.mark.parametrize(("name", "store"), [("docker-containerd", "overlayfs"), ("docker-classic", "overlay2")])
def test_image_stores(lab: Lab, make_engine: MakeEngine, name: str, store: str) -> None:
    engine = make_engine(name)
    plain(engine, context(lab), "-t", "app")

    assert engine.run("info", "--format", "{{.Driver}}").stdout.strip() == store
    assert "app" in engine.run("images").stdout


@pytest.mark.parametrize("name", BUILDKIT)
def test_pushes_go_to_the_engines_own_address(lab: Lab, make_engine: MakeEngine, name: str) -> None:
    engine = make_engine(name)
    plain(engine, context(lab), "--tag", f"{engine.registry}/pushed-{name}", "--push")

    assert list((lab.folder / "registry").rglob(f"pushed-{name}/_manifests/tags/latest"))


def test_the_loopback_is_out_of_reach(lab: Lab, make_engine: MakeEngine) -> None:
    """And the registry on the bridge is not."""
    engine = make_engine("unreachable")
    gateway, _, port = engine.registry.partition(":")
    closed = context(lab, f"nc -w 5 127.0.0.1 {lab.registry.partition(':')[2]} </dev/null")
    other = context(lab, f"nc -w 5 {gateway} 22 </dev/null")
    opened = context(lab, f"nc -w 5 {gateway} {port} </dev/null")

    assert [engine.plain("--network", "host", folder, check=False).returncode == 0 for folder in (closed, other)] == [
        False,
        False,
    ]
    plain(engine, opened)


@pytest.mark.parametrize("name", BUILDKIT)
def test_nothing_is_left(lab: Lab, make_engine: MakeEngine, name: str) -> None:
    engine = make_engine(name)
    plain(engine, context(lab))
    engine.remove()

    assert str(engine.folder) not in Path("/proc/self/mountinfo").read_text()
    # a daemon's shims end by themselves, soon after it
    until(lambda: str(engine.folder) not in command_lines())


def command_lines() -> str:
    """Of all processes."""
    return subprocess.run(["ps", "axww"], capture_output=True, text=True, check=True).stdout


def test_bridges_are_different_ones_and_go() -> None:
    with open_bridge() as one, open_bridge() as other:
        numbers = {socket.if_nametoindex(bridge.name) for bridge in (one, other)}

    assert len(numbers) == 2
    # by their numbers: another run may have bridges of the same names by now
    assert not numbers & {number for number, _ in socket.if_nameindex()}
