"""Where a registry of ours must listen for a builder to reach it, and whether it does.

Two kinds need no question: a builder that shares this process's network, which its socket proves, has our loopback; one
on a network that this machine is not on has nothing. The rest is asked by a solve of one step, in 0.3 s: so little that
no answer is kept, since one that was kept could be wrong.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from layercache_ci.engines.buildkit.builders import DEFAULT_HOST, Builder, docker_host, docker_words
from layercache_ci.engines.buildkit.buildx import buildx
from layercache_ci.engines.process import ask
from layercache_ci.errors import EngineError
from layercache_ci.settings import Machine

LOOPBACK: Final = "127.0.0.1"
REPOSITORY: Final = "layercache-probe"
TAG: Final = "probe"
DOCKERFILE: Final = b"FROM scratch\nWORKDIR /layercache\n"
"""The least that BuildKit looks up in a cache: for a `FROM scratch` alone it asks nobody."""
PATIENCE: Final = 5.0
"""Seconds for a probe: a firewall that drops packets would have us wait for 30."""
SOCKETS: Final = Path("/proc/net/unix")
"""The Unix sockets of this process's network namespace, see proc(5)."""
LISTENS: Final = 1 << 16
"""`__SO_ACCEPTCON` in the flags there."""


def addresses(builder: Builder, machine: Machine) -> tuple[str, ...]:
    """The hosts on which a registry of ours should listen, none where none is of use.

    On a bridge that is the bridge's gateway, if this machine has that address: one command, 0.06 s. Never raises.
    """
    if builder.nodes > 1 or not _may_be_here(builder, machine):
        return ()
    if builder.network in {None, "host"}:
        return (LOOPBACK,)
    try:
        words = [*docker_words(builder), "inspect", "--format", "{{json .NetworkSettings.Networks}}", builder.container]
        networks = json.loads(ask(words, machine.environment))
    except (EngineError, ValueError):
        return ()
    gateways = [network.get("Gateway") for network in (networks or {}).values()]
    return tuple(gateway for gateway in gateways if gateway and _ours(gateway))


def shares_network(builder: Builder, machine: Machine) -> bool:
    """Whether it is certain that our loopback is the builder's: its socket listens in this network namespace, and the
    builder gives this machine's name (behind a forwarded socket is another one). False says nothing."""
    if builder.network not in {None, "host"} or builder.nodes > 1 or builder.hostname != socket.gethostname():
        return False
    path = _address(builder, machine).removeprefix("unix://")
    return path.startswith("/") and os.path.realpath(path) in listening()


def reached(
    builder: Builder,
    candidates: Sequence[str],
    machine: Machine,
    *,
    environment: Mapping[str, str],
    asked: Callable[[], Collection[str]],
) -> str | None:
    """Which of our registry's addresses, `host:port`, the builder reaches, None for none: by proof, else by `probe`."""
    if candidates and shares_network(builder, machine):
        return candidates[0]
    return probe(builder, candidates, environment=environment, asked=asked)


def probe(
    builder: Builder,
    candidates: Sequence[str],
    *,
    environment: Mapping[str, str],
    asked: Callable[[], Collection[str]],
) -> str | None:
    """Have the builder look for a cache on each address, and see which of them was asked. Never raises.

    `environment` is that of a docker that has the registry's login; `asked` gives `<address> <repository>:<tag>` of
    what the registry was asked for so far.
    """
    if not candidates:
        return None
    words = [
        *buildx(environment),
        "build",
        f"--builder={builder.name}",
        "--output=type=cacheonly",
        "--provenance=false",
    ]
    words += ["--progress=quiet", *(f"--cache-from={_probe_of(address)}" for address in candidates), "-"]
    try:
        _run(words, environment)
        seen = asked()
    except Exception:  # noqa: BLE001 - whatever went wrong, that registry is of no use to this build
        return None
    return next((address for address in candidates if f"{address} {REPOSITORY}:{TAG}" in seen), None)


def _probe_of(address: str) -> str:
    insecure = "" if _loopback(address) else ",registry.insecure=true"
    return f"type=registry,ref={address}/{REPOSITORY}:{TAG}{insecure}"


def _run(words: Sequence[str], environment: Mapping[str, str]) -> None:
    """To its end, or as long as our patience lasts. A group of its own, so that docker's plugin ends with it."""
    process = subprocess.Popen(
        words,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        process.communicate(DOCKERFILE, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _address(builder: Builder, machine: Machine) -> str:
    """Of BuildKit itself, or of the daemon that it is in; empty where that is unknown."""
    if builder.driver == "remote":
        return builder.endpoint
    if builder.driver not in {"docker", "docker-container"}:
        return ""
    try:
        host = docker_host(builder, machine)
    except EngineError:
        return ""
    return DEFAULT_HOST if host == "unix://" else host


def _may_be_here(builder: Builder, machine: Machine) -> bool:
    """A Unix socket, or a port of the loopback. What listens there may still be a tunnel to elsewhere."""
    address = urlsplit(_address(builder, machine))
    return address.scheme == "unix" or address.hostname in {"localhost", "::1"} or _loopback(address.hostname)


def _loopback(host: str | None) -> bool:
    return host is not None and host.startswith("127.")


def _ours(host: str) -> bool:
    """Only an address of this network namespace can be bound."""
    try:
        with socket.socket() as listener:
            listener.bind((host, 0))
    except OSError:
        return False
    return True


def listening() -> set[str]:
    """The paths of this network namespace's listening Unix sockets."""
    try:
        lines = SOCKETS.read_text(errors="replace").splitlines()[1:]
    except OSError:
        return set()
    rows = [line.split(maxsplit=7) for line in lines]
    return {os.path.realpath(row[7]) for row in rows if len(row) == 8 and int(row[3], 16) & LISTENS}
