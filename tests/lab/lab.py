"""What a test run has of the lab: emptied engines, and a registry of its own that holds the base images."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.engines import KINDS, Engine, make_engine
from tests.lab.memory import has_room, mount_memory
from tests.lab.paths import LARGE, LabPaths
from tests.lab.registry import copy_data, serve
from tests.lab.removal import clear


@dataclass(frozen=True, slots=True)
class Lab:
    """One run's engines and registry. What it makes lies in one temporary folder and goes with it."""

    paths: LabPaths
    folder: Path
    """Readable by every user, unlike pytest's own temporary folders: rootless engines work here too."""
    registry: str
    """The address, 127.0.0.1:PORT, of a registry without TLS that every engine of the lab may push to."""
    memory: Path | None = None
    """A folder in memory, where there is enough of it."""

    @property
    def busybox(self) -> str:
        """A base image of 2 MB with a shell."""
        return f"{self.registry}/busybox:latest"

    @property
    def debian(self) -> str:
        """A Debian 12 base image; apt and pip work in it with `--network host`."""
        return f"{self.registry}/debian:bookworm"

    @staticmethod
    def engines() -> tuple[str, ...]:
        """The names that `engine` takes."""
        return tuple(KINDS)

    def engine(self, name: str) -> Engine:
        """An emptied engine: one that has never built or pulled anything. `Engine.remove` gives its space back."""
        return make_engine(name, self.paths, self.folder, self.registry)

    def small_engine(self, name: str) -> Engine:
        """The same for builds of a few megabytes: in memory, as long as there is room."""
        place = self.memory if self.memory and has_room(self.memory) else self.folder
        return make_engine(name, self.paths, place, self.registry)

    def scratch(self, prefix: str = "scratch-") -> Path:
        """A new folder that every engine of the lab sees at the same path."""
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self.folder))
        folder.chmod(0o755)
        return folder


@contextlib.contextmanager
def open_lab(*, in_memory: bool = False) -> Iterator[Lab]:
    """The lab for one run, whose small engines may lie in memory. Raises RuntimeError when it is not installed."""
    paths = LabPaths.here()
    if not paths.registry.is_dir():
        raise RuntimeError(f"the lab is not in {paths.folder}: make lab sets it up")
    folder = Path(tempfile.mkdtemp(prefix="layercache-lab-", dir=LARGE))
    folder.chmod(0o755)
    try:
        data = folder / "registry"
        copy_data(paths.registry, data)
        memory = _memory(folder, data) if in_memory else None
        with serve(data, folder) as address:
            yield Lab(paths, folder, address, memory)
    finally:
        clear(folder)


def _memory(folder: Path, data: Path) -> Path | None:
    """A folder in memory below the run's own, with the registry's data beside the engines as they are there."""
    point = folder / "m"  # short: the names of sockets below it end at 107 bytes
    point.mkdir()
    if not mount_memory(point, os.getpid()):
        return None
    (point / "registry").symlink_to(data)
    return point
