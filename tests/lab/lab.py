"""What a test run has of the lab: emptied engines, and a registry of its own that holds the base images."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.engines import KINDS, Engine, make_engine
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

    def scratch(self, prefix: str = "scratch-") -> Path:
        """A new folder that every engine of the lab sees at the same path."""
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self.folder))
        folder.chmod(0o755)
        return folder


@contextlib.contextmanager
def open_lab() -> Iterator[Lab]:
    """The lab for one run. Raises RuntimeError when it is not installed."""
    paths = LabPaths.here()
    if not paths.registry.is_dir():
        raise RuntimeError(f"the lab is not in {paths.folder}: make lab sets it up")
    folder = Path(tempfile.mkdtemp(prefix="layercache-lab-", dir=LARGE))
    folder.chmod(0o755)
    try:
        data = folder / "registry"
        copy_data(paths.registry, data)
        with serve(data, folder) as address:
            yield Lab(paths, folder, address)
    finally:
        clear(folder)
