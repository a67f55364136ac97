"""The engines of the lab by name; each can be had emptied at will."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.lab import buildkit
from tests.lab.containers import Containers
from tests.lab.engine import Engine
from tests.lab.paths import LabPaths

__all__ = ["BUILDKIT", "CONTAINERS", "KINDS", "Engine", "make_engine"]

Make = Callable[[str, LabPaths, Path, str], Engine]
"""Makes an engine of that name in a new folder, with the address of the lab's registry."""


def _with(make: Callable[[buildkit.Client], Engine]) -> Make:
    def of_client(name: str, paths: LabPaths, folder: Path, registry: str) -> Engine:
        if not paths.builder_image.is_dir():
            raise RuntimeError(f"{paths.builder_image} is not there: make lab sets it up")
        with contextlib.ExitStack() as stack:
            return make(buildkit.new_client(name, paths, folder, registry, stack))

    return of_client


CONTAINERS: Final[Mapping[str, Make]] = MappingProxyType(
    {
        "buildah-1.28": Containers("buildah").make,
        "podman-4.3": Containers("podman").make,
        "buildah-sid": Containers("buildah", sid=True).make,
        "podman-sid": Containers("podman", sid=True).make,
        "buildah-rootless": Containers("buildah", rootless=True).make,
        "podman-rootless": Containers("podman", rootless=True).make,
    }
)
BUILDKIT: Final[Mapping[str, Make]] = MappingProxyType(
    {
        "remote": _with(buildkit.remote),
        "docker-containerd": _with(buildkit.docker_containerd),
        "docker-classic": _with(buildkit.docker_classic),
        "container-bridge": _with(buildkit.container_bridge),
        "container-host": _with(buildkit.container_host),
        "unreachable": _with(buildkit.unreachable),
    }
)
KINDS: Final[Mapping[str, Make]] = MappingProxyType({**CONTAINERS, **BUILDKIT})


def make_engine(name: str, paths: LabPaths, session: Path, registry: str) -> Engine:
    """An emptied engine in a new folder of the session, where the data of the lab's registry are too.

    Raises RuntimeError when the lab is not installed.
    """
    return KINDS[name](name, paths, Path(tempfile.mkdtemp(prefix=f"{name}-", dir=session)), registry)
