"""The image of Dockerfile, built on the lab's base: as a plugin, and for a runner that has no Python."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from tests.lab.engines import Engine
from tests.lab.lab import Lab
from tests.lab.paths import CHECKOUT, LabPaths
from tests.lab.programs import find_program

pytestmark = pytest.mark.all_rows  # it is built in two minutes
PYTHON: Final = "docker.io/library/python:3.13-slim-trixie"
DOCKER: Final = "docker.io/library/docker:28-cli"
"""The bases that Dockerfile names, which here are made of the lab's."""
INSTALL: Final = "apt-get update -qq && apt-get install -qq -y --no-install-recommends python3 python3-pip"
PARTS: Final = ("Dockerfile", ".dockerignore", "launcher", "requirements", "layercache_ci", "entrypoint.py")


@dataclass(frozen=True, slots=True)
class Machine:
    """One with a Docker daemon, whose PATH has docker and no Python."""

    lab: Lab
    engine: Engine
    folder: Path
    user: int | None = None
    groups: tuple[int, ...] | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        return {**self.engine.environment, "PATH": str(self.folder / "bin")}

    @property
    def socket(self) -> str:
        return self.engine.environment["DOCKER_HOST"].removeprefix("unix://")

    def workspace(self) -> Path:
        folder = self.lab.scratch("workspace-")
        (folder / "Dockerfile").write_text(f"FROM {self.lab.busybox}\nCOPY app.txt /\nRUN cat /app.txt >/copy\n")
        (folder / "app.txt").write_text("one\n")
        return folder

    def run(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, env={**self.environment, **environment}, cwd=environment["GITHUB_WORKSPACE"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            user=self.user, group=self.user, extra_groups=self.groups,
        )  # fmt: skip
        print(done.stdout)
        return done


@pytest.fixture(scope="module")
def machine(lab: Lab) -> Iterator[Machine]:
    engine = lab.engine("docker-containerd")
    folder = lab.scratch("machine-")
    try:
        bases = folder / "bases"
        (bases / "docker/bin").mkdir(parents=True)
        (bases / "docker/libexec/docker/cli-plugins").mkdir(parents=True)
        docker = LabPaths.here().docker / "usr"
        for name in ("bin/docker", "libexec/docker/cli-plugins/docker-buildx"):
            shutil.copy(docker / name, bases / "docker" / name)
        (bases / "docker.Dockerfile").write_text("FROM scratch\nCOPY docker /usr/local/\n")
        (bases / "python.Dockerfile").write_text(f"FROM {lab.debian}\nRUN {INSTALL}\n")
        for name, tag in {"docker": DOCKER, "python": PYTHON}.items():
            file = bases / f"{name}.Dockerfile"
            engine.run(
                "buildx", "build", "--load", "--network=host", "--quiet", f"--tag={tag}", f"--file={file}", bases
            )
        # the daemon has no bridge: what a user's `docker build` does by itself is asked for
        (folder / "bin").mkdir()
        wrapper = folder / "bin/docker"
        real = shutil.which("docker", path=engine.environment["PATH"])
        wrapper.write_text(
            f'#!/bin/sh\n[ "$1" != build ] || {{ shift; set -- build --network=host "$@"; }}\nexec "{real}" "$@"\n'
        )
        wrapper.chmod(0o755)
        for part in PARTS:
            copy = shutil.copytree if (CHECKOUT / part).is_dir() else shutil.copy
            (folder / "action").mkdir(exist_ok=True)
            copy(CHECKOUT / part, folder / "action" / part)
        yield Machine(lab, engine, folder)
    finally:
        engine.remove()


def test_a_runner_without_python_runs_in_it_and_hits_the_second_time(machine: Machine) -> None:
    node = find_program("node", LabPaths.here())
    assert node is not None
    workspace = machine.workspace()
    temp = machine.lab.scratch("temp-")
    files = {name: temp / name for name in ("GITHUB_OUTPUT", "GITHUB_STATE")}
    given = {
        "GITHUB_WORKSPACE": str(workspace), "RUNNER_TEMP": str(temp), "RUNNER_TOOL_CACHE": str(temp / "tools"),
        "INPUT_STORE": f"local:{temp / 'store'}", "INPUT_CONTEXT": ".", "INPUT_NETWORK": "host", "INPUT_TAGS": "app:1",
        **{name: str(path) for name, path in files.items()},
    }  # fmt: skip
    outputs = []
    for _ in range(2):
        for path in files.values():
            path.write_text("")
        ran = machine.run(node, machine.folder / "action/launcher/main.js", **given)
        assert ran.returncode == 0
        outputs.append(files["GITHUB_OUTPUT"].read_text())
        machine.engine.run("buildx", "prune", "--all", "--force")
    assert [_hit(text) for text in outputs] == ["false", "true"]
    state = dict(line.split("=", 1) for line in files["GITHUB_STATE"].read_text().splitlines() if "=" in line)
    post = machine.run(
        node, machine.folder / "action/launcher/post.js",
        **given, **{"STATE_launcher-image": state["launcher-image"]},
    )  # fmt: skip
    assert post.returncode == 0
    assert "running in layercache-action:" in post.stdout


def test_what_is_outside_the_workspace_is_read_and_written_there(machine: Machine) -> None:
    node = find_program("node", LabPaths.here())
    assert node is not None
    temp, there = machine.lab.scratch("temp-"), machine.lab.scratch("there, with: signs-")
    (there / "context").mkdir()
    (there / "context/app.txt").write_text("one\n")
    (there / "key").write_text("hush")
    (there / "Dockerfile").write_text(
        f"FROM {machine.lab.busybox}\nCOPY app.txt /\nRUN --mount=type=secret,id=key cp /run/secrets/key /copy\n"
    )
    files = {name: str(temp / name) for name in ("GITHUB_OUTPUT", "GITHUB_STATE")}
    for name in files.values():
        Path(name).write_text("")
    given = {
        "GITHUB_WORKSPACE": str(machine.workspace()), "RUNNER_TEMP": str(temp),
        "RUNNER_TOOL_CACHE": str(temp / "tools"), "INPUT_STORE": f"local:{temp / 'store'}", "INPUT_NETWORK": "host",
        "INPUT_CONTEXT": f"{there}/context", "INPUT_FILE": f"{there}/Dockerfile",
        "INPUT_SECRET-FILES": f"key={there}/key",
        "INPUT_OUTPUTS": f'type=local,"dest={there}/new/out"', **files,
    }  # fmt: skip
    ran = machine.run(node, machine.folder / "action/launcher/main.js", **given)
    assert ran.returncode == 0
    assert "running in layercache-action:" in ran.stdout
    assert [(there / "new/out" / name).read_text() for name in ("app.txt", "copy")] == ["one\n", "hush"]


def _hit(outputs: str) -> str:
    """The value of cache-hit in a file of `name<<delimiter` entries."""
    found = re.search(r"^cache-hit<<(\S+)\n(.*)\n\1$", outputs, re.MULTILINE)
    assert found is not None
    return found[2]


def test_what_it_writes_is_the_runners_users(machine: Machine) -> None:
    """He has the daemon by its socket's group, and builds without us afterwards."""
    node = find_program("node", LabPaths.here())
    assert node is not None
    user, group = 2501, 2502
    runner = replace(machine, user=user, groups=(group,))
    machine.engine.folder.chmod(0o755)
    socket, temp = Path(machine.socket), machine.lab.scratch("temp-")
    shutil.chown(socket, group=group)
    socket.chmod(0o660)
    home, workspace = temp / "home", machine.workspace()
    (home / ".docker").mkdir(parents=True)
    shutil.copy(machine.engine.folder / "docker/config.json", home / ".docker")  # it says where the lab's buildx is
    files = {name: str(temp / name) for name in ("GITHUB_OUTPUT", "GITHUB_STATE")}
    output = temp / "GITHUB_OUTPUT"
    given = {
        # as on a runner: all of docker's and ours is below the home
        **dict.fromkeys(("BUILDX_CONFIG", "DOCKER_CONFIG", "TMPDIR", "XDG_CACHE_HOME"), ""), "HOME": str(home),
        "GITHUB_WORKSPACE": str(workspace), "RUNNER_TEMP": str(temp), "RUNNER_TOOL_CACHE": str(temp / "tools"),
        "INPUT_CONTEXT": ".", "INPUT_NETWORK": "host", "INPUT_TAGS": "app:3", **files,
    }  # fmt: skip
    (temp / "GITHUB_STATE").write_text("")
    output.write_text("")
    for place in (temp, workspace, *temp.rglob("*")):
        shutil.chown(place, user, user)
    machine.engine.run("buildx", "prune", "--all", "--force")
    for hit in ("false", "true"):
        output.write_text("")
        ran = runner.run(node, machine.folder / "action/launcher/main.js", **given)
        assert ran.returncode == 0
        assert "running in layercache-action:" in ran.stdout
        assert _hit(output.read_text()) == hit
        machine.engine.run("buildx", "prune", "--all", "--force")
    written = [path for folder in (temp, workspace) for path in folder.rglob("*")]
    assert {home / ".docker/buildx", home / ".cache/layercache"} <= set(written)
    assert any(path.name == "report.json" for path in written)
    before = {workspace / "Dockerfile", workspace / "app.txt"}
    assert [path for path in written if path.lstat().st_uid != user and path not in before] == []
    later = runner.run("docker", "buildx", "build", "--network=host", ".", **given)
    assert later.returncode == 0


def test_a_plugin_takes_its_settings_and_prints_no_commands(machine: Machine) -> None:
    workspace = machine.workspace()
    machine.engine.run("build", "--network=host", "--quiet", "--tag=plugin", machine.folder / "action")
    machine.engine.run("buildx", "prune", "--all", "--force")  # of another test's build of the same
    settings = {
        "CI": "woodpecker", "CI_COMMIT_REF": "refs/heads/main", "PLUGIN_STORE": "local:/src/.cache",
        "PLUGIN_CONTEXT": ".", "PLUGIN_NETWORK": "host", "PLUGIN_SECRETS": "token=hush-hush", "PLUGIN_TAGS": "app:2",
    }  # fmt: skip
    command = [
        "docker", "run", "--rm", "--network=host", f"--volume={machine.socket}:/var/run/docker.sock",
        f"--volume={workspace}:/src", "--workdir=/src", *(f"--env={name}={value}" for name, value in settings.items()),
        "plugin",
    ]  # fmt: skip
    ran = machine.run(*command, GITHUB_WORKSPACE=str(workspace))
    assert ran.returncode == 0
    assert "0 of 2 steps hit" in ran.stdout
    assert not [line for line in ran.stdout.splitlines() if line.startswith("::")]
    assert "hush-hush" not in ran.stdout
    assert "app:2" in machine.engine.run("image", "ls", "--format={{.Repository}}:{{.Tag}}").stdout


def test_it_has_what_it_builds_with(machine: Machine) -> None:
    machine.engine.run("build", "--network=host", "--quiet", "--tag=tools", machine.folder / "action")
    script = (
        "docker --version && docker buildx version && buildah --version && skopeo --version && layercache --version"
    )
    ran = machine.engine.run("run", "--rm", "--network=host", "--user=build", "--entrypoint=sh", "tools", "-c", script)
    assert ran.stdout.splitlines()[-1].startswith("layercache ")
    assert len(ran.stdout.splitlines()) == 5
