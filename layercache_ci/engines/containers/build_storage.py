"""The storage that a build is made in.

That of a build on restored layers is its own: in the user's, its image would break every command there once the image
store is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layercache_ci.engines.containers import storage_conf
from layercache_ci.engines.containers.engine import Engine
from layercache_ci.engines.containers.storage import Storage
from layercache_ci.engines.scratch import Place
from layercache_ci.settings import Machine


@dataclass(frozen=True, slots=True)
class BuildStorage:
    """`place` is where the restored layers are; None where nothing was restored, and the storage is the user's. What is
    built `apart` does not see the user's images."""

    engine: Engine
    machine: Machine
    place: Place | None
    apart: bool = False

    def configure(self) -> None:
        """Write down where it is. Raises CacheError and OSError."""
        place = self.place
        if place is None:
            return
        (place.root / "tmp").mkdir(parents=True)
        self._write(place, [place.image_store, *([] if self.apart else self._users())], alone=self.apart)

    def configure_for_all(self, others: Iterable[Place]) -> None:
        """Write down how later commands find what was built here, at `others` and in the user's storage. Raises
        CacheError and OSError."""
        if self.place is not None:
            stores = [store for other in others for store in (other.root / "root", other.image_store)]
            self._write(self.place, [self.place.image_store, *stores, *self._users()])

    def _users(self) -> list[Path]:
        return [self.engine.graph_root] if Storage(self.engine.graph_root).has_images else []

    def _write(self, place: Place, stores: Sequence[Path], *, alone: bool = False) -> None:
        configuration = storage_conf.for_build(
            self._effective(),
            driver=self.engine.driver,
            root=place.root,
            stores=stores,
            rootless=self.machine.rootless,
            alone=alone,
        )
        place.configuration.write_text(storage_conf.dump(configuration))

    def _effective(self) -> dict[str, Any]:
        return storage_conf.effective(self.machine.environment, rootless=self.machine.rootless)

    @property
    def environment(self) -> dict[str, str]:
        """What the build, and what comes after it on this storage, runs with."""
        environment = dict(self.machine.environment)
        if self.place is not None:
            environment[storage_conf.VARIABLE] = str(self.place.configuration)
        return environment

    def open(self) -> Storage:
        """What the engine built there, and what it reads from: the user's may do so, too, as after a build of the same
        job. Raises CacheError where it can't be read."""
        users = (self.engine.graph_root, *storage_conf.image_stores(self._effective()))
        if self.place is None:
            return Storage(users[0], users[1:])
        return Storage(self.place.root / "root", (self.place.image_store, *users))
