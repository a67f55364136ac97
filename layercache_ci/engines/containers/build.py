"""One build with Podman or Buildah: plan, restore, build, save, each as the pipeline calls for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import BinaryIO

from layercache_ci.ci.choice import choose
from layercache_ci.dockerfile.plan import Plan
from layercache_ci.engines.containers import pushed, storage_conf
from layercache_ci.engines.containers.build_storage import BuildStorage
from layercache_ci.engines.containers.engine import FAILED, Engine, detect, enter_user_namespace
from layercache_ci.engines.containers.image_store import write_image_store
from layercache_ci.engines.containers.offer import Offer, make_offer
from layercache_ci.engines.containers.outcome import Facts, stage_reports
from layercache_ci.engines.containers.output import OutputReader
from layercache_ci.engines.containers.planning import make_plan
from layercache_ci.engines.containers.result import describe, push
from layercache_ci.engines.containers.save import Saver, built_of
from layercache_ci.engines.containers.storage import Storage, StoredImage
from layercache_ci.engines.containers.whole import Carrier, can_bring
from layercache_ci.engines.process import launch
from layercache_ci.engines.protocol import Saved
from layercache_ci.engines.scratch import Place, new_place
from layercache_ci.errors import CacheError, EngineError, InputError, PlanError
from layercache_ci.report.model import Reason, StageReport
from layercache_ci.settings import BuildSettings, Machine
from layercache_ci.store import Store


@dataclass(slots=True)
class Build:
    """The state of one build. Nothing here raises a CacheError: what the cache can't do becomes a warning."""

    settings: BuildSettings
    machine: Machine
    engine: Engine
    store: Store | None
    saves: bool = True
    """Whether it may write into the store."""
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    later: dict[str, str] = field(default_factory=dict)
    plan_made: Plan | None = None
    bytes_restored: int = 0
    launched: float | None = None
    place: Place | None = None
    """Where the restored layers are; None where nothing was restored."""
    reader: OutputReader = field(default_factory=lambda: OutputReader(time.monotonic))
    _interrupted: bool = False
    """Whether somebody asked the engine to end."""
    _carrier: Carrier | None = None
    """How the result gets into the user's storage; None where it is there, or is to stay where it is."""
    _offer: Offer = field(default_factory=Offer)
    _pushes: pushed.Pushes | None = None
    """What the engine knows of the image in its registry; None where that is not kept."""

    @property
    def engine_name(self) -> str:
        return self.engine.name

    @property
    def engine_version(self) -> str:
        return self.engine.version

    @property
    def transport(self) -> str:
        return "image store"

    @property
    def image_id(self) -> str | None:
        return None if self.reader.final_image is None else f"sha256:{self.reader.final_image}"

    def abandon(self, warning: str) -> None:
        """Forget about the cache: the engine gets the build as it is."""
        self.warnings.append(warning)
        self.plan_made, self._offer = None, Offer()
        if self.place is not None:
            self.place.remove()
            self.place = None

    def begin(self) -> None:
        """Nothing takes longer than the planning."""

    def plan(self) -> None:
        """Work out stages, steps and keys; what can't be planned is built uncached, with one warning."""
        try:
            self.plan_made = make_plan(self.settings, self.machine, self.engine, self.store)
        except (PlanError, InputError) as error:
            self.warnings.append(f"built without the cache: {error}")
            return
        self.warnings += self.plan_made.warnings

    def restore(self) -> None:
        """Write what the store holds of this build into an additional image store, ready for the engine."""
        plan, store = self.plan_made, self.store
        if plan is not None and store is not None and self.engine.buildah_minor >= pushed.SINCE:
            self._pushes = pushed.begin(plan, store, self.settings, self.machine)
        self._look_up()
        if store is not None and self._is_to_restore():
            self._write(store)

    def _is_to_restore(self) -> bool:
        """Whether there is anything, and a way to bring what is built on it to where it belongs."""
        if not self._offer.selection.images or self._all_there():
            return False
        if self.settings.keep_store or can_bring(self.machine.environment):
            return True
        self._restore_nothing(
            "nothing was restored",
            "skopeo, which brings the result into the storage, is not on PATH; install it, or build with --keep-store",
        )
        return False

    def _all_there(self) -> bool:
        """Whether the engine kept its storage, and has all the images itself. Where one is missing all are restored:
        the engine takes the first image that fits, and must not mix two lineages."""
        try:
            own = Storage(self.engine.graph_root)
        except CacheError as error:
            self.warnings.append(str(error))
            return False
        return all(own.has_image(image.image.id) for image in self._offer.selection.images)

    def preview(self) -> None:
        """What `restore` would choose, without reading a layer."""
        self._look_up()
        self._is_to_restore()

    def _look_up(self) -> None:
        if self.plan_made is not None and self.store is not None:
            self._offer = make_offer(self.plan_made, self.store, self.warnings, no_cache=self.settings.no_cache)

    def _write(self, store: Store) -> None:
        try:
            place = new_place(self.machine.scratch)
            restored = write_image_store(
                place.image_store,
                self._offer.selection.images,
                store,
                workers=self.machine.cpus,
                rootless=self.machine.rootless,
            )
        except (CacheError, OSError) as error:
            self._restore_nothing("nothing was restored", str(error))
            return
        self.place = place
        self.bytes_restored = restored.bytes_read
        for diff_id, why in restored.damaged.items():
            self.warnings.append(f"layer {diff_id[:19]} was not restored: {why}")
        if restored.damaged:
            self._offer = self._offer.without(restored.damaged)

    def _restore_nothing(self, what: str, why: str) -> None:
        self.warnings.append(f"{what}: {why}")
        self._offer = self._offer.withdrawn(why)
        self._end_carrying()
        if self.place is not None:
            self.place.remove()  # at once: the disk may be full
            self.place = None

    def run(self, sink: BinaryIO | None) -> int:
        """Run the engine, its output going to `sink` as it comes; its exit code. Where what was restored stands in the
        way of a build or of its result, it is built once more without."""
        try:
            self._where.configure()
        except (CacheError, OSError) as error:
            self._restore_nothing("nothing was restored", str(error))
        if self.place is not None and not self.settings.keep_store:
            self._carrier = self._begin_carrying(self.place)
        code = self._build(sink)
        fault = self._bring() if code == 0 else None
        if self.place is not None and code == FAILED and not (self.reader.steps or self._interrupted):
            fault = "the engine did not begin on it"
        if fault is not None:
            self._restore_nothing("built again without what was restored", fault)
            code = self._build(sink)
        self._end_carrying()  # here: the process that saves may be another one
        return code

    def _build(self, sink: BinaryIO | None) -> int:
        """Run the engine once."""
        self.reader = OutputReader(time.monotonic)
        command = self.engine.build_command(self.settings)
        self.launched = self.launched or time.monotonic()
        running = launch(command, self._where.environment)
        code = running.follow(on_line=self.reader.feed, sink=sink)
        self._interrupted = running.interrupted != 0
        return code

    @property
    def _where(self) -> BuildStorage:
        return BuildStorage(self.engine, self.machine, self.place)

    def _begin_carrying(self, place: Place) -> Carrier:
        """The user's storage gets the lower layers while the engine builds."""
        carrier, plan = Carrier(self.engine, self.machine.environment, place.root), self.plan_made
        image = None if plan is None else self._offer.selection.deepest(plan.chain(plan.target))
        try:
            if image is not None and self.store is not None:
                carrier.begin(image, self.store)
        except (CacheError, OSError) as error:
            self.warnings.append(f"the restored layers are brought after the build: {error}")
        return carrier

    def _bring(self) -> str | None:
        """Make the result whole; where that can't be, the reason."""
        name = self.reader.final_image
        if self._carrier is None or name is None:
            return None
        try:
            storage = self._where.open()
            self._carrier.bring(storage.image(name), storage, self.settings.tags)
        except Exception as error:  # noqa: BLE001 - whatever it is, the engine can do without us
            return f"the result could not be brought into the storage: {str(error) or type(error).__name__}"
        return None

    def _end_carrying(self) -> None:
        carrier, self._carrier = self._carrier, None
        try:
            if carrier is not None:
                carrier.end()
        except EngineError as error:
            self.warnings.append(f"an image without a name stays in the storage: {error}")

    def finish(self) -> None:
        """Push the image, write down what it is."""
        settings, image = self.settings, self._result()
        digest = None if image is None else image.digest
        if self._pushes is not None:
            self.warnings += self._pushes.told()
            self._pushes.layers = () if image is None else image.diff_ids
        if settings.push:
            digest = push(self.engine, settings, self._later_environment()) or digest
        if self.image_id is not None:
            describe(self.image_id, digest, settings)
        if settings.keep_store and self.place is not None:
            self.place.keep()
            self.later[storage_conf.VARIABLE] = str(self.place.configuration)
            self.notes.append(
                "the image is in a storage of its own, on the restored layers; later commands of this job need "
                f"{storage_conf.VARIABLE}={self.place.configuration}"
            )

    @property
    def unpushed(self) -> Mapping[str, object]:
        """How later commands push it is kept where the engine goes by that."""
        pushes = self._pushes
        if pushes is None or self.settings.push or not (self.saves and pushes.layers):
            return {}
        return {**asdict(pushes.pushed), "layers": pushes.layers}

    def _result(self) -> StoredImage | None:
        """The image that the engine said it ended with; None where it said none, or where it can't be read."""
        name = self.reader.final_image
        try:
            return None if name is None else self._where.open().image(name)
        except CacheError:
            return None

    def _later_environment(self) -> dict[str, str]:
        """What later commands of the job run with."""
        return self._where.environment if self.settings.keep_store else dict(self.machine.environment)

    def close(self) -> None:
        """Take away what only the build needed, unless the result is to stay there."""
        self._end_carrying()
        if self.place is not None and not self.settings.keep_store:
            self.place.discard()

    def stages(self) -> tuple[StageReport, ...]:
        """The stages of the report, empty where nothing could be planned."""
        plan, offer = self.plan_made, self._offer
        if plan is None:
            return ()
        ignored = None
        if self.settings.no_cache:
            ignored = Reason("no-cache", "--no-cache was given")
        elif self.store is None:
            ignored = Reason("no-store", "the store could not be used")
        return stage_reports(
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

    def save(self) -> Saved:
        """Ship the finished steps. Anything that goes wrong is a warning in the result."""
        plan, store, offer = self.plan_made, self.store, self._offer
        if plan is None or store is None or not self.saves:
            return Saved(complete=False)
        built, missed = built_of(plan, self.reader.by_stage)
        try:
            saver = Saver(plan, self._where.open(), store, offer.links, offer.lookup, self.machine.cpus)
            saved = saver.save(built, missed - offer.left.keys())
        except CacheError as error:
            return Saved(complete=False, warnings=(f"not saved: {error}",))
        if self._pushes is not None and self.settings.push:
            saved = self._pushes.keep(saved)
        return offer.lookup.keep(store, saved)


def prepare(settings: BuildSettings, machine: Machine) -> Build:
    """The engine is found and asked, the store opened. For an ordinary user the program starts anew inside the user
    namespace in which the engine keeps its files. Raises InputError."""
    reason = enter_user_namespace(settings.engine, machine)
    engine = detect(settings.engine, machine)
    chosen = choose(settings, machine)
    warnings = [*chosen.policy.warnings, *([] if reason is None else [reason])]
    store = chosen.open(machine.environment, warnings.append) if reason is None else None
    saves = chosen.store.write is not None
    return Build(settings, machine, engine, store, saves, warnings=warnings, notes=chosen.notes)
