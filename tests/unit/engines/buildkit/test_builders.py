from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from layercache_ci.engines import prepare
from layercache_ci.engines.buildkit import reach
from layercache_ci.engines.buildkit.builders import (
    Builder,
    docker_words,
    find,
    parse,
    why_buildkit,
)
from layercache_ci.engines.buildkit.daemon_images import repository
from layercache_ci.engines.buildkit.ours import stand_in
from layercache_ci.errors import CacheError, EngineError, InputError
from layercache_ci.settings import BuildSettings, Machine

CONTAINER = """\
Name:          ci
Driver:        docker-container
Last Activity: 2026-11-24 16:33:31 +0000 UTC

Nodes:
Name:                  ci0
Endpoint:              unix:///run/docker.sock
Driver Options:        image="moby/buildkit:v0.25.0" network="host"
Status:                running
BuildKit daemon flags: --allow-insecure-entitlement security.insecure --allow-insecure-entitlement network.host
BuildKit version:      v0.25.0
Platforms:             linux/amd64, linux/amd64/v2, linux/386
Labels:
 org.mobyproject.buildkit.worker.executor:         oci
 org.mobyproject.buildkit.worker.hostname:         runner
 org.mobyproject.buildkit.worker.snapshotter:      overlayfs
GC Policy rule#0:
 All:            false
 Filters:        type==source.local,type==exec.cachemount,type==source.git.checkout
 Keep Duration:  48h0m0s
File#buildkitd.toml:
 > [registry."example.com"]
 >   http = true
"""
DOCKER = """\
Name:   default
Driver: docker

Nodes:
Name:             default
Endpoint:         default
Status:           running
BuildKit version: v0.18.2
Platforms:        linux/amd64, linux/386
Labels:
 org.mobyproject.buildkit.worker.moby.host-gateway-ip: 172.17.0.1
GC Policy rule#0:
 All:            false
"""
OLD = """\
Name:   default
Driver: docker

Nodes:
Name:      default
Endpoint:  default
Status:    running
Buildkit:  20.10.24
Platforms: linux/amd64
"""
"""Of buildx 0.10, which shows no labels."""
NO_DAEMON = """\
Name:          default
Driver:
Last Activity: 2026-11-24 16:32:15 +0000 UTC
Error:         Cannot connect to the Docker daemon at unix:///nope.sock. Is the docker daemon running?

Nodes:
"""
DEAD_NODE = """\
Name:   far
Driver: remote

Nodes:
Name:     far0
Endpoint: tcp://192.0.2.1:1234
Error:    listing workers: failed to dial
"""


def builder(**changes: object) -> Builder:
    usual = Builder(
        name="b", driver="docker", node="b", endpoint="default", version="v1", exports_cache=True, hostname="here"
    )
    return replace(usual, **changes)  # type: ignore[arg-type] # any field


def machine(tmp_path: Path, **variables: str) -> Machine:
    return Machine({"PATH": str(tmp_path), **variables}, 0, 1, False)


def test_a_builder_in_a_container() -> None:
    assert parse(CONTAINER) == Builder(
        name="ci",
        driver="docker-container",
        node="ci0",
        endpoint="unix:///run/docker.sock",
        version="v0.25.0",
        exports_cache=True,
        network="host",
        hostname="runner",
        status="running",
        platform="linux/amd64",
    )
    assert parse(CONTAINER).container == "buildx_buildkit_ci0"
    assert parse(CONTAINER.replace(' network="host"', "")).network == "bridge"
    assert parse(CONTAINER.replace("Driver Options: ", "Options: ")).network == "bridge"


@pytest.mark.parametrize(
    ("said", "platform"),
    [
        ("linux/arm64, linux/arm/v7", "linux/arm64"),
        ("linux/arm64", "linux/arm64"),
        ("linux/arm64*, linux/amd64", ""),
        ("", ""),
    ],
    ids=["several", "one", "what somebody named at its creation comes first", "none"],
)
def test_what_a_builder_builds_for_is_its_first_platform(said: str, platform: str) -> None:
    assert parse(CONTAINER.replace("linux/amd64, linux/amd64/v2, linux/386", said)).platform == platform


def test_the_daemons_own_builder_exports_a_cache_with_the_containerd_store_only() -> None:
    assert not parse(DOCKER).exports_cache
    assert parse(DOCKER).network is None
    label = " org.mobyproject.buildkit.worker.snapshotter: overlayfs\n"
    assert parse(DOCKER.replace("GC Policy", f"{label}GC Policy")).exports_cache
    assert not parse(OLD).exports_cache


@pytest.mark.parametrize(
    ("version", "attests"),
    [("v0.10.6", False), ("v0.9.3", False), ("0.8.1", False), ("v0.11.0", True), ("v0.25.0", True), ("27.0.1", True)],
)
def test_old_builders_attest_nothing(version: str, *, attests: bool) -> None:
    assert builder(version=version).attests == attests
    assert not builder(version=version, exports_cache=False).attests


def test_only_the_daemons_own_builder_knows_its_gateway() -> None:
    theirs = parse(DOCKER)
    assert theirs.host_gateway == "172.17.0.1"
    settings = BuildSettings(context=".", add_hosts=("a:host-gateway", "b=host-gateway", "c:10.0.0.1"))
    expected = ("a:172.17.0.1", "b=172.17.0.1", "c:10.0.0.1")
    assert stand_in(settings, theirs) == replace(settings, add_hosts=expected)
    plain = BuildSettings(context=".", add_hosts=("c:10.0.0.1",))
    assert stand_in(plain, parse(OLD)) is plain
    for wanting, other in (
        (settings, parse(OLD)),
        (BuildSettings(context=".", engine_options=("--add-host=a:host-gateway",)), theirs),
    ):
        with pytest.raises(CacheError, match="host-gateway"):
            stand_in(wanting, other)


def test_a_builder_of_several_nodes_is_told_by_the_first_that_answers() -> None:
    first, _, nodes = CONTAINER.partition("Nodes:\n")
    second = nodes.replace("ci0", "ci1").replace("overlayfs", "native").replace("runner", "other")
    both = parse(f"{first}Nodes:\n{nodes}\n{second}")
    assert (both.node, both.hostname, both.nodes) == ("ci0", "runner", 2)
    dead = "Name:     far0\nEndpoint: tcp://192.0.2.1:1234\nError:    failed to dial\n"
    living = parse(f"{first}Nodes:\n{dead}\n{nodes}")
    assert (living.node, living.endpoint, living.hostname, living.nodes) == (
        "ci0", "unix:///run/docker.sock", "runner", 2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [(NO_DAEMON, "Cannot connect"), (DEAD_NODE, "'far': listing workers"), ("", "names no builder"), ("?", "'\\?'")],
)
def test_what_a_builder_says_is_wrong(text: str, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        parse(text)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("debian", "debian"),
        ("docker.io/library/debian:12", "debian"),
        ("index.docker.io/me/app", "me/app"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000/app"),
        ("127.0.0.1:5000/app:1@sha256:00", "127.0.0.1:5000/app"),
        ("app@sha256:00", "app"),
    ],
)
def test_the_repository_as_docker_shows_it(reference: str, name: str) -> None:
    assert repository(reference) == name


def test_the_daemon_that_a_builder_is_in() -> None:
    assert docker_words(builder()) == ["docker", "--context", "default"]
    assert docker_words(builder(endpoint="theirs")) == ["docker", "--context", "theirs"]
    assert docker_words(builder(endpoint="tcp://h:1")) == ["docker", "--host", "tcp://h:1"]


def test_no_docker_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--engine: 'buildkit' needs docker"):
        find(BuildSettings(context="."), machine(tmp_path))
    assert why_buildkit(BuildSettings(context=".", builder="b"), machine(tmp_path)) is None


def test_a_builder_is_for_buildkit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--builder: 'b' is for BuildKit"):
        prepare(BuildSettings(context=".", builder="b", engine="podman"), machine(tmp_path))


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "d.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield path


def test_a_socket_of_this_network_proves_that_it_is_shared(tmp_path: Path, listening: Path) -> None:
    here = builder(hostname=socket.gethostname())
    ours = machine(tmp_path, DOCKER_HOST=f"unix://{listening}")
    assert reach.shares_network(here, ours)
    assert reach.shares_network(replace(here, driver="docker-container", network="host"), ours)
    assert reach.shares_network(replace(here, driver="remote", endpoint=f"unix://{listening}"), machine(tmp_path))
    link = tmp_path / "link.sock"
    link.symlink_to(listening)
    assert reach.shares_network(here, machine(tmp_path, DOCKER_HOST=f"unix://{link}"))

    assert not reach.shares_network(replace(here, hostname="docker-desktop"), ours), "a forwarded socket"
    assert not reach.shares_network(replace(here, driver="docker-container", network="bridge"), ours)
    assert not reach.shares_network(replace(here, nodes=2), ours)
    assert not reach.shares_network(here, machine(tmp_path, DOCKER_HOST=f"unix://{tmp_path}/other.sock"))
    assert not reach.shares_network(here, machine(tmp_path, DOCKER_HOST="tcp://127.0.0.1:2375"))


@pytest.mark.parametrize(
    ("changes", "host", "hosts"),
    [
        ({}, "unix:///run/docker.sock", ("127.0.0.1",)),
        ({}, "tcp://127.0.0.1:2375", ("127.0.0.1",)),
        ({}, "tcp://localhost:2375", ("127.0.0.1",)),
        ({}, "tcp://docker:2376", ()),
        ({}, "ssh://me@there", ()),
        ({"nodes": 2}, "unix:///run/docker.sock", ()),
        ({"driver": "kubernetes", "endpoint": "kubernetes:///b"}, "", ()),
        ({"driver": "cloud", "endpoint": "cloud://me/b"}, "", ()),
        ({"driver": "remote", "endpoint": "unix:///run/b.sock"}, "tcp://docker:2376", ("127.0.0.1",)),
        ({"driver": "remote", "endpoint": "tcp://192.0.2.1:1234"}, "", ()),
        ({"driver": "docker-container", "network": "host", "endpoint": "unix:///d"}, "", ("127.0.0.1",)),
        ({"driver": "docker-container", "network": "bridge", "endpoint": "unix:///d"}, "", ()),
        ({"endpoint": "theirs"}, "", ()),
    ],
)
def test_where_a_registry_should_listen(
    tmp_path: Path, changes: dict[str, object], host: str, hosts: tuple[str, ...]
) -> None:
    """No docker is on PATH here: what has to be asked for is not known."""
    assert reach.addresses(builder(**changes), machine(tmp_path, DOCKER_HOST=host)) == hosts


def test_a_probe_that_can_not_be_made_finds_nothing(tmp_path: Path) -> None:
    asked = {f"127.0.0.1:1 {reach.REPOSITORY}:{reach.TAG}"}
    environment = machine(tmp_path).environment
    assert reach.probe(builder(), ["127.0.0.1:1"], environment=environment, asked=lambda: asked) is None
    assert reach.probe(builder(), [], environment=environment, asked=lambda: asked) is None
