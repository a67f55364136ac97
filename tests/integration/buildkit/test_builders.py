"""Which builder builds, whether it reaches a registry of ours, and a builder of ours, on real ones."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layercache_ci.engines.buildkit import reach
from layercache_ci.engines.buildkit.builders import (
    Builder,
    find,
    why_buildkit,
)
from layercache_ci.engines.buildkit.client_config import logged_in
from layercache_ci.engines.buildkit.daemon_images import demand_the_same
from layercache_ci.engines.buildkit.ours import for_cache, list_ours, remove_ours, stand_in
from layercache_ci.errors import CacheError, InputError
from layercache_ci.settings import BuildSettings, Machine
from tests.conftest import MakeEngine
from tests.integration.buildkit.registries import registry
from tests.lab.engine import call
from tests.lab.engines import BUILDKIT, Engine
from tests.lab.lab import Lab
from tests.waiting import SECONDS, has_ended, until

pytestmark = pytest.mark.timeout(300)


def machine_of(engine: Engine, **variables: str) -> Machine:
    return Machine({**engine.environment, **variables}, os.getuid(), 2, False)


def settings(builder: str | None = None) -> BuildSettings:
    return BuildSettings(context=".", builder=builder)


@pytest.mark.parametrize(
    ("name", "driver", "network", "exports_cache"),
    [
        ("remote", "remote", None, True),
        ("docker-containerd", "docker", None, True),
        ("docker-classic", "docker", None, False),
        ("container-bridge", "docker-container", "bridge", True),
        ("container-host", "docker-container", "host", True),
    ],
)
def test_the_builder_that_buildx_would_take(
    make_engine: MakeEngine, name: str, driver: str, network: str | None, exports_cache: bool
) -> None:
    builder = find(settings(), machine_of(make_engine(name)))
    assert (builder.driver, builder.network, builder.exports_cache, builder.nodes, builder.ours) == (
        driver, network, exports_cache, 1, False,
    )  # fmt: skip
    assert builder.version.startswith("v")


@pytest.mark.parametrize("name", BUILDKIT)
def test_a_registry_listens_where_the_builder_reaches_it(
    make_engine: MakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What is known without asking is what the builder finds when it is asked."""
    monkeypatch.setattr(reach, "PATIENCE", SECONDS)
    engine = make_engine(name)
    machine = machine_of(engine)
    builder = for_cache(find(settings(), machine), machine)
    hosts = reach.addresses(builder, machine)
    (host,) = hosts
    assert host.startswith("10.213.") if name == "container-bridge" else host == "127.0.0.1"
    with registry(tmp_path, *hosts) as running:
        addresses = running.access.addresses
        environment = logged_in(tmp_path / "login", running.access, machine)
        found = reach.probe(builder, addresses, environment=environment, asked=lambda: running.status().asked)
    assert found == (None if name == "unreachable" else addresses[0])
    assert reach.shares_network(builder, machine) == (name not in {"unreachable", "container-bridge"})


def test_a_builder_on_a_bridge_does_not_have_our_loopback(
    make_engine: MakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "PATIENCE", SECONDS)
    machine = machine_of(make_engine("container-bridge"))
    builder = find(settings(), machine)
    (gateway,) = reach.addresses(builder, machine)
    with registry(tmp_path, "127.0.0.1", gateway) as running:
        loopback, bridge = running.access.addresses
        environment = logged_in(tmp_path / "login", running.access, machine)
        found = reach.reached(
            builder, (loopback, bridge), machine, environment=environment, asked=lambda: running.status().asked
        )
    assert found == bridge != loopback


def test_a_registry_that_has_gone_is_not_reached(make_engine: MakeEngine, tmp_path: Path) -> None:
    machine = machine_of(make_engine("remote"))
    builder = find(settings(), machine)
    with registry(tmp_path) as running:
        access = running.access
    environment = logged_in(tmp_path / "login", access, machine)
    asked = running.status
    assert reach.probe(builder, access.addresses, environment=environment, asked=lambda: asked().asked) is None


def test_a_probe_without_an_answer_ends(
    make_engine: MakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last word is the registry's: a machine may be so busy that the client takes longer."""
    builder = find(settings(), machine_of(make_engine("remote")))
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path}/child\nwait\n")
    docker.chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    asked = {f"127.0.0.1:1 {reach.REPOSITORY}:{reach.TAG}"}
    child = tmp_path / "child"
    for candidate, found in (("127.0.0.1:1", "127.0.0.1:1"), ("127.0.0.1:2", None)):
        child.write_text("")
        patience = 0.5
        while not child.read_text():  # as long as it takes to start the child
            monkeypatch.setattr(reach, "PATIENCE", patience)
            assert reach.probe(builder, [candidate], environment=environment, asked=lambda: asked) == found
            patience *= 2
        pid = int(child.read_text())
        until(lambda pid=pid: has_ended(pid))  # type: ignore[misc]


def test_a_builder_of_ours_is_made_once_and_removed(lab: Lab, make_engine: MakeEngine) -> None:
    engine = make_engine("docker-classic")
    machine = machine_of(engine)
    theirs = find(settings(), machine)
    ours = for_cache(theirs, machine)
    assert ours.ours
    assert ours.exports_cache
    assert for_cache(theirs, machine) == ours
    assert find(settings(), machine) == theirs, "it is not the one that buildx takes"

    engine.run("rm", "--force", ours.container)
    assert for_cache(theirs, machine).container == ours.container

    folder, gateway = lab.scratch(), BuildSettings(context=".", add_hosts=("outside:host-gateway",))
    (folder / "Dockerfile").write_text(f"FROM {lab.busybox}\nRUN grep outside /etc/hosts\n")
    hosts = [f"--add-host={host}" for host in stand_in(gateway, theirs).add_hosts]
    builder = f"--builder={ours.name}"
    engine.run("buildx", "build", builder, "--network=host", "--load", "--tag=made-by-ours", *hosts, folder)
    demand_the_same(["absent"], theirs, ours, machine)
    with pytest.raises(CacheError, match="only the daemon has the image made-by-ours; push it"):
        demand_the_same(["absent", "made-by-ours"], theirs, ours, machine)

    assert [listed.name for listed in list_ours(machine)] == [ours.name]
    remove_ours(ours.name, machine)
    assert list_ours(machine) == ()
    assert ours.container not in engine.run("ps", "--all").stdout
    with pytest.raises(InputError, match=f"NAME: '{ours.name}'"):
        remove_ours(ours.name, machine)


def test_a_builder_of_ours_pulls_from_where_the_daemon_does(lab: Lab, make_engine: MakeEngine) -> None:
    engine = make_engine("docker-classic")
    machine = machine_of(engine)
    (engine.folder / "buildx/buildkitd.default.toml").unlink()
    folder = lab.scratch()
    (folder / "Dockerfile").write_text(f"FROM {engine.registry}/busybox:latest\nRUN echo hi > /hi\n")
    (settings_file,) = engine.folder.glob("*/daemon.json")
    told = {"insecure-registries": [engine.registry]}
    settings_file.write_text(json.dumps({**json.loads(settings_file.read_text()), **told}))
    os.kill(int((settings_file.parent / "pid").read_text()), signal.SIGHUP)
    until(lambda: engine.registry in engine.run("info", "--format", "{{json .RegistryConfig}}").stdout)

    ours = for_cache(find(settings(), machine), machine)
    engine.run("buildx", "build", f"--builder={ours.name}", "--network=host", "--load", "--tag=app", folder)
    assert engine.run("image", "ls", "--quiet", "app").stdout


def test_a_builder_that_exports_a_cache_is_kept(make_engine: MakeEngine) -> None:
    machine = machine_of(make_engine("docker-containerd"))
    builder = find(settings(), machine)
    assert for_cache(builder, machine) is builder
    assert list_ours(machine) == ()


def test_a_tag_that_was_moved_here_or_there_is_another_image(lab: Lab, make_engine: MakeEngine) -> None:
    engine = make_engine("docker-classic")
    machine = machine_of(engine)
    theirs = find(settings(), machine)
    pulled, path = lab.busybox, lab.busybox.rpartition(":")[0]
    engine.run("pull", pulled)
    engine.run("tag", pulled, "renamed:1")
    engine.run("tag", pulled, f"{path}:here")
    for name in ("there", "same"):
        engine.run("tag", pulled, f"{path}:{name}")
        engine.run("push", f"{path}:{name}")
    demand_the_same([pulled, f"{path}:same", f"{path}:there"], theirs, theirs, machine)
    demand_the_same(
        [engine.run("inspect", "--format={{index .RepoDigests 0}}", pulled).stdout.strip()], theirs, theirs, machine
    )

    folder = lab.scratch()
    (folder / "Dockerfile").write_text(f"FROM {pulled}\nLABEL moved=1\n")
    engine.run("build", "--tag=other", folder)
    engine.run("tag", "other", f"{path}:there")
    engine.run("push", f"{path}:there")
    engine.run("tag", pulled, f"{path}:there")

    for name, said in {
        "renamed:1": "only the daemon has the image renamed:1",
        f"{path}:there": f"the daemon's image {path}:there is not the one",
        f"{path}:here": f"the daemon's image {path}:here can't be compared .*not found",
    }.items():
        with pytest.raises(CacheError, match=said):
            demand_the_same([name], theirs, theirs, machine)


def test_what_is_wrong_is_named(make_engine: MakeEngine, tmp_path: Path) -> None:
    engine = make_engine("remote")
    with pytest.raises(InputError, match="--builder: there is no builder 'nosuch'"):
        find(settings("nosuch"), machine_of(engine))
    with pytest.raises(InputError, match="BUILDX_BUILDER: there is no builder 'gone'"):
        find(settings(), machine_of(engine, BUILDX_BUILDER="gone"))
    with pytest.raises(InputError, match="needs docker's buildx plugin"):
        find(settings(), machine_of(engine, DOCKER_CONFIG=str(tmp_path), HOME=str(tmp_path)))
    assert "Cannot connect to the Docker daemon" in find(settings("default"), machine_of(engine)).uncached


def test_a_builder_that_does_not_answer_fails_as_it_does_without_us(make_engine: MakeEngine) -> None:
    engine = make_engine("remote")
    engine.run("buildx", "create", "--name=gone", "--driver=remote", f"unix://{engine.folder}/gone.sock")
    (engine.folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    doctor = [*engine.layercache, "doctor", "--builder=gone"]
    with ThreadPoolExecutor() as pool:  # each waits for it, and for long
        plainly = pool.submit(engine.plain, "--builder=gone", engine.folder, check=False)
        cached = pool.submit(engine.build, "--builder=gone", engine.folder, check=False)
        asked = pool.submit(call, doctor, engine.environment, check=False, cwd=engine.folder)
    plain, ours, said = plainly.result(), cached.result(), asked.result()
    assert ours.returncode == plain.returncode != 0
    assert plain.stderr.splitlines()[-1] in ours.stderr
    assert "layercache: warning: built without the cache: " in ours.stderr
    assert said.returncode == 1
    assert "BAD  buildkit: " in said.stdout


def test_auto_takes_buildkit_where_a_daemon_answers(make_engine: MakeEngine) -> None:
    engine = make_engine("docker-containerd")
    machine = machine_of(engine)
    host = engine.environment["DOCKER_HOST"]
    assert why_buildkit(settings(), machine) == f"a Docker daemon answers on {host}"
    assert why_buildkit(settings(), machine_of(engine, DOCKER_HOST=f"{host}.absent")) is None
    assert why_buildkit(settings(), machine_of(engine, BUILDX_BUILDER="b")) == "BUILDX_BUILDER names b"
    named = {"DOCKER_HOST": "", "DOCKER_CONTEXT": "theirs"}
    engine.run("context", "create", "theirs", "--docker", f"host={host}")
    assert why_buildkit(settings(), machine_of(engine, **named)) == f"a Docker daemon answers on {host}"
    builder = find(settings(), machine_of(engine, **named))
    assert (builder.name, builder.endpoint) == ("theirs", "theirs")
    assert reach.shares_network(builder, machine_of(engine, **named))


def test_a_podman_that_is_called_docker_is_none(make_engine: MakeEngine, tmp_path: Path) -> None:
    engine = make_engine("docker-containerd")
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho buildah 1.43.2\n")
    docker.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{engine.environment['PATH']}"
    assert why_buildkit(settings(), machine_of(engine, PATH=path)) is None


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "remote",
            ["--engine auto takes buildkit: BUILDX_BUILDER", "driver remote", "transport registry on 127.0.0.1"],
        ),
        # what --engine buildah would need is told, too
        (
            "docker-containerd",
            [
                "a Docker daemon answers",
                "containerd image store",
                "transport registry on 127.0.0.1",
                "ok   buildah 1.",
                "ok   skopeo",
                "ok   GNU tar",
            ],
        ),
        ("docker-classic", ["classic image store", "which the first one makes"]),
        ("container-bridge", ["on network bridge", "transport registry on 10.213.", "was asked, and reached it"]),
        ("unreachable", ["transport layout: BuildKit was asked"]),
    ],
)
def test_the_doctor_says_what_a_build_would_use(make_engine: MakeEngine, name: str, lines: list[str]) -> None:
    engine = make_engine(name)
    said = engine_says(engine, "doctor")
    for line in lines:
        assert line in said


def test_builders_of_ours_from_the_command_line(make_engine: MakeEngine) -> None:
    engine = make_engine("docker-classic")
    machine = machine_of(engine)
    assert engine_says(engine, "builder", "ls") == ""
    name = for_cache(find(settings(), machine), machine).name
    assert engine_says(engine, "builder", "ls") == f"{name}  running  {engine.environment['DOCKER_HOST']}\n"
    assert f"builder of ours: {name}, running" in engine_says(engine, "doctor")
    assert engine_says(engine, "builder", "rm") == f"{name}\n"
    assert engine_says(engine, "builder", "ls") == ""


def engine_says(engine: Engine, *arguments: str) -> str:
    return call([*engine.layercache, *arguments], engine.environment, check=True, cwd=engine.folder).stdout


def test_a_remote_builder_elsewhere_has_no_address(make_engine: MakeEngine) -> None:
    machine = machine_of(make_engine("remote"))
    elsewhere = Builder(
        name="b", driver="remote", node="b0", endpoint="tcp://192.0.2.1:1234", version="v1", exports_cache=True
    )
    assert reach.addresses(elsewhere, machine) == ()
