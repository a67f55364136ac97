"""One platform of a build: its plan, what the store holds of it, and the engine's run for it. A build for several has a
part for each, which run one after the other, and each in a storage of its own where anything was restored for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import BinaryIO

from layercache_ci.dockerfile.plan import Plan
from layercache_ci.engines.containers import pushed
from layercache_ci.engines.containers.build_storage import BuildStorage
from layercache_ci.engines.containers.engine import FAILED, Engine
from layercache_ci.engines.containers.image_store import write_image_store
from layercache_ci.engines.containers.offer import Offer, make_offer
from layercache_ci.engines.containers.outcome import Facts, stage_reports
from layercache_ci.engines.containers.output import OutputReader
from layercache_ci.engines.containers.save import Saver, built_of
from layercache_ci.engines.containers.storage import StoredImage
from layercache_ci.engines.containers.whole import Carrier
from layercache_ci.engines.outlines import of_platform
from layercache_ci.engines.process import launch
from layercache_ci.engines.protocol import Saved
from layercache_ci.engines.reasons import unasked
from layercache_ci.engines.scratch import Place, new_place
from layercache_ci.errors import CacheError, EngineError
from layercache_ci.report.model import Reason, StageReport
from layercache_ci.settings import BuildSettings, Machine
from layercache_ci.store import Store

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Part:
    """`settings` are the build's, for this part alone; `platform` is what it is for where it is one of several, else
    empty. What the cache can't do is added to `warnings`, which are the build's."""

    settings: BuildSettings
    machine: Machine
    engine: Engine
    store: Store | None
    warnings: list[str]
    plan: Plan | None = None
    """None where it is built as it is."""
    platform: str = ""
    apart: bool = False
    """Whether it is never built where an image of another part is: the engine would take that for its own."""
    place: Place | None = None
    """Where the restored layers are; None where it is built in the user's storage."""
    kept: bool = False
    """Whether the result is to stay there."""
    bytes_restored: int = 0
    launched: float | None = None
    interrupted: bool = False
    """Whether somebody asked the engine to end."""
    offer: Offer = field(default_factory=Offer)
    reader: OutputReader = field(default_factory=lambda: OutputReader(time.monotonic))
    pushes: pushed.Pushes | None = None
    """What the engine knows of the image in its registry; None where that is not kept."""
    _names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """As the Saver's."""
    _carrier: Carrier | None = None
    """How the result gets into the user's storage; None where it is there, or is to stay where it is."""

    def abandon(self) -> None:
        """Forget about the cache."""
        self.plan, self.offer = None, Offer()
        self._give_up_place()

    def look_up(self) -> None:
        """What the store holds of it, in the `offer`."""
        if self.plan is None or self.store is None:
            return
        self.offer = make_offer(self.plan, self.store, self.warnings, no_cache=self.settings.no_cache)

    def needs_place(self) -> bool:
        """Whether it is to be built in a storage of its own."""
        return self.plan is not None and (self.apart or not self._all_there())

    def _all_there(self) -> bool:
        """Whether nothing is to be restored, or the engine kept its storage and has all of it. Where one image is
        missing all are restored: the engine takes the first that fits, and must not mix two lineages."""
        images = self.offer.selection.images
        try:
            own = self.where.open() if images else None
        except CacheError as error:
            self.warnings.append(str(error))
            return False
        return own is None or all(own.has_image(image.image.id) for image in images)

    def tell_engine(self, names: Sequence[str]) -> None:
        """How the layers of earlier results of these names were pushed, beside all else."""
        if self.plan is not None and self.store is not None and self.engine.buildah_minor >= pushed.SINCE:
            self.pushes = pushed.begin(self.plan, self.store, names, self.machine)

    def restore(self) -> None:
        """Write what is offered into an additional image store, ready for the engine, though that may be nothing.
        Raises CacheError and OSError."""
        if self.store is None:
            return
        self.place = new_place(self.machine.scratch)
        restored = write_image_store(
            self.place.image_store,
            self.offer.selection.images,
            self.store,
            workers=self.machine.cpus,
            rootless=self.machine.rootless,
        )
        self.bytes_restored = restored.bytes_read
        for diff_id, why in restored.damaged.items():
            self.warnings.append(f"layer {diff_id[:19]} was not restored: {why}")
        if restored.damaged:
            self.offer = self.offer.without(restored.damaged)

    def restore_nothing(self, why: str) -> None:
        """What was offered is not used after all."""
        self.offer = self.offer.withdrawn(why)
        self.end_carrying()
        self._give_up_place()

    def _give_up_place(self) -> None:
        if self.place is not None:
            self.place.remove()  # at once: the disk may be full
            self.place = None

    def configure(self) -> None:
        """Write down where it is built. Raises CacheError and OSError."""
        self.where.configure()

    def build(self, sink: BinaryIO | None) -> int:
        """Run the engine, its output going to `sink` as it comes; its exit code. In the user's storage what is to be
        built apart keeps no layers."""
        if sink is not None and self.platform:
            sink.write(f"[{self.platform}]\n".encode())
            sink.flush()
        self.reader = OutputReader(time.monotonic)
        mixed = self.apart and self.place is None
        command = self.engine.build_command(without_layers(self.settings) if mixed else self.settings)
        self.launched = self.launched or time.monotonic()
        running = launch(command, self.where.environment)
        code = running.follow(on_line=self.reader.feed, sink=sink)
        self.interrupted = running.interrupted != 0
        self._remember_names()
        return code

    def _remember_names(self) -> None:
        """Of what it was built on: the next platform's image of that name takes it over in the same storage."""
        if self.plan is None or not self.platform:
            return
        try:
            storage = self.where.open()
            bases = [image.identity for image in self.plan.base_images if storage.has_image(image.identity)]
            self._names = {identity: storage.image(identity).names for identity in bases}
        except CacheError as error:
            log.warning("%s", error)

    def could_not_begin(self, code: int) -> bool:
        """Whether what was restored may be what stood in the way of a run that ended with this exit code."""
        return self.place is not None and code == FAILED and not (self.reader.steps or self.interrupted)

    @property
    def where(self) -> BuildStorage:
        """The storage that it is built in."""
        return BuildStorage(self.engine, self.machine, self.place, self.apart)

    def begin_carrying(self) -> None:
        """The user's storage gets the lower layers while the engine builds."""
        if self.place is None:
            return
        self._carrier = Carrier(self.engine, self.machine.environment, self.place.root)
        image = None if self.plan is None else self.offer.selection.deepest(self.plan.chain(self.plan.target))
        try:
            if image is not None and self.store is not None:
                self._carrier.begin(image, self.store)
        except (CacheError, OSError) as error:
            self.warnings.append(f"the restored layers are brought after the build: {error}")

    def bring(self) -> str | None:
        """Make the result whole; where that can't be, the reason."""
        name = self.reader.final_image
        if self._carrier is None or name is None:
            return None
        try:
            storage = self.where.open()
            self._carrier.bring(storage.image(name), storage, self.settings.tags)
        except Exception as error:  # noqa: BLE001 - whatever it is, the engine can do without us
            return f"the result could not be brought into the storage: {str(error) or type(error).__name__}"
        return None

    def end_carrying(self) -> None:
        """The result is there, or will not come by this."""
        carrier, self._carrier = self._carrier, None
        try:
            if carrier is not None:
                carrier.end()
        except EngineError as error:
            self.warnings.append(f"an image without a name stays in the storage: {error}")

    def result(self) -> StoredImage | None:
        """The image that the engine said it ended with; None where it said none, or where it can't be read."""
        name = self.reader.final_image
        try:
            return None if name is None else self.where.open().image(name)
        except CacheError:
            return None

    def learn_of_pushes(self, image: StoredImage | None) -> None:
        """The engine has been told how the layers of earlier results were pushed; `image` is this one."""
        if self.pushes is not None:
            self.warnings += self.pushes.told()
            self.pushes.layers = () if image is None else image.diff_ids

    @property
    def unpushed(self) -> Mapping[str, object] | None:
        """As protocol.Build's; None where nothing of it is to be kept."""
        pushes = self.pushes
        return None if pushes is None or not pushes.layers else {**asdict(pushes.pushed), "layers": pushes.layers}

    def stages(self, *, first: int) -> tuple[StageReport, ...]:
        """The stages of the report, numbered from `first`; empty where nothing could be planned."""
        plan, offer = self.plan, self.offer
        if plan is None:
            return ()
        ignored = unasked(self.settings)
        if ignored is None and self.store is None:
            ignored = Reason("no-store", "the store could not be used")
        found = stage_reports(
            Facts(
                plan,
                offer.selection,
                offer.predictions(plan, version=self.engine.buildah_minor),
                offer.lookup.newest,
                self.reader.by_stage,
                lost=offer.lost,
                restored=self.place is not None,
                ignored=ignored,
            )
        )
        return of_platform(found, self.platform, first=first) if self.platform else found

    def save(self, *, pushed: bool) -> Saved:
        """Ship the finished steps, and what a push found out. Anything that goes wrong is a warning in the result."""
        plan, store, offer = self.plan, self.store, self.offer
        if plan is None or store is None:
            return Saved(complete=False)
        built, missed = built_of(plan, self.reader.by_stage)
        try:
            saver = Saver(plan, self.where.open(), store, offer.links, offer.lookup, self.machine.cpus, self._names)
            saved = saver.save(built, missed - offer.left.keys())
        except CacheError as error:
            return Saved.failed(error)
        if self.pushes is not None and pushed:
            saved = self.pushes.keep(saved)
        return offer.lookup.keep(store, saved)

    def keep(self) -> None:
        """The result stays where it was built."""
        if self.place is not None:
            self.place.keep()
            self.kept = True

    def discard(self) -> None:
        """Take away what only the build needed."""
        self.end_carrying()
        if self.place is not None and not self.kept:
            self.place.discard()


def for_platform(settings: BuildSettings, platform: str) -> BuildSettings:
    """Those of one of several platforms; the settings themselves where it has no name."""
    return replace(settings, platform=platform) if platform else settings


def without_layers(settings: BuildSettings) -> BuildSettings:
    """The same build with no image kept of each step, none of which is a hit then."""
    return replace(settings, engine_options=(*settings.engine_options, "--layers=false"))
