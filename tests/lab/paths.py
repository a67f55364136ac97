"""Where the lab lives: one folder, in the checkout unless LAYERCACHE_LAB names another."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[2]
USER: Final = "layercache-lab"
"""The ordinary user that runs rootless engines."""
LARGE: Final = "/var/tmp"
"""For what is large or must be seen by every user: engines' storages, images on their way."""


@dataclass(frozen=True, slots=True)
class LabPaths:
    """What the installer makes; every part of it may be removed and is made again."""

    folder: Path

    @classmethod
    def here(cls) -> LabPaths:
        return cls(Path(os.environ.get("LAYERCACHE_LAB") or CHECKOUT / ".lab").absolute())

    @property
    def sid(self) -> Path:
        """A Debian sid tree with its Podman, Buildah and Skopeo."""
        return self.folder / "sid"

    @property
    def bookworm(self) -> Path:
        """The Debian 12 tree that the base image is made of."""
        return self.folder / "bookworm"

    @property
    def registry(self) -> Path:
        """The data of a registry that holds the base images."""
        return self.folder / "registry"

    @property
    def docker(self) -> Path:
        """Debian sid's Docker, buildx and containerd, unpacked."""
        return self.folder / "docker"

    @property
    def buildkit(self) -> Path:
        """buildkitd and buildctl."""
        return self.folder / "buildkit"

    @property
    def builder_image(self) -> Path:
        """image.tar: moby/buildkit:buildx-stable-1 for `docker load`."""
        return self.folder / "builder-image"

    @property
    def bin(self) -> Path:
        """Programs that this machine lacked."""
        return self.folder / "bin"
