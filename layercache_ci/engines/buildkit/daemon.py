"""What a Docker daemon is told about registries, for a builder of ours that takes its place: a BuildKit in a container
knows nothing of the daemon's mirrors, insecure registries, certificates and proxies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from layercache_ci.engines.process import ask
from layercache_ci.settings import Machine

CERTIFICATES: Final = Path("/etc/docker/certs.d")
PROXIES: Final = (("HTTPProxy", "HTTP_PROXY"), ("HTTPSProxy", "HTTPS_PROXY"), ("NoProxy", "NO_PROXY"))
MASKED: Final = "xxxxx"
"""What `docker info` shows of a proxy's password."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """`config` is a buildkitd.toml, empty where there is nothing to say; `options` are for `--driver-opt`."""

    config: str = ""
    options: tuple[str, ...] = ()


@dataclass(slots=True)
class _Registry:
    mirrors: list[str] = field(default_factory=list)
    insecure: bool = False
    http: bool = False
    authorities: list[str] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)


def ask_daemon(docker: list[str], machine: Machine) -> Daemon:
    """Of the daemon that the words `docker` reach: one command, 0.1 s. Raises EngineError."""
    return daemon_of(json.loads(ask([*docker, "info", "--format", "{{json .}}"], machine.environment)))


def daemon_of(info: Mapping[str, Any], certificates: Path = CERTIFICATES) -> Daemon:
    """Out of what `docker info` says as JSON, and the folder of certificates, which is this machine's."""
    registries = _registries(info.get("RegistryConfig") or {})
    _add_certificates(registries, certificates)
    return Daemon("".join(_sections(registries)), tuple(_proxies(info)))


def _registries(config: Mapping[str, Any]) -> dict[str, _Registry]:
    """Networks that are insecure as a whole can't be said to BuildKit; the loopback, which always is, it knows.
    `insecure` and `http` together are what the daemon does: TLS with any certificate, else none."""
    found: dict[str, _Registry] = {}
    for host, index in (config.get("IndexConfigs") or {}).items():
        registry = found.setdefault(host, _Registry())
        insecure = not index.get("Secure", True)
        registry.insecure |= insecure
        registry.http |= insecure
        for mirror in index.get("Mirrors") or ():
            scheme, _, place = mirror.rpartition("://")
            registry.mirrors.append(place.rstrip("/"))
            found.setdefault(place.partition("/")[0], _Registry()).http |= scheme == "http"
    return found


def _add_certificates(registries: dict[str, _Registry], folder: Path) -> None:
    """As the daemon finds them: `HOST/*.crt` are authorities, `HOST/NAME.cert` and `NAME.key` are ours."""
    for host in sorted(folder.iterdir()) if folder.is_dir() else ():
        registry = registries.setdefault(host.name, _Registry())
        registry.authorities += [str(path) for path in sorted(host.glob("*.crt"))]
        pairs = [(path.with_suffix(".key"), path) for path in sorted(host.glob("*.cert"))]
        registry.pairs += [(str(key), str(certificate)) for key, certificate in pairs if key.is_file()]


def _sections(registries: Mapping[str, _Registry]) -> Iterator[str]:
    """BuildKit's buildkitd.toml; JSON's strings and lists are TOML's too."""
    for host, registry in registries.items():
        lines = [f"mirrors = {json.dumps(registry.mirrors)}"] if registry.mirrors else []
        lines += ["insecure = true"] if registry.insecure else []
        lines += ["http = true"] if registry.http else []
        lines += [f"ca = {json.dumps(registry.authorities)}"] if registry.authorities else []
        for key, certificate in registry.pairs:
            lines += [f"[[registry.{json.dumps(host)}.keypair]]", f"key = {json.dumps(key)}"]
            lines += [f"cert = {json.dumps(certificate)}"]
        if lines:
            yield "\n".join([f"[registry.{json.dumps(host)}]", *lines, ""])


def _proxies(info: Mapping[str, Any]) -> Iterator[str]:
    for name, variable in PROXIES:
        value = str(info.get(name) or "")
        if value and MASKED not in value:
            # an option is a row of CSV
            yield '"env.{}={}"'.format(variable, value.replace('"', '""'))
