"""The storage that a build is made in.

That of a build on restored layers is its own: in the user's, its image would break every command there once the image
store is gone.
"""

from __future__ import annotations

from dataclasses import dataclass

from layercache_ci.engines.containers import storage_conf
from layercache_ci.engines.containers.engine import Engine
from layercache_ci.engines.containers.storage import Storage
from layercache_ci.engines.scratch import Place
from layercache_ci.settings import Machine


@dataclass(frozen=True, slots=True)
class BuildStorage:
    """`place` is where the restored layers are; None where nothing was restored, and the storage is the user's."""

    engine: Engine
    machine: Machine
    place: Place | None

    def configure(self) -> None:
        """Write down where it is. Raises CacheError and OSError."""
        place = self.place
        if place is None:
            return
        (place.root / "tmp").mkdir(parents=True)
        users = Storage(self.engine.graph_root)
        stores = [place.image_store, *([self.engine.graph_root] if users.has_images else [])]
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
