"""The engines: one package per family, found by the table below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from layercache_ci.engines.protocol import Build
from layercache_ci.settings import BuildSettings, EngineChoice, Machine


def _containers(settings: BuildSettings, machine: Machine) -> Build:
    from layercache_ci.engines.containers.build import prepare  # noqa: PLC0415 - only the family that is used

    return prepare(settings, machine)


FAMILIES: Final[Mapping[EngineChoice, Callable[[BuildSettings, Machine], Build]]] = MappingProxyType(
    {"auto": _containers, "buildah": _containers, "podman": _containers}
)


def prepare(settings: BuildSettings, machine: Machine) -> Build:
    """A build with the engine that the settings ask for. Raises InputError where it is not there."""
    return FAMILIES[settings.engine](settings, machine)
