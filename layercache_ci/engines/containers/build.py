"""One build with Podman or Buildah: plan, restore, build, save, each as the pipeline calls for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import BinaryIO

from layercache_ci.ci.choice import choose
from layercache_ci.dockerfile.plan import Plan
from layercache_ci.engines.containers import pushed, storage_conf
from layercache_ci.engines.containers.engine import FAILED, Engine, detect, enter_user_namespace
from layercache_ci.engines.containers.image_store import write_image_store
from layercache_ci.engines.containers.outcome import Facts, stage_reports
from layercache_ci.engines.containers.output import OutputReader, SeenStep
from layercache_ci.engines.containers.planning import make_plan
from layercache_ci.engines.containers.predict import predict
from layercache_ci.engines.containers.restore import Selection, select
from layercache_ci.engines.containers.result import describe, push
from layercache_ci.engines.containers.save import Built, Saver
from layercache_ci.engines.containers.storage import Storage, StoredImage
from layercache_ci.engines.containers.whole import Carrier, can_bring
from layercache_ci.engines.lookup import Lookup, look_up
from layercache_ci.engines.process import launch
from layercache_ci.engines.protocol import Saved
from layercache_ci.engines.scratch import Place, new_place
from layercache_ci.errors import CacheError, EngineError, InputError, PlanError
from layercache_ci.report.model import Prediction, Reason, StageReport
from layercache_ci.settings import BuildSettings, Machine
from layercache_ci.store import Store
from layercache_ci.store.model import Step


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
    selection: Selection = field(default_factory=Selection)
    bytes_restored: int = 0
    launched: float | None = None
    place: Place | None = None
    """Where the restored layers are; None where nothing was restored."""
    reader: OutputReader = field(default_factory=lambda: OutputReader(time.monotonic))
    _interrupted: bool = False
    """Whether somebody asked the engine to end."""
    _carrier: Carrier | None = None
    """How the result gets into the user's storage; None where it is there, or is to stay where it is."""
    _lookup: Lookup = field(default_factory=Lookup)
    _lost: dict[str, Reason] = field(default_factory=dict)
    _left: Mapping[str, Step] = field(default_factory=dict)
    """What the store holds as it should and was not used all the same: links by key."""
    _predictions: dict[int, list[Prediction]] = field(default_factory=dict)
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
        self.plan_made, self.selection, self._predictions = None, Selection(), {}
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
        self._predict()

    def _is_to_restore(self) -> bool:
        """Whether there is anything, and a way to bring what is built on it to where it belongs."""
        if not self.selection.images or self._all_there():
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
        return all(own.has_image(image.image.id) for image in self.selection.images)

    def preview(self) -> None:
        """What `restore` would choose, without reading a layer."""
        self._look_up()
        self._is_to_restore()
        self._predict()

    def _look_up(self) -> None:
        if self.plan_made is None or self.store is None:
            return
        self._lookup = look_up(self.plan_made, self.store)
        self.warnings += self._lookup.warnings
        if not self.settings.no_cache:
            self.selection = select(self.plan_made, self._lookup)

    def _predict(self) -> None:
        plan = self.plan_made
        if plan is None:
            return
        depths = {index: self.selection.depth(plan.chain(index)) for index in plan.stages}
        self._predictions = predict(plan, depths, self.selection.offered, version=self.engine.buildah_minor)

    def _write(self, store: Store) -> None:
        try:
            place = new_place(self.machine.scratch)
            restored = write_image_store(
                place.image_store,
                self.selection.images,
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
            self._lose(self.selection.without(restored.damaged), "; ".join(restored.damaged.values()))

    def _lose(self, kept: Selection, why: str) -> None:
        self._lost = {key: Reason("damaged", why) for key in self.selection.links.keys() - kept.links.keys()}
        self.selection = kept

    def _restore_nothing(self, what: str, why: str) -> None:
        """After all. The store is not to blame, and what it holds is not saved again."""
        self.warnings.append(f"{what}: {why}")
        self._lost |= {key: Reason("not-restored", why) for key in self.selection.links}
        self._left, self.selection = self.selection.links, Selection()
        self._predict()
        self._end_carrying()
        if self.place is not None:
            self.place.remove()  # at once: the disk may be full
            self.place = None

    def run(self, sink: BinaryIO | None) -> int:
        """Run the engine, its output going to `sink` as it comes; its exit code. Where what was restored stands in the
        way of a build or of its result, it is built once more without."""
        if self.place is not None:
            try:
                self._configure(self.place)
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
        running = launch(command, self._environment())
        code = running.follow(on_line=self.reader.feed, sink=sink)
        self._interrupted = running.interrupted != 0
        return code

    def _configure(self, place: Place) -> None:
        """The storage of a build on restored layers is its own: in the user's, its image would break every command
        there once the image store is gone."""
        (place.root / "tmp").mkdir(parents=True)
        users = Storage(self.engine.graph_root)
        stores = [place.image_store, *([self.engine.graph_root] if users.has_images else [])]
        found = storage_conf.effective(self.machine.environment, rootless=self.machine.rootless)
        configuration = storage_conf.for_build(
            found, driver=self.engine.driver, root=place.root, stores=stores, rootless=self.machine.rootless
        )
        place.configuration.write_text(storage_conf.dump(configuration))

    def _environment(self) -> dict[str, str]:
        """What the build, and what comes after it on its storage, runs with."""
        environment = dict(self.machine.environment)
        if self.place is not None:
            environment[storage_conf.VARIABLE] = str(self.place.configuration)
        return environment

    def _begin_carrying(self, place: Place) -> Carrier:
        """The user's storage gets the lower layers while the engine builds."""
        carrier, plan = Carrier(self.engine, self.machine.environment, place.root), self.plan_made
        image = None if plan is None else self.selection.deepest(plan.chain(plan.target))
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
            self._carrier.bring(self.storage.image(name), self.storage, self.settings.tags)
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

    @property
    def storage(self) -> Storage:
        """The storage that the engine built in. Raises CacheError where it can't be read."""
        if self.place is None:
            return Storage(self.engine.graph_root)
        return Storage(self.place.root / "root", (self.place.image_store, self.engine.graph_root))

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
            return None if name is None else self.storage.image(name)
        except CacheError:
            return None

    def _later_environment(self) -> dict[str, str]:
        """What later commands of the job run with."""
        return self._environment() if self.settings.keep_store else dict(self.machine.environment)

    def close(self) -> None:
        """Take away what only the build needed, unless the result is to stay there."""
        self._end_carrying()
        if self.place is not None and not self.settings.keep_store:
            self.place.discard()

    @property
    def seen(self) -> dict[int, list[SeenStep]]:
        """The engine's steps by the index of their stage in the Dockerfile."""
        found: dict[int, list[SeenStep]] = {}
        for step in self.reader.steps:
            found.setdefault(step.stage - 1, []).append(step)
        return found

    def stages(self) -> tuple[StageReport, ...]:
        """The stages of the report, empty where nothing could be planned."""
        if self.plan_made is None:
            return ()
        predictions = self._predictions or {
            index: ["miss"] * len(stage.steps) for index, stage in self.plan_made.stages.items()
        }
        ignored = None
        if self.settings.no_cache:
            ignored = Reason("no-cache", "--no-cache was given")
        elif self.store is None:
            ignored = Reason("no-store", "the store could not be used")
        return stage_reports(
            Facts(
                self.plan_made,
                self.selection,
                predictions,
                self._lookup.newest,
                self.seen,
                lost=self._lost,
                restored=self.place is not None,
                ignored=ignored,
            )
        )

    def save(self) -> Saved:
        """Ship the finished steps. Anything that goes wrong is a warning in the result."""
        plan, store = self.plan_made, self.store
        if plan is None or store is None or not self.saves:
            return Saved(complete=False)
        built, missed = self._built(plan)
        try:
            links = {**self._left, **self.selection.links}
            saver = Saver(plan, self.storage, store, links, self._lookup, self.machine.cpus)
            saved = saver.save(built, missed - self._left.keys())
        except CacheError as error:
            return Saved(complete=False, warnings=(f"not saved: {error}",))
        if self._pushes is not None and self.settings.push:
            saved = self._pushes.keep(saved)
        return self._lookup.keep(store, saved)

    def _built(self, plan: Plan) -> tuple[list[Built], frozenset[str]]:
        built: list[Built] = []
        missed: set[str] = set()
        for index, steps in self.seen.items():
            stage = plan.stages.get(index)
            if stage is None:
                continue
            own = tuple(step for step in steps if step.number > 1)
            built.append(Built(index, own))
            missed |= {planned.key for planned, step in zip(stage.steps, own, strict=False) if not step.hit}
        return built, frozenset(missed)


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
