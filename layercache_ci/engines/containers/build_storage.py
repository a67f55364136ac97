"""The storage that a build is made in.

That of a build on restored layers is its own: in the user's, its image would break every command there once the image
store is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
        self._write(place, [place.image_store, *([] if self.apart else self._users())])

    def configure_for_all(self, others: Sequence[BuildStorage]) -> Path:
        """Write down how later commands find what was built here and in `others`, each of which has a place; the file.
        Raises CacheError and OSError."""
        place, *places = (each.place for each in (self, *others) if each.place is not None)
        stores = [store for other in places for store in (other.root / "root", other.image_store)]
        self._write(place, [place.image_store, *stores, *self._users()])
        return place.configuration

    def _users(self) -> list[Path]:
        return [self.engine.graph_root] if Storage(self.engine.graph_root).has_images else []

    def _write(self, place: Place, stores: Sequence[Path]) -> None:
        found = storage_conf.effective(self.machine.environment, rootless=self.machine.rootless)
        configuration = storage_conf.for_build(
            found, driver=self.engine.driver, root=place.root, stores=stores, rootless=self.machine.rootless
        )
        place.configuration.write_text(storage_conf.dump(configuration))

    @property
    def environment(self) -> dict[str, str]:
        """What the build, and what comes after it on this storage, runs with."""
        environment = dict(self.machine.environment)
        if self.place is not None:
            environment[storage_conf.VARIABLE] = str(self.place.configuration)
        return environment

    def open(self) -> Storage:
        """What the engine built there. Raises CacheError where it can't be read."""
        if self.place is None:
            return Storage(self.engine.graph_root)
        return Storage(self.place.root / "root", (self.place.image_store, self.engine.graph_root))
