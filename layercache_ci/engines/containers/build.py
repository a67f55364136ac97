"""One build with Podman or Buildah: plan, restore, build, save, each as the pipeline calls for it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from layercache_ci.dockerfile.context import open_context
from layercache_ci.dockerfile.parser import parse
from layercache_ci.dockerfile.plan import BaseImage, Plan, digest
from layercache_ci.dockerfile.planner import Planner, Request
from layercache_ci.dockerfile.platform import host_platform, normalize, platform_args
from layercache_ci.dockerfile.treehash import StatCache
from layercache_ci.engines.containers import storage_conf
from layercache_ci.engines.containers.engine import Engine, detect
from layercache_ci.engines.containers.image_store import write_image_store
from layercache_ci.engines.containers.images import Resolver, base_image
from layercache_ci.engines.containers.outcome import Facts, stage_reports
from layercache_ci.engines.containers.output import OutputReader, SeenStep
from layercache_ci.engines.containers.predict import predict
from layercache_ci.engines.containers.restore import IMAGE, Lookup, Selection, look_up, select
from layercache_ci.engines.containers.save import Built, Saver
from layercache_ci.engines.containers.storage import Storage, StoredImage
from layercache_ci.engines.process import stream
from layercache_ci.engines.protocol import Saved
from layercache_ci.errors import CacheError, InputError, PlanError
from layercache_ci.report.model import Prediction, Reason, StageReport
from layercache_ci.settings import BuildSettings, Machine
from layercache_ci.store import open_store
from layercache_ci.store.model import Scopes, Store

PLATFORM_ARGS_SINCE: Final = (1, 29)
LABELS_EACH_UNTIL: Final = (1, 39)
HEREDOCS_SINCE: Final = (1, 33)


@dataclass(slots=True)
class Build:
    """The state of one build. Nothing here raises a CacheError: what the cache can't do becomes a warning."""

    settings: BuildSettings
    machine: Machine
    engine: Engine
    store: Store | None
    warnings: list[str] = field(default_factory=list)
    plan_made: Plan | None = None
    selection: Selection = field(default_factory=Selection)
    bytes_restored: int = 0
    image_store: Path | None = None
    reader: OutputReader = field(default_factory=lambda: OutputReader(time.monotonic))
    _lookup: Lookup = field(default_factory=Lookup)
    _lost: dict[str, Reason] = field(default_factory=dict)
    _predictions: dict[int, list[Prediction]] = field(default_factory=dict)

    @property
    def engine_name(self) -> str:
        return self.engine.name

    @property
    def engine_version(self) -> str:
        return self.engine.version

    @property
    def transport(self) -> str:
        return "image store"

    def plan(self) -> None:
        """Work out stages, steps and keys; what can't be planned is built uncached, with one warning."""
        try:
            self.plan_made = self._plan()
        except (PlanError, InputError) as error:
            self.warnings.append(f"built without the cache: {error}")
            return
        self.warnings += self.plan_made.warnings

    def _plan(self) -> Plan:
        settings = self.settings
        if settings.remote_context:
            raise PlanError(
                f"the context {settings.context!r} is fetched by the engine; check it out first to have it cached"
            )
        if any(option.startswith("--jobs") for option in settings.engine_options):
            raise PlanError("with --jobs the engine's output does not say which step it speaks of; leave it out")
        if self.engine.driver != "overlay":
            raise PlanError(
                f"the storage driver {self.engine.driver!r} can't be filled from outside; set driver to overlay"
            )
        platform = normalize(settings.platform) if settings.platform else host_platform()
        if "," in platform:
            raise PlanError(f"--platform {platform}: build one platform at a time to have it cached")
        dockerfile = parse(settings.dockerfile.read_bytes(), name=str(settings.dockerfile))
        minor = self.engine.buildah_minor
        if minor < HEREDOCS_SINCE and any(instruction.heredocs for instruction in dockerfile.instructions):
            raise PlanError(f"Buildah {self.engine.buildah} does not know heredocs")
        root = Path(settings.context).absolute()
        options = digest(settings.cache_version, *settings.engine_options)[:16]
        namespace = f"{self.engine.family}-{platform.replace('/', '-')}-{options}"
        request = Request(
            dockerfile=dockerfile,
            context=open_context(root, settings.dockerfile.absolute(), family="containers"),
            namespace=namespace,
            platform=platform,
            target=settings.target,
            build_args=settings.build_args,
            predefined=platform_args(host_platform(), platform, settings.target or ""),
            build_contexts=settings.build_contexts,
            labels=settings.labels,
            label_each=minor <= LABELS_EACH_UNTIL,
            cache=StatCache(self.machine.cache_home / "stat.sqlite"),
            workers=self.machine.cpus,
        )
        resolver = Resolver(
            inspect=self.engine.inspect_image,
            environment=self.machine.environment,
            policy=self.engine.pull_policy(settings),
            remembered=lambda reference: self._remembered(namespace, reference),
        )
        return Planner(request, resolver).plan()

    def _remembered(self, namespace: str, reference: str) -> BaseImage | None:
        """The base image that the newest record with this reference was built on."""
        if self.store is None:
            return None
        try:
            for record in self.store.records():
                base = record.chain[0]
                image = base.engine.get(IMAGE)
                if record.namespace == namespace and base.text == reference and isinstance(image, Mapping):
                    stored = StoredImage.from_json(image)
                    return base_image(reference, stored.id, stored.config)
        except CacheError as error:
            self.warnings.append(str(error))
        return None

    def restore(self) -> None:
        """Write what the store holds of this build into an additional image store, ready for the engine."""
        plan, store = self.plan_made, self.store
        if plan is None or store is None:
            return
        self._lookup = look_up(plan, store)
        self.warnings += self._lookup.warnings
        if not self.settings.no_cache:
            self.selection = select(plan, self._lookup)
        if self.selection.images:
            self._write(store)
        depths = {index: self.selection.depth(plan.chain(index)) for index in plan.stages}
        self._predictions = predict(plan, depths, version=self.engine.buildah_minor)

    def _write(self, store: Store) -> None:
        place = self.machine.scratch / f"store-{time.time_ns():x}"
        try:
            restored = write_image_store(
                place, self.selection.images, store, workers=self.machine.cpus, rootless=self.machine.rootless
            )
        except CacheError as error:
            self.warnings.append(f"nothing was restored: {error}")
            self._lose(Selection(), str(error))
            return
        self.bytes_restored = restored.bytes_read
        self.image_store = restored.path
        for diff_id, why in restored.damaged.items():
            self.warnings.append(f"layer {diff_id[:19]} was not restored: {why}")
        if restored.damaged:
            self._lose(self.selection.without(restored.damaged), "; ".join(restored.damaged.values()))

    def _lose(self, kept: Selection, why: str) -> None:
        self._lost = {key: Reason("damaged", why) for key in self.selection.links.keys() - kept.links.keys()}
        self.selection = kept

    def run(self, sink: BinaryIO | None) -> int:
        """Run the engine, its output going to `sink` as it comes; its exit code."""
        environment = dict(self.machine.environment)
        if self.image_store is not None:
            configuration = storage_conf.effective(environment, rootless=self.machine.rootless)
            path = self.image_store / "storage.conf"
            path.write_text(
                storage_conf.dump(storage_conf.with_image_store(configuration, self.engine, self.image_store))
            )
            environment[storage_conf.VARIABLE] = str(path)
        return stream(self.engine.build_command(self.settings), environment, on_line=self.reader.feed, sink=sink)

    def finish(self) -> None:
        """Make the image whole, then push and describe it."""

    def close(self) -> None:
        """Take the image store away, unless the result is to stay on it."""
        if self.image_store is not None and not self.settings.keep_store:
            shutil.rmtree(self.image_store, ignore_errors=True)

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
                ignored=ignored,
            )
        )

    def save(self) -> Saved:
        """Ship the finished steps. Anything that goes wrong is a warning in the result."""
        plan, store = self.plan_made, self.store
        if plan is None or store is None:
            return Saved()
        additional = [self.image_store] if self.image_store is not None else []
        built, missed = self._built(plan)
        try:
            storage = Storage(self.engine.graph_root, additional)
            saver = Saver(plan, storage, store, self.selection.links, self.machine.cpus)
            saved = saver.save(built, missed)
            self._touch(store)
            store.collect()
        except CacheError as error:
            return Saved(warnings=(f"not saved: {error}",))
        return saved

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

    def _touch(self, store: Store) -> None:
        for match in (*self._lookup.matches.values(), *self._lookup.images.values()):
            store.touch(match.record, match.depth)


def prepare(settings: BuildSettings, machine: Machine) -> Build:
    """The engine is found and asked, the store opened. Raises InputError."""
    engine = detect(settings.engine, machine)
    scopes = Scopes(("default",), "default")
    store = open_store(settings.store, folder=machine.cache_home, scopes=scopes, max_size=settings.max_size)
    return Build(settings, machine, engine, store)
