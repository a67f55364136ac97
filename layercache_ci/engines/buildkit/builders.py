"""Builders of buildx: which one a build would take, and what buildx tells of it."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from layercache_ci.aside import aside
from layercache_ci.engines.buildkit.buildx import buildx, too_old, version
from layercache_ci.engines.process import ask
from layercache_ci.errors import EngineError, InputError
from layercache_ci.settings import BuildSettings, Machine

OURS: Final = "layercache-"
MADE: Final = re.compile(f"{OURS}[0-9a-f]{{12}}")
"""Our builders' names. What only begins like one is somebody else's, and `layercache builder rm` leaves it alone."""
SNAPSHOTTER: Final = "org.mobyproject.buildkit.worker.snapshotter"
HOSTNAME: Final = "org.mobyproject.buildkit.worker.hostname"
GATEWAY: Final = "org.mobyproject.buildkit.worker.moby.host-gateway-ip"
DEFAULT_HOST: Final = "unix:///var/run/docker.sock"
BOOT: Final = 600
"""Seconds for a builder to boot: the first time, its image is pulled."""
NO_BUILDX: Final = ("docker --help", "is not a docker command", "unknown command")
"""What the docker command line ends with where it has no buildx plugin."""
OLD: Final = re.compile(r"v?0\.(\d|10)\.")
"""Versions of BuildKit before 0.11."""
NO_BUILDER: Final = re.compile(r'no builder "(.*)" found')
RUNNING: Final = "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """A builder as `docker buildx build` would use it."""

    name: str
    driver: str
    """`docker`, `docker-container`, `remote`, `kubernetes` or `cloud`."""
    node: str
    endpoint: str
    """Of the first node that answers: a docker context or host for the docker drivers, BuildKit's own for `remote`."""
    version: str
    """BuildKit's; dockerd tells its own where its BuildKit has none."""
    exports_cache: bool
    network: str | None = None
    """What a container of BuildKit is on: `host`, or a network of docker's; None for the other drivers."""
    hostname: str = ""
    """Of the machine or container that BuildKit runs on, where it tells."""
    host_gateway: str = ""
    """What `--add-host NAME:host-gateway` means to a daemon's own builder."""
    nodes: int = 1
    status: str = ""
    """Of the node: `running`, or what buildx says else."""
    platform: str = ""
    """What it builds for where nothing is asked for; empty where it does not tell."""
    uncached: str = ""
    """Why nothing can be cached with it. Empty where it can."""

    @property
    def ours(self) -> bool:
        """Whether we made it."""
        return self.driver == "docker-container" and MADE.fullmatch(self.name) is not None

    @property
    def attests(self) -> bool:
        """Whether an image of it can have attestations (BuildKit 0.11 on, and no daemon's classic store)."""
        old = OLD.match(self.version)
        return self.exports_cache and old is None

    @property
    def container(self) -> str:
        """The container's name of the docker-container driver."""
        return f"buildx_buildkit_{self.node}"


def why_buildkit(settings: BuildSettings, machine: Machine) -> str | None:
    """The reason for which `--engine auto` takes BuildKit; None where it does not."""
    taken, why = choice(settings, machine)
    return why if taken else None


def choice(settings: BuildSettings, machine: Machine) -> tuple[bool, str]:
    """Whether `--engine auto` takes BuildKit, and why, or why not.

    Nothing is run where docker is not installed, or where it has neither a socket nor a context: most machines without
    a daemon. Else `docker buildx version` says whether that docker has buildx, and is docker: 0.05 s.
    """
    if shutil.which("docker", path=machine.environment.get("PATH")) is None:
        return False, "docker is not on PATH"
    if settings.builder:
        return True, f"--builder names {settings.builder}"
    if builder := machine.environment.get("BUILDX_BUILDER"):
        return True, f"BUILDX_BUILDER names {builder}"
    try:
        host = machine.environment.get("DOCKER_HOST") or _default_or_context(machine)
        if lack := _silence(host) or _lack_of_buildx(machine):
            return False, lack
    except EngineError as error:
        return False, f"docker can't be used ({error})"
    return True, f"a Docker daemon answers on {host}"


def _lack_of_buildx(machine: Machine) -> str:
    """Empty where docker has it, and is docker. Raises EngineError."""
    return "" if "buildx" in version(machine.environment) else "what is called docker here has no buildx"


def find(settings: BuildSettings, machine: Machine) -> Builder:
    """The builder that `docker buildx build` would take, booted: one command, 0.2 s where it runs already, and beside
    it another for buildx's version.

    One that does not answer, or that a buildx of old drives, is `uncached`: whether it builds all the same is for
    `docker buildx build` to find out.
    Raises InputError where there is no docker, no buildx or no such builder.
    """
    if shutil.which("docker", path=machine.environment.get("PATH")) is None:
        raise InputError("--engine: 'buildkit' needs docker, which is not on PATH; install it, or name another engine")
    told = aside(lambda: version(machine.environment))
    try:
        found = inspect(settings.builder, machine)
    except EngineError as error:
        if (theirs := _meant(error, settings.builder, machine.environment)) is not None:
            raise theirs from error
        name = settings.builder or machine.environment.get("BUILDX_BUILDER") or ""
        found = Builder(
            name=name, driver="", node="", endpoint="", version="", exports_cache=False, uncached=str(error)
        )
    with suppress(EngineError):
        found = replace(found, uncached=too_old(told.result()) or found.uncached)
    return found


def docker_words(builder: Builder) -> list[str]:
    """`docker` for the daemon that a builder of the docker drivers is in. `default` is a context too, which takes
    $DOCKER_HOST, and may not be the current one."""
    option = "--host" if "://" in builder.endpoint else "--context"
    return ["docker", option, builder.endpoint]


def docker_host(builder: Builder, machine: Machine) -> str:
    """The address of that daemon, `unix:///…` or `tcp://…`. Raises EngineError."""
    if "://" in builder.endpoint:
        return builder.endpoint
    if builder.endpoint == "default":
        return machine.environment.get("DOCKER_HOST") or DEFAULT_HOST
    return host_of_context(machine, builder.endpoint)


def host_of_context(machine: Machine, *name: str) -> str:
    """The address of the daemon of docker's context of that name, else of the current one. Raises EngineError."""
    words = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}", *name]
    return ask(words, machine.environment).strip()


def parse(text: str) -> Builder:
    """Read what `docker buildx inspect` prints, of the nodes the first that answers. Raises EngineError with what it
    says went wrong.

    Lines are `Key: value`; below `Nodes:` each node begins with `Name:`, and labels are indented.
    """
    head, _, rest = text.partition("\nNodes:")
    nodes = re.split(r"^Name:", rest, flags=re.MULTILINE)[1:]
    text_of = next((text for text in nodes if "Error" not in _fields(text)), (nodes or [""])[0])
    about, node = _fields(head), _fields(f"Name:{text_of}")
    labels = dict(re.findall(r"^\s+([\w.-]+):\s+(\S.*?)\s*$", text_of, flags=re.MULTILINE))
    name, driver = about.get("Name", ""), about.get("Driver", "")
    if wrong := about.get("Error") or node.get("Error"):
        raise EngineError(f"builder {name!r}: {wrong}")
    if not name or not driver or not nodes:
        raise EngineError(f"docker buildx inspect: {text.strip()[:200]!r} names no builder")
    asked = re.search(r'network="([^"]+)"', node.get("Driver Options", ""))
    return Builder(
        name=name,
        driver=driver,
        node=node["Name"],
        endpoint=node.get("Endpoint", ""),
        version=node.get("BuildKit version", ""),
        exports_cache=driver != "docker" or SNAPSHOTTER in labels,
        network=(asked[1] if asked else "bridge") if driver == "docker-container" else None,
        hostname=labels.get(HOSTNAME, ""),
        host_gateway=labels.get(GATEWAY, ""),
        nodes=len(nodes),
        status=node.get("Status", ""),
        platform=_first(node.get("Platforms", "")),
    )


def _first(platforms: str) -> str:
    """BuildKit's own platform is the first of those that it lists (moby/buildkit, frontend/dockerui/config.go). Empty
    where others stand before them: those, with a star, that somebody named for buildx to choose a node by."""
    first = platforms.partition(",")[0]
    return "" if "*" in first else first


def _fields(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z][\w# ]*?):[ \t]+(\S.*?)\s*$", text, flags=re.MULTILINE))


def _default_or_context(machine: Machine) -> str:
    """Of the context in use: the default socket, without asking, where that is there and no other is named."""
    default = DEFAULT_HOST.removeprefix("unix://")
    if not machine.environment.get("DOCKER_CONTEXT") and os.path.exists(default):  # noqa: PTH110 - a socket, no file
        return DEFAULT_HOST
    return host_of_context(machine)


def _silence(host: str) -> str:
    """That nobody listens on a Unix socket, and why; empty where somebody does. That somebody listens elsewhere is for
    whoever named that place to know."""
    if not host.startswith("unix://"):
        return "" if host else "docker's context names no daemon"
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(host.removeprefix("unix://"))
        except OSError as error:
            return f"no Docker daemon answers on {host} ({error.strerror or error})"
    return ""


def inspect(name: str | None, machine: Machine) -> Builder:
    """A builder, booted. Raises EngineError where it does not answer.

    buildx gives it 20 s to answer, and counts the boot in: of one that pulled its image for longer it says only that
    the time is over. So what runs when it is asked again does answer.
    """
    words, named = [*buildx(machine.environment), "inspect"], [name] if name else []
    try:
        return parse(ask([*words, "--bootstrap", *named], machine.environment, timeout=BOOT))
    except EngineError as error:
        if _meant(error, name, machine.environment) is not None:
            raise
        try:
            found = parse(ask([*words, *named], machine.environment))
        except EngineError:
            raise error from None
        if found.status != RUNNING:
            raise
        return found


def _meant(error: EngineError, name: str | None, environment: Mapping[str, str]) -> InputError | None:
    """The error as the user's, None where it is not theirs."""
    text = str(error)
    if any(words in text for words in NO_BUILDX):
        return InputError("--engine: 'buildkit' needs docker's buildx plugin; install it, or name another engine")
    missing = NO_BUILDER.search(text)
    if missing is None:
        return None
    variables = ("BUILDX_BUILDER", "DOCKER_CONTEXT")
    named = next((variable for variable in variables if environment.get(variable) == missing[1]), "docker's context")
    said_by = "--builder" if name else named
    return InputError(f"{said_by}: there is no builder {missing[1]!r}; `docker buildx ls` lists those there are")
