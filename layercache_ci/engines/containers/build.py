"""One build with Podman or Buildah: plan, restore, build, save, each as the pipeline calls for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from layercache_ci.ci.choice import choose
from layercache_ci.engines.containers import storage_conf
from layercache_ci.engines.containers.apart import are_mixed, demand_unseen
from layercache_ci.engines.containers.build_storage import BuildStorage
from layercache_ci.engines.containers.engine import Engine, detect, enter_user_namespace
from layercache_ci.engines.containers.manifest_list import add_to_list, without_list
from layercache_ci.engines.containers.part import Part, for_platform, without_layers
from layercache_ci.engines.containers.planning import make_plans, resolver_of
from layercache_ci.engines.containers.result import describe, push
from layercache_ci.engines.containers.storage import holds_more_than_images
from layercache_ci.engines.containers.whole import can_bring
from layercache_ci.engines.protocol import Saved
from layercache_ci.errors import CacheError, EngineError, InputError, PlanError
from layercache_ci.report.model import StageReport
from layercache_ci.settings import BuildSettings, Machine
from layercache_ci.store import Store

NO_SKOPEO: Final = "skopeo, which brings the result into the storage, is not on PATH; install it"
IN_USE: Final = (
    "the image is brought into the engine's own storage: it holds containers, volumes, secrets or networks, which "
    "later commands would not find from another one"
)


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
    parts: tuple[Part, ...] = field(init=False)
    """One for each platform; where nothing is planned, one for all."""
    _keeps: bool = field(init=False)
    """Whether the image stays on the restored layers."""
    _list: str | None = None
    """The manifest list that the results are added to; None where there is none, or where the engine sees to it."""

    def __post_init__(self) -> None:
        self._keeps = self.settings.keep_store and not holds_more_than_images(self.engine.graph_root)
        self._unplanned()

    def _unplanned(self) -> None:
        """The engine gets the build as it is. Of several platforms an old one would take the layers of one for those of
        another."""
        settings, self._list = self.settings, None
        if "," in (settings.platform or ""):
            settings = without_layers(settings)
        self.parts = (Part(settings, self.machine, self.engine, self.store, self.warnings),)

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
    def launched(self) -> float | None:
        """When the engine was started: monotonic, in seconds."""
        return self.parts[0].launched

    @property
    def bytes_restored(self) -> int:
        """Read from the store."""
        return sum(part.bytes_restored for part in self.parts)

    @property
    def image_id(self) -> str | None:
        """Of several platforms the last one's."""
        image = self.parts[-1].reader.final_image
        return None if image is None else f"sha256:{image}"

    @property
    def unpushed(self) -> tuple[Mapping[str, object], ...]:
        """How later commands push it is kept where the engine goes by that."""
        if self.settings.push or not self.saves:
            return ()
        return tuple(each for part in self.parts if (each := part.unpushed) is not None)

    @property
    def kept(self) -> tuple[Path, ...]:
        """The locks of the places that the image is in."""
        return tuple(part.place.lock for part in self.parts if part.place is not None) if self.later else ()

    def abandon(self, warning: str) -> None:
        """Forget about the cache: the engine gets the build as it is."""
        self.warnings.append(warning)
        for part in self.parts:
            part.abandon()
        self._unplanned()

    def begin(self) -> None:
        """Nothing takes longer than the planning."""

    def plan(self) -> None:
        """Work out stages, steps and keys; what can't be planned is built uncached, with one warning."""
        settings, listed = without_list(self.settings)
        try:
            plans = make_plans(settings, self.machine, self.engine, self.store)
            apart = are_mixed(plans, self.engine)
            if apart:
                users = BuildStorage(self.engine, self.machine, None)
                demand_unseen(plans, users.open(), resolver_of(settings, self.machine, self.engine))
        except (PlanError, InputError, CacheError) as error:
            self.warnings.append(f"built without the cache: {error}")
            return
        self._list = listed
        self.parts = tuple(
            Part(
                for_platform(settings, platform),
                self.machine,
                self.engine,
                self.store,
                self.warnings,
                plan=plan,
                platform=platform if len(plans) > 1 else "",
                apart=apart,
            )
            for platform, plan in plans.items()
        )
        self.warnings += dict.fromkeys(warning for plan in plans.values() for warning in plan.warnings)

    def restore(self) -> None:
        """Write what the store holds of this build into additional image stores, ready for the engine."""
        names = self.settings.tags or (() if self._list is None else (self._list,))
        for part in self.parts:
            part.tell_engine(names)
        try:
            for part in self._to_restore():
                part.restore()
        except (CacheError, OSError) as error:
            self._restore_nothing("nothing was restored", str(error))

    def preview(self) -> None:
        """What `restore` would choose, without reading a layer."""
        self._to_restore()

    def _to_restore(self) -> Sequence[Part]:
        """The parts that need a storage of their own, where there is a way to bring what is built there to where it
        belongs."""
        for part in self.parts:
            part.look_up()
        self.warnings[:] = dict.fromkeys(self.warnings)  # a fault of the store is one, however many parts ask it
        if self.store is None:
            return ()
        needing = [part for part in self.parts if part.needs_place()]
        if not needing or self._keeps or can_bring(self.machine.environment):
            return needing
        advice = "" if self.settings.keep_store else ", or build with --keep-store"
        self._restore_nothing("nothing was restored", f"{NO_SKOPEO}{advice}")
        return ()

    def _restore_nothing(self, what: str, why: str) -> None:
        self.warnings.append(f"{what}: {why}")
        for part in self.parts:
            part.restore_nothing(why)

    def run(self, sink: BinaryIO | None) -> int:
        """Run the engine, its output going to `sink` as it comes; its exit code. Where what was restored stands in the
        way of a build or of its result, it is built once more without."""
        try:
            for part in self.parts:
                part.configure()
        except (CacheError, OSError) as error:
            self._restore_nothing("nothing was restored", str(error))
        if not self._keeps:
            for part in self.parts:
                part.begin_carrying()
        code, fault = self._build(sink)
        if code == 0:
            fault = self._bring()
        if fault is not None:
            self._restore_nothing("built again without what was restored", fault)
            code, _ = self._build(sink)
        for part in self.parts:
            part.end_carrying()  # here: the process that saves may be another one
        return code

    def _build(self, sink: BinaryIO | None) -> tuple[int, str | None]:
        """Run the engine once for each part, up to the first that fails: the exit code, and what may have failed it
        other than the build itself."""
        for part in self.parts:
            code = part.build(sink)
            if code:
                return code, "the engine did not begin on it" if part.could_not_begin(code) else None
        return 0, None

    def _bring(self) -> str | None:
        """Make the results whole; where that can't be, the reason."""
        for part in self.parts:
            if fault := part.bring():
                return fault
        return None

    def finish(self) -> None:
        """Push the image, write down what it is, and what later commands need to find it."""
        images = [part.result() for part in self.parts]
        for part, image in zip(self.parts, images, strict=True):
            part.learn_of_pushes(image)
        self._keep()
        environment = {**self.machine.environment, **self.later}
        if self._list is not None:
            built = [(part.reader.final_image, part.settings.platform) for part in self.parts]
            add_to_list(self.engine, self._list, built, environment)
        digest = None if images[-1] is None else images[-1].digest
        if self.settings.push:
            digest = push(self.engine, self.settings, environment) or digest
        if self.image_id is not None:
            describe(self.image_id, digest, self.settings)

    def _keep(self) -> None:
        """What was built in storages of its own stays there, where that is asked for."""
        places = [part.place for part in self.parts if part.place is not None]
        if not (self.settings.keep_store and places):
            return
        if not self._keeps:
            self.notes.append(IN_USE)
            return
        *others, last = places
        if len(self.parts) > 1:
            try:
                BuildStorage(self.engine, self.machine, last).configure_for_all(others)
            except (CacheError, OSError) as error:
                raise EngineError(f"the images can't be shown in one storage: {error}") from error
        for part in self.parts:
            part.keep()
        self.later[storage_conf.VARIABLE] = str(last.configuration)
        self.notes.append(
            "the image is in a storage of its own, on the restored layers; later commands of this job need "
            f"{storage_conf.VARIABLE}={last.configuration}"
        )

    def close(self) -> None:
        """Take away what only the build needed, unless the result is to stay there."""
        for part in self.parts:
            part.discard()

    def stages(self) -> tuple[StageReport, ...]:
        """The stages of the report, empty where nothing could be planned."""
        found: list[StageReport] = []
        for part in self.parts:
            found += part.stages(first=len(found))
        return tuple(found)

    def save(self) -> Saved:
        """Ship the finished steps. Anything that goes wrong is a warning in the result."""
        if not self.saves:
            return Saved(complete=False)
        return Saved.of([part.save(pushed=self.settings.push) for part in self.parts])


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
