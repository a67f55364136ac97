"""Builders of ours: a BuildKit in a container beside a daemon whose own builder can't export a cache."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from layercache_ci.engines.buildkit.builders import (
    BOOT,
    MADE,
    NO_BUILDER,
    OURS,
    Builder,
    docker_host,
    docker_words,
    inspect,
)
from layercache_ci.engines.buildkit.buildx import buildx
from layercache_ci.engines.buildkit.client_config import buildx_folder
from layercache_ci.engines.buildkit.daemon import ask_daemon
from layercache_ci.engines.buildkit.options import values_of
from layercache_ci.engines.process import ask
from layercache_ci.errors import CacheError, EngineError, InputError
from layercache_ci.settings import BuildSettings, Machine

REMEDY: Final = (
    "use a builder of yours (docker/setup-buildx-action, with driver-opts image=... where moby/buildkit can't be "
    "pulled), or Docker's containerd image store"
)

GRANTED: Final = frozenset({"network.host"})
"""What buildx starts every builder with (docker/buildx, driver/docker-container)."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A builder of ours in buildx's list."""

    name: str
    endpoint: str
    status: str


def for_cache(builder: Builder, machine: Machine) -> Builder:
    """`builder`, or where that can't export a cache (the daemon's classic store), a builder of ours in the same daemon.

    It is made once, on the host's network as the daemon's own is, and found again: one command of 0.2 s.
    Raises CacheError where it can't be had.
    """
    if builder.uncached:
        raise CacheError(builder.uncached)
    if builder.exports_cache:
        return builder
    demand_reach(builder, machine)
    try:
        name = name_of_ours(builder, machine)
        try:
            return inspect(name, machine)
        except EngineError as error:
            if NO_BUILDER.search(str(error)) is None:
                raise
        _create(name, builder, machine)
        return inspect(name, machine)
    except (EngineError, OSError) as error:
        raise CacheError(f"no builder that can export a cache: {error}; {REMEDY}") from error


def demand_reach(builder: Builder, machine: Machine) -> None:
    """Raises CacheError where a builder of ours could not be reached: buildx keeps the daemon's address with it, and
    not the certificates that variables name (a docker context has its own)."""
    named = "://" not in builder.endpoint and builder.endpoint != "default"
    variable = next((name for name in ("DOCKER_TLS_VERIFY", "DOCKER_TLS") if machine.environment.get(name)), None)
    if variable is not None and not named and machine.environment.get("DOCKER_HOST", "").startswith("tcp://"):
        raise CacheError(
            f"the daemon's own builder can't export a cache, and one of ours would not get the certificates that "
            f"{variable} asks for; switch the daemon to the containerd image store"
        )


def name_of_ours(builder: Builder, machine: Machine) -> str:
    """Of the builder that `for_cache` makes: one for each daemon. Raises EngineError."""
    return f"{OURS}{hashlib.sha256(docker_host(builder, machine).encode()).hexdigest()[:12]}"


def stand_in(settings: BuildSettings, theirs: Builder) -> BuildSettings:
    """The settings for a builder of ours in the place of `theirs`: only a daemon's own knows what `host-gateway` is,
    and is started with what `--allow` may ask for. Raises CacheError where that does not do."""
    allowed = {word for value in values_of(settings.engine_options, "--allow") for word in value.split(",")} - GRANTED
    if allowed:
        raise CacheError(f"--allow={min(allowed)}: only the daemon's own builder, which exports no cache, may grant it")
    if not any("host-gateway" in word for word in (*settings.add_hosts, *settings.engine_options)):
        return settings
    if not theirs.host_gateway or any("host-gateway" in word for word in settings.engine_options):
        raise CacheError("--add-host: only the daemon's own builder, which exports no cache, knows its host-gateway")
    hosts = (re.sub("(?<=[:=])host-gateway$", theirs.host_gateway, host) for host in settings.add_hosts)
    return replace(settings, add_hosts=tuple(hosts))


def list_ours(machine: Machine) -> tuple[Listed, ...]:
    """The builders of ours that buildx knows. Raises EngineError."""
    said = ask([*buildx(machine.environment), "ls", "--format", "json"], machine.environment)
    rows = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    made = [row for row in rows if row.get("Driver") == "docker-container"]
    ours = [row for row in made if MADE.fullmatch(str(row.get("Name"))) is not None]
    nodes = [(row["Name"], (row.get("Nodes") or [{}])[0]) for row in ours]
    return tuple(Listed(name, node.get("Endpoint", ""), node.get("Status", "")) for name, node in nodes)


def remove_ours(name: str, machine: Machine) -> None:
    """Remove a builder of ours with its container and its cache. Raises InputError where it is not one of ours."""
    if name not in {listed.name for listed in list_ours(machine)}:
        raise InputError(f"NAME: {name!r} is no builder of ours; `layercache builder ls` lists them")
    ask([*buildx(machine.environment), "rm", "--force", name], machine.environment, timeout=BOOT)


def _create(name: str, builder: Builder, machine: Machine) -> None:
    """Whoever comes second finds the first one's: that it exists already is no error. A buildkitd.default.toml of the
    user's counts more than what the daemon is told."""
    daemon = ask_daemon(docker_words(builder), machine)
    words = [*buildx(machine.environment), "create", f"--name={name}", "--driver=docker-container"]
    words.append("--driver-opt=network=host")
    words += [f"--driver-opt={option}" for option in daemon.options]
    with tempfile.TemporaryDirectory(prefix="layercache-") as folder:
        config = Path(folder) / "buildkitd.toml"
        config.write_text(daemon.config)
        if daemon.config and not (buildx_folder(machine) / "buildkitd.default.toml").is_file():
            words.append(f"--buildkitd-config={config}")
        try:
            ask([*words, builder.endpoint], machine.environment)
        except EngineError as error:
            if "existing instance" not in str(error):
                raise
