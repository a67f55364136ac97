"""The engines: one package per family, found by the table below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from layercache_ci.engines.protocol import Build
from layercache_ci.errors import InputError
from layercache_ci.settings import BuildSettings, EngineChoice, Machine


def _containers(settings: BuildSettings, machine: Machine) -> Build:
    from layercache_ci.engines.containers.build import prepare  # noqa: PLC0415 - only the family that is used

    return prepare(settings, machine)


def _buildkit(settings: BuildSettings, machine: Machine) -> Build:
    from layercache_ci.aside import aside  # noqa: PLC0415 - as above
    from layercache_ci.engines.buildkit.builders import find  # noqa: PLC0415 - as above

    found = aside(lambda: find(settings, machine))
    # a tenth of a second, while buildx looks for the builder
    from layercache_ci.engines.buildkit.build import prepare  # noqa: PLC0415 - as above

    return prepare(settings, machine, found.result())


def _auto(settings: BuildSettings, machine: Machine) -> Build:
    """What this machine's users build with: BuildKit where it has a Docker daemon, else Podman or Buildah."""
    from layercache_ci.engines.buildkit.builders import why_buildkit  # noqa: PLC0415 - as above

    return (_containers if why_buildkit(settings, machine) is None else _buildkit)(settings, machine)


FAMILIES: Final[Mapping[EngineChoice, Callable[[BuildSettings, Machine], Build]]] = MappingProxyType(
    {"auto": _auto, "buildkit": _buildkit, "buildah": _containers, "podman": _containers}
)


def prepare(settings: BuildSettings, machine: Machine) -> Build:
    """A build with the engine that the settings ask for. Raises InputError where it is not there."""
    if settings.builder and settings.engine in {"buildah", "podman"}:
        raise InputError(
            f"--builder: {settings.builder!r} is for BuildKit; leave it out, or --engine {settings.engine}"
        )
    return FAMILIES[settings.engine](settings, machine)
