"""BuildKit in every way in which CI runs it: each engine has a daemon of its own, and a client that knows no other.

Where a builder can't reach this machine's loopback, the lab's registry listens on the bridge too, and the builder's
buildkitd.toml names that as the loopback address's mirror: one Dockerfile does for all.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from tests.lab.daemon import answers, running
from tests.lab.engine import Engine, call
from tests.lab.network import guest, open_bridge
from tests.lab.paths import CHECKOUT, LabPaths
from tests.lab.registry import serve
from tests.lab.run import run

BUILDER: Final = "lab"
ENTITLED: Final = ("--allow-insecure-entitlement", "security.insecure", "--allow-insecure-entitlement", "network.host")
"""What docker/setup-buildx-action starts every builder with."""
CLASSIC_STORE: Final = ("image", "overlay2")
"""The folders of a daemon's data that the classic image store consists of."""
PLUGINS: Final = "usr/libexec/docker/cli-plugins"
SOCKET: Final = "/SOCKET"
"""Stands for that of a buildkitd."""
FOREIGN: Final = ("BUILDX_", "BUILDKIT_", "DOCKER_", "COMPOSE_")
"""How variables begin that would lead a client elsewhere."""


@dataclass(frozen=True, slots=True)
class Client:
    """A folder with all that a docker client and layercache read and write, and the stack of what must end with it."""

    name: str
    paths: LabPaths
    folder: Path
    registry: str
    """Where the lab's registry is for this machine."""
    stack: contextlib.ExitStack

    def scratch(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def environment(self, builder: str | None, docker: Path | None) -> Mapping[str, str]:
        """Where the daemon listens on the socket `docker`, if there is one, and BUILDX_BUILDER."""
        plugins = self.paths.docker / PLUGINS
        (self.folder / "docker/config.json").write_text(json.dumps({"cliPluginsExtraDirs": [str(plugins)]}))
        chosen = {"BUILDX_BUILDER": builder} if builder else {}
        return MappingProxyType(
            {
                **_ours(),
                **chosen,
                "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "HOME": str(self.folder / "home"),
                "TMPDIR": str(self.folder / "tmp"),
                "XDG_CACHE_HOME": str(self.folder / "cache"),
                "DOCKER_CONFIG": str(self.folder / "docker"),
                "BUILDX_CONFIG": str(self.folder / "buildx"),
                "DOCKER_HOST": f"unix://{docker or self.folder / 'nobody.sock'}",
            }
        )

    def engine(self, environment: Mapping[str, str], registry: str) -> Engine:
        layercache = (str(CHECKOUT / ".venv/bin/layercache"),)
        return Engine(self.name, "buildkit", self.folder, environment, registry, (), layercache, self.stack.pop_all())

    def docker(self, environment: Mapping[str, str], *arguments: str | Path) -> None:
        call([str(self.folder / "bin/docker"), *map(str, arguments)], environment, check=True, cwd=self.folder)

    def create(self, environment: Mapping[str, str], *arguments: str | Path) -> None:
        """Makes the builder of the client."""
        self.docker(environment, "buildx", "create", "--name", BUILDER, *arguments)

    def connect(self, socket: Path) -> None:
        """Makes a builder with the remote driver: as buildx does, and half a second faster."""
        instances = self.folder / "buildx/instances"
        instances.mkdir()
        (instances / BUILDER).write_text(_remote_builder(self.paths.docker).replace(SOCKET, str(socket)))

    def dockerd(self, *options: str, containerd: bool, images: Path | None = None) -> Path:
        """Starts a Docker daemon with that image store, and what the data of another say of images; its socket."""
        folder = self.scratch("d")  # short: the names of sockets below it end at 107 bytes
        if images is not None:
            data = self.scratch("d/data")
            run(["cp", "--archive", "--reflink=auto", *(images / part for part in CLASSIC_STORE), data])
        docker, socket, settings, log = self.paths.docker, folder / "s", folder / "daemon.json", folder / "log"
        settings.write_text(json.dumps({"features": {"containerd-snapshotter": containerd}}))
        environment = {**os.environ, "PATH": f"{docker}/usr/bin:{docker}/usr/sbin:{os.environ['PATH']}"}
        argv: list[str | Path] = [
            "dockerd", "--config-file", settings, "--data-root", folder / "data", "--exec-root", folder / "e",
            "--pidfile", folder / "pid", "--host", f"unix://{socket}",
            "--iptables=false", "--ip6tables=false", "--ip-masq=false", *options,
        ]  # fmt: skip

        def ready() -> bool:
            return b"API listen on" in log.read_bytes()

        self.stack.enter_context(running(argv, log, ready=ready, environment=environment))
        return socket

    def buildkitd(self, *options: str | Path, prefix: Sequence[str] = ()) -> Path:
        """Starts a buildkitd without any Docker; its socket."""
        folder = self.scratch("buildkitd")
        socket, log = folder / "b.sock", folder / "log"
        argv: list[str | Path] = [
            *prefix, self.paths.buildkit / "buildkitd", "--root", folder / "root", "--addr", f"unix://{socket}",
            "--otel-socket-path", folder / "otel.sock", "--oci-worker-net=host", "--oci-worker-snapshotter=overlayfs",
            *ENTITLED, *options,
        ]  # fmt: skip
        self.stack.enter_context(running(argv, log, ready=answers(socket)))
        return socket

    def mirror(self, host: str) -> str:
        """Lets the lab's registry listen on an address of this machine's too: its host:PORT there."""
        return self.stack.enter_context(serve(self.folder.parent / "registry", self.scratch("mirror"), host))

    def reached_by(self, mirror: str) -> Path:
        """The buildkitd.toml of builders that reach the lab's registry only there."""
        file = self.folder / "buildkitd.toml"
        file.write_text(
            f'[registry."{self.registry}"]\n  mirrors = ["{mirror}"]\n  http = true\n'
            f'[registry."{mirror}"]\n  http = true\n'
        )
        return file


def _ours() -> dict[str, str]:
    """The environment, less what would lead a client elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


@functools.cache
def _remote_builder(docker: Path) -> str:
    """What buildx itself keeps of a builder with the remote driver, at SOCKET."""
    with tempfile.TemporaryDirectory(prefix="layercache-lab-") as name:
        folder = Path(name)
        environment = {**_ours(), "HOME": name, "DOCKER_CONFIG": name, "BUILDX_CONFIG": name}
        create = ("create", "--name", BUILDER, "--driver", "remote", f"unix://{SOCKET}")
        call([str(docker / PLUGINS / "docker-buildx"), *create], environment, check=True, cwd=folder)
        return (folder / "instances" / BUILDER).read_text()


def new_client(name: str, paths: LabPaths, folder: Path, registry: str, stack: contextlib.ExitStack) -> Client:
    """A client in a new folder."""
    for part in ("bin", "tmp", "home", "docker", "buildx"):
        (folder / part).mkdir()
    (folder / "bin/docker").symlink_to(paths.docker / "usr/bin/docker")
    return Client(name, paths, folder, registry, stack)


def remote(client: Client) -> Engine:
    """A buildkitd on this machine's network, and a builder with the remote driver; no Docker daemon at all."""
    environment = client.environment(BUILDER, None)
    client.connect(client.buildkitd())
    return client.engine(environment, client.registry)


def unreachable(client: Client) -> Engine:
    """The same on a network of its own, from which nothing of this machine is reached but the lab's registry."""
    bridge = client.stack.enter_context(open_bridge())
    mirror = client.mirror(bridge.gateway)
    inside = client.stack.enter_context(guest(bridge, mirror))
    socket = client.buildkitd("--config", client.reached_by(mirror), prefix=("nsenter", f"--net={inside}"))
    environment = client.environment(BUILDER, None)
    client.connect(socket)
    return client.engine(environment, mirror)


def docker_containerd(client: Client) -> Engine:
    """A daemon with containerd's image store, and its own builder."""
    environment = client.environment(None, client.dockerd("--bridge", "none", containerd=True))
    return client.engine(environment, client.registry)


def _bridged(client: Client) -> tuple[Path, str]:
    """A daemon with the classic store and the image of a builder, on a bridge; its socket, and the mirror there."""
    bridge = client.stack.enter_context(open_bridge())
    mirror = client.mirror(bridge.gateway)
    images = _loaded(client.paths, client.folder.parent)
    options = ("--bridge", bridge.name, "--insecure-registry", mirror)
    return client.dockerd(*options, containerd=False, images=images), mirror


@functools.cache
def _loaded(paths: LabPaths, session: Path) -> Path:
    """The data of a daemon that has loaded the image of a builder, which takes some times as long as to copy them."""
    with contextlib.ExitStack() as stack:
        client = new_client("loaded", paths, Path(tempfile.mkdtemp(prefix="loaded-", dir=session)), "", stack)
        socket = client.dockerd("--bridge", "none", containerd=False)
        client.docker(client.environment(None, socket), "load", "--input", paths.builder_image / "image.tar")
    return client.folder / "d/data"


def docker_classic(client: Client) -> Engine:
    """What ubuntu-24.04 has: no builder yet, and a client that makes them so that they find the lab's registry."""
    socket, mirror = _bridged(client)
    (client.folder / "buildx/buildkitd.default.toml").write_text(client.reached_by(mirror).read_text())
    return client.engine(client.environment(None, socket), mirror)


def container(client: Client, network: Literal["bridge", "host"]) -> Engine:
    """A builder in a container, as docker/setup-buildx-action makes it."""
    socket, mirror = _bridged(client)
    environment = client.environment(BUILDER, socket)
    options = ["--driver", "docker-container", "--buildkitd-flags", " ".join(ENTITLED), "--use", "--bootstrap"]
    if network == "host":
        client.create(environment, *options, "--driver-opt", "network=host")
        return client.engine(environment, client.registry)
    client.create(environment, *options, "--buildkitd-config", client.reached_by(mirror))
    return client.engine(environment, mirror)


def container_bridge(client: Client) -> Engine:
    return container(client, "bridge")


def container_host(client: Client) -> Engine:
    return container(client, "host")
