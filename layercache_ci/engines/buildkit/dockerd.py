"""A Docker daemon by its own API, on its Unix socket: what it is, and an image pulled out of a registry of ours.

`docker pull`, `tag` and `rmi` are the same three requests, each with a process of 0.05 s around it.
"""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from layercache_ci.engines.buildkit.builders import DEFAULT_HOST, host_of_context
from layercache_ci.engines.buildkit.client_config import CONFIG, config_folder
from layercache_ci.engines.buildkit.reach import listening
from layercache_ci.errors import CacheError, EngineError
from layercache_ci.registry.model import Access
from layercache_ci.settings import Machine

if TYPE_CHECKING:
    import http.client

PATIENCE: Final = 10.0
"""Seconds in which a daemon says what it is."""
SHORT: Final = 60.0
"""Seconds for a request that moves no layer."""
SILENCE: Final = 900.0
"""Seconds in which a pull may say nothing: it tells how far each layer is."""
CONTAINERD: Final = "io.containerd.snapshotter."
"""How the kind of a driver of containerd's image store begins."""
LARGEST: Final = 1 << 20
"""Bytes of an answer, or of a line of one."""
ZSTD: Final = 23
"""The first version of Docker that can unpack layers in zstd."""


@dataclass(frozen=True, slots=True)
class Dockerd:
    """The daemon on this socket. What fails is a CacheError."""

    socket: str
    containerd: bool = False
    """Whether its images are in containerd's store, which keeps manifests and layers as they come, and knows an image
    by its manifest; the classic store keeps what is in the layers, and knows it by its config."""

    def info(self) -> Mapping[str, Any]:
        """What `docker info` shows."""
        status, data = self._ask("GET", "/info", PATIENCE)
        try:
            value = json.loads(data)
        except ValueError as error:
            raise CacheError(f"the daemon on {self.socket} says nothing about itself: {error}") from error
        if status != 200 or not isinstance(value, dict):
            raise CacheError(f"the daemon on {self.socket} says nothing about itself: {said(data)}")
        return value

    def pull(self, repository: str, digest: str, access: Access) -> None:
        """As `docker pull repository@digest` with the login of `access`."""
        login = {"username": access.user, "password": access.password, "serveraddress": repository.partition("/")[0]}
        headers = {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(login).encode()).decode()}
        path = f"/images/create?{urlencode({'fromImage': repository, 'tag': digest})}"
        for line in self._lines("POST", path, headers):
            with suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and event.get("error"):
                    raise CacheError(f"docker pull: {event['error']}")

    def tag(self, image: str, name: str) -> None:
        """As `docker tag`."""
        repository, tag = split(name)
        self._do("POST", f"/images/{quote(image)}/tag?{urlencode({'repo': repository, 'tag': tag})}", "docker tag")

    def untag(self, image: str) -> None:
        """As `docker rmi` of one of several names."""
        self._do("DELETE", f"/images/{quote(image)}?noprune=true", "docker rmi")

    def _do(self, method: str, path: str, command: str) -> None:
        status, data = self._ask(method, path)
        if status not in {200, 201}:
            raise CacheError(f"{command}: {said(data)}")

    def _ask(self, method: str, path: str, timeout: float = SHORT) -> tuple[int, bytes]:
        import http.client  # noqa: PLC0415 - 30 ms, for those who load

        connection = self._connected(timeout)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read(LARGEST)
        except (OSError, http.client.HTTPException) as error:
            raise CacheError(f"the daemon on {self.socket} does not answer: {error!r}") from error
        finally:
            connection.close()

    def _lines(self, method: str, path: str, headers: Mapping[str, str]) -> Iterator[bytes]:
        import http.client  # noqa: PLC0415 - as above

        connection = self._connected(SILENCE)
        try:
            connection.request(method, path, headers=dict(headers))
            response = connection.getresponse()
            if response.status != 200:
                raise CacheError(f"docker pull: {said(response.read(LARGEST))}")
            while line := response.readline(LARGEST):
                yield line
        except (OSError, http.client.HTTPException) as error:
            raise CacheError(f"the daemon on {self.socket} broke off: {error!r}") from error
        finally:
            connection.close()

    def _connected(self, timeout: float) -> http.client.HTTPConnection:
        import http.client  # noqa: PLC0415 - as above

        connection = http.client.HTTPConnection("localhost", timeout=timeout)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.settimeout(timeout)
            connection.sock.connect(self.socket)
        except OSError as error:
            connection.close()
            raise CacheError(f"no daemon listens on {self.socket}: {error}") from error
        return connection


def near(machine: Machine) -> Dockerd | None:
    """The daemon of docker's current context, where `buildx build --load` leaves images, if our loopback is its own:
    its socket listens in this network namespace and it gives this machine's name (behind a forwarded socket is another
    one, behind Docker Desktop's a virtual machine), and if it knows zstd. Never raises."""
    try:
        path = host_of_daemon(machine).removeprefix("unix://")
        if not path.startswith("/") or os.path.realpath(path) not in listening():
            return None
        daemon = Dockerd(path)
        about = daemon.info()
    except (CacheError, EngineError):
        return None
    major = str(about.get("ServerVersion", "")).partition(".")[0]
    fits = about.get("Name") == socket.gethostname() and major.isdecimal() and int(major) >= ZSTD
    kinds = (row[1] for row in about.get("DriverStatus") or () if row[:1] == ["driver-type"])
    return replace(daemon, containerd=any(kind.startswith(CONTAINERD) for kind in kinds)) if fits else None


def host_of_daemon(machine: Machine) -> str:
    """Where docker's command line finds its daemon (docker/cli, cli/command). Raises EngineError."""
    environment = machine.environment
    if host := environment.get("DOCKER_HOST"):
        return host
    name = environment.get("DOCKER_CONTEXT")
    if not name:
        try:
            config = json.loads((config_folder(machine) / CONFIG).read_bytes())
            name = config.get("currentContext")
        except (OSError, ValueError, AttributeError):
            name = None
    if not name or name == "default":
        return DEFAULT_HOST
    return host_of_context(machine, name)


def split(name: str) -> tuple[str, str]:
    """An image's name and its tag."""
    path, colon, tag = name.rpartition(":")
    return (path, tag) if colon and "/" not in tag else (name, "latest")


def said(data: bytes) -> str:
    """The message of an error of the daemon."""
    with suppress(ValueError):
        value = json.loads(data)
        if isinstance(value, dict) and value.get("message"):
            return str(value["message"])
    return data.decode("utf-8", "replace").strip()[:200]
