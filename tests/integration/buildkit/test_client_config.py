"""Which login BuildKit gets for which registry, on a real builder: ours, and still every one of the user's."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from layercache_ci.engines.buildkit.client_config import logged_in
from layercache_ci.registry.client import Registry
from layercache_ci.settings import Machine
from tests.conftest import MakeEngine
from tests.integration.buildkit.registries import registry
from tests.lab.engine import Engine, call
from tests.lab.lab import Lab

pytestmark = pytest.mark.timeout(300)


def machine_of(engine: Engine, **variables: str) -> Machine:
    return Machine({**engine.environment, **variables}, os.getuid(), 2, False)


def build(environment: Mapping[str, str], folder: Path, *options: str) -> str:
    """All that buildx prints."""
    words = ["docker", "buildx", "build", "--progress=plain", "--output=type=cacheonly", *options, str(folder)]
    done = call(words, environment, check=True, cwd=folder)
    return done.stdout + done.stderr


@pytest.fixture
def context(lab: Lab) -> Path:
    folder = lab.scratch()
    (folder / "Dockerfile").write_text(f"FROM {lab.busybox}\nRUN echo hi > /hi\n")
    return folder


@pytest.mark.parametrize("name", ["remote", "docker-containerd", "container-host"])
def test_a_cache_goes_to_a_registry_with_a_password_and_back(
    make_engine: MakeEngine, context: Path, tmp_path: Path, name: str
) -> None:
    first, second = make_engine(name), make_engine(name)
    with registry(tmp_path) as running:
        cache = f"type=registry,ref={running.access.addresses[0]}/cache:1"
        host = ["--network=host"]
        login = logged_in(tmp_path / "first", running.access, machine_of(first))
        assert "CACHED" not in build(login, context, f"--cache-to={cache}", *host)
        login = logged_in(tmp_path / "second", running.access, machine_of(second))
        assert "CACHED" in build(login, context, f"--cache-from={cache}", *host)
        unknown = make_engine(name)
        assert "401 Unauthorized" in build(unknown.environment, context, f"--cache-from={cache}", *host)


@pytest.fixture
def noexec(tmp_path: Path) -> Iterator[Path]:
    """A folder where no program can be run, as a hardened /var/tmp is."""
    folder = tmp_path / "noexec"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec,mode=700", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("extra", [{}, {"credsStore": "nobody"}])
def test_the_login_needs_no_program(
    make_engine: MakeEngine, context: Path, noexec: Path, extra: dict[str, object]
) -> None:
    (noexec / "program").write_text("#!/bin/sh\n")
    (noexec / "program").chmod(0o700)
    with pytest.raises(PermissionError):
        subprocess.run([noexec / "program"], check=True)
    engine = make_engine("remote")
    file = Path(engine.environment["DOCKER_CONFIG"]) / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **extra}))
    environment = {**engine.environment, "LAYERCACHE_SCRATCH": str(noexec / "scratch"), "TMPDIR": str(noexec)}
    store, report = f"--store=local:{noexec}/store", noexec / "report.json"

    for outcome in ("miss", "hit"):
        engine.run("buildx", "prune", "--all", "--force")
        words = [*engine.layercache, "build", "--engine=buildkit", store, f"--report={report}", str(context)]
        call(words, environment, check=True, cwd=engine.folder)
        said = json.loads(report.read_text())
        assert said["warnings"] == []
        assert said["stages"][0]["steps"][-1]["outcome"] == outcome


def helper(folder: Path, name: str, theirs: Registry) -> str:
    """A PATH on which there is a credential helper that knows a registry, and writes down that it was asked."""
    access = theirs.access
    folder.mkdir()
    script = folder / f"docker-credential-{name}"
    said = json.dumps({"ServerURL": access.addresses[0], "Username": access.user, "Secret": access.password})
    script.write_text(f"#!/bin/sh\ncat >> {folder}/asked\n[ $1 = get ] && echo '{said}'\n")
    script.chmod(0o755)
    return f"{folder}{os.pathsep}"


@pytest.mark.parametrize("way", ["credHelpers", "credsStore", "auths", "DOCKER_AUTH_CONFIG"])
def test_the_users_logins_are_still_asked_for(make_engine: MakeEngine, context: Path, tmp_path: Path, way: str) -> None:
    engine = make_engine("remote")
    with registry(tmp_path / "a") as ours, registry(tmp_path / "b") as theirs:
        (address,), access = theirs.access.addresses, theirs.access
        path = helper(tmp_path / "helpers", "user", theirs) + engine.environment["PATH"]
        auth = {address: {"auth": base64.b64encode(f"{access.user}:{access.password}".encode()).decode()}}
        extra: dict[str, dict[str, object]] = {
            "credHelpers": {"credHelpers": {address: "user"}},
            "credsStore": {"credsStore": "user"},
            "auths": {"auths": auth},
            "DOCKER_AUTH_CONFIG": {},
        }
        file = Path(engine.environment["DOCKER_CONFIG"]) / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **extra[way]}))
        variables = {"DOCKER_AUTH_CONFIG": json.dumps({"auths": auth})} if way == "DOCKER_AUTH_CONFIG" else {}
        machine = machine_of(engine, PATH=path, **variables)

        login = logged_in(tmp_path / "login", ours.access, machine)
        references = [f"{ours.access.addresses[0]}/ours:1", f"{address}/theirs:1"]
        build(login, context, *(f"--cache-from=type=registry,ref={reference}" for reference in references))

        assert f"{ours.access.addresses[0]} ours:1" in ours.status().asked
        assert f"{address} theirs:1" in theirs.status().asked
        asked = tmp_path / "helpers/asked"
        assert (address in asked.read_text() if asked.exists() else False) == way.startswith("cred")
        if way == "credsStore":
            assert ours.access.addresses[0] not in asked.read_text(), "ours comes before their store"


def test_contexts_and_builders_are_theirs(make_engine: MakeEngine, tmp_path: Path) -> None:
    engine = make_engine("docker-containerd")
    engine.run("context", "create", "mine", "--docker", f"host={engine.environment['DOCKER_HOST']}")
    # without DOCKER_HOST it is the context in use that counts, and BUILDX_CONFIG unset is below DOCKER_CONFIG
    kept = {k: v for k, v in engine.environment.items() if k not in {"DOCKER_HOST", "BUILDX_CONFIG"}}
    docker = [str(engine.folder / "bin/docker")]
    call([*docker, "context", "use", "mine"], kept, check=True, cwd=tmp_path)
    call([*docker, "buildx", "create", "--name=made", "--use", "mine"], kept, check=True, cwd=tmp_path)
    with registry(tmp_path) as running:
        login = logged_in(tmp_path / "login", running.access, Machine(kept, os.getuid(), 2, False))
        for words in (
            ["context", "ls"],
            ["buildx", "ls", "--format={{.Name}}"],
            ["version", "--format={{json .Server}}"],
        ):
            assert (
                call([*docker, *words], login, check=True, cwd=tmp_path).stdout
                == call([*docker, *words], kept, check=True, cwd=tmp_path).stdout
            )
        call([*docker, "buildx", "create", "--name=later", "mine"], login, check=True, cwd=tmp_path)
    assert "later" in call([*docker, "buildx", "ls"], kept, check=True, cwd=tmp_path).stdout
