"""One build with BuildKit, through `docker buildx`: plan, restore, build, save, each as the pipeline calls for it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final

from layercache_ci.aside import aside
from layercache_ci.ci.choice import choose
from layercache_ci.dockerfile.plan import BaseImage, Plan
from layercache_ci.dockerfile.stages import SCRATCH
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.cachemanifest import RawDescriptor
from layercache_ci.engines.buildkit.daemon_images import demand_the_same
from layercache_ci.engines.buildkit.delivery import deliver
from layercache_ci.engines.buildkit.export import Export
from layercache_ci.engines.buildkit.exporter import Exporter
from layercache_ci.engines.buildkit.forms import Form, in_gzip, restored_of, zstd_keys
from layercache_ci.engines.buildkit.images import Resolver
from layercache_ci.engines.buildkit.load import Pull, as_of_the_daemons_own, may_pull
from layercache_ci.engines.buildkit.metadata import as_asked
from layercache_ci.engines.buildkit.options import is_on, options_of
from layercache_ci.engines.buildkit.ours import stand_in
from layercache_ci.engines.buildkit.outcome import Facts, outcomes, stage_reports
from layercache_ci.engines.buildkit.planning import make_plan
from layercache_ci.engines.buildkit.predict import predict
from layercache_ci.engines.buildkit.progress import SeenStep
from layercache_ci.engines.buildkit.records import base_of
from layercache_ci.engines.buildkit.restore import Selection, read_ahead, select
from layercache_ci.engines.buildkit.result import is_pushed, needs_files
from layercache_ci.engines.buildkit.run import EngineRun
from layercache_ci.engines.buildkit.save import Saver
from layercache_ci.engines.buildkit.session import Reached, Session, begin
from layercache_ci.engines.buildkit.steps import seen_by_key
from layercache_ci.engines.lookup import Lookup, look_up
from layercache_ci.engines.process import Running
from layercache_ci.engines.protocol import Saved
from layercache_ci.engines.secret_pipes import kept
from layercache_ci.errors import CacheError, EngineError, InputError, PlanError
from layercache_ci.report.model import Outcome, Prediction, Reason, StageReport
from layercache_ci.settings import BuildSettings, Machine
from layercache_ci.store import Store, StoreChoice

MAYBE_ZSTD: Final = (
    "the image leaves the builder with the layers that were restored in zstd as they are, which Docker before 23 can't "
    "read: it has too many for this builder to have them in gzip besides; name a compression in its output to decide"
)


@dataclass(slots=True)
class Build:
    """The state of one build. Nothing here raises a CacheError: what the cache can't do becomes a warning."""

    settings: BuildSettings
    machine: Machine
    builder: Builder
    store: Store
    choice: StoreChoice
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    later: dict[str, str] = field(default_factory=dict)
    plan_made: Plan | None = None
    selection: Selection = field(default_factory=Selection)
    bytes_restored: int = 0
    session: Session | None = None
    _run: EngineRun = field(init=False)
    _reached: Reached | None = None
    _cache_from: tuple[str, ...] = ()
    _lookup: Lookup = field(default_factory=Lookup)
    _predictions: Mapping[int, list[Prediction | None]] = field(default_factory=dict)
    _served: Mapping[str, int] = field(default_factory=dict)
    _seen: Mapping[str, SeenStep] | None = None
    """None where nothing is known of how the build went."""
    _steps: tuple[SeenStep, ...] = ()
    _code: int = 0
    _along: Export | None = None
    """What a build exported by itself, before another had to bring its result into the daemon."""
    _export: Future[Export] | None = None
    """What the build left in the engine, on its way to us."""
    _lost: str = ""
    """Why no engine may be started: it would build with a secret that is empty."""
    _closed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._run = EngineRun(self.machine, self.builder, self.settings.metadata_file)

    @property
    def launched(self) -> float | None:
        """When the engine was started: monotonic, in seconds."""
        return self._run.launched

    @property
    def engine_name(self) -> str:
        return "buildkit"

    @property
    def engine_version(self) -> str:
        return self.builder.version

    @property
    def unpushed(self) -> Mapping[str, object]:
        """Empty: BuildKit asks the registry for each layer as the store has it."""
        return {}

    @property
    def transport(self) -> str:
        return "none" if self._reached is None else self._reached.transport.name

    @property
    def image_id(self) -> str | None:
        found = self._run.metadata
        value = found.get("containerimage.config.digest") or found.get("containerimage.digest")
        return value if isinstance(value, str) else None

    def abandon(self, warning: str) -> None:
        """Forget about the cache: the engine gets the build as it is."""
        self.warnings.append(warning)
        self.plan_made, self.selection, self._predictions = None, Selection(), {}
        self._reached, self._cache_from = None, ()

    def begin(self) -> None:
        """Start the registry, and find out how the builder reaches it."""
        self.session = begin(self.machine, self.builder, self.choice, loads=may_pull(self.settings, self.builder))
        self._keep_secrets(self.session.folder)
        self._run.metadata_file = self.session.folder / "metadata.json"
        self._run.saves = self.choice.write is not None
        if not self.machine.terminal and not self.settings.no_cache:
            self._run.start_early(self.settings, self.session)

    def _keep_secrets(self, folder: Path) -> None:
        """Have what comes by a pipe for every engine that we start. Raises OSError where it is lost."""
        behind: list[str] = []
        try:
            for option in options_of(self.settings.engine_options):
                is_one = option.name == "--secret" and option.value
                behind += [f"--secret={kept(option.value or '', folder)}"] if is_one else option.words
            secrets = tuple(kept(secret, folder) for secret in self.settings.secrets)
        except OSError as error:
            self._lost = f"--secret: what came by a pipe can't be kept: {error}"
            raise
        self.settings = replace(self.settings, secrets=secrets, engine_options=tuple(behind))

    def plan(self) -> None:
        """Work out stages, steps and keys; what can't be planned is built uncached, with one warning."""
        if self.builder.uncached:
            self.warnings.append(f"built without the cache: {self.builder.uncached}")
            return
        resolver = Resolver(
            builder=self.builder,
            environment=self.machine.environment,
            remembered=self._remembered,
            pull=self._pulls,
            asked=self._run.admit,
        )
        try:
            self.plan_made = make_plan(self.settings, self.machine, resolver, builds_for=self.builder.platform)
            self._run.admit()
        except (PlanError, InputError) as error:
            self.warnings.append(f"built without the cache: {error}")
            return
        self.warnings += self.plan_made.warnings

    @property
    def _pulls(self) -> bool:
        """Whether every image is asked of its registry."""
        return self.settings.pull or is_on(self.settings.engine_options, "--pull")

    def _remembered(self, reference: str) -> BaseImage | None:
        with suppress(CacheError):
            for record in self.store.records():
                found = base_of(record.chain[0])
                if found is not None and found.reference == reference:
                    return found
        return None

    def restore(self) -> None:
        """Offer the engine what the store holds of this build."""
        if self.plan_made is None or self.session is None:
            return
        try:
            self._reached = self.session.reached()
            self._demand_images(self.plan_made, self._reached)
            if self._reached.builder != self.builder:
                self.settings = stand_in(self.settings, self.builder)
        except CacheError as error:
            self.abandon(f"built without the cache: {error}")
            return
        self._select(self.plan_made)
        self._predict(self.plan_made)
        self._read_ahead(self.plan_made, self._reached)
        try:
            self._cache_from = self._reached.transport.offer(self.selection, self.store)
            self.warnings += self._reached.transport.damage()
        except (CacheError, OSError) as error:
            self.warnings.append(f"nothing was restored: {error}")
            self.selection = Selection()
            self._predict(self.plan_made)

    def _read_ahead(self, plan: Plan, reached: Reached) -> None:
        stands_in = reached.builder.name != self.builder.name
        driver, zstd = reached.builder.driver, restored_of(plan, self.selection).zstd
        files = needs_files(self.settings, driver=driver, stands_in=stands_in)
        # what leaves the builder is made gzip
        files |= zstd and in_gzip(self.settings, driver=driver, stands_in=stands_in) != self.settings
        self.selection.ahead = read_ahead(plan, self.selection, self._predictions, files=files)

    def _demand_images(self, plan: Plan, reached: Reached) -> None:
        """Raises CacheError where a builder that stands in for the daemon's own would take another image than that.
        With `--pull` that one asks the registry too, whatever the daemon has (moby, builder/builder-next)."""
        if reached.builder.name == self.builder.name or self._pulls:
            return
        bases = [stage.base for stage in plan.stages.values() if stage.base is not None]
        names = {image.reference for image in (*bases, *(image for image, _ in plan.images))} - {SCRATCH}
        demand_the_same(sorted(names), self.builder, reached.builder, self.machine)

    def preview(self) -> None:
        """What `restore` would choose, without reading a layer."""
        if self.plan_made is not None:
            self._select(self.plan_made)
            self._predict(self.plan_made)

    def _select(self, plan: Plan) -> None:
        self._lookup = look_up(plan, self.store)
        self.warnings += self._lookup.warnings
        if self.settings.no_cache:
            return
        try:
            self.selection = select(plan, self._lookup, self.store)
        except CacheError as error:
            self.warnings.append(f"nothing was restored: {error}")
        self.warnings += self.selection.warnings

    def _predict(self, plan: Plan) -> None:
        self._predictions = predict(plan, self.selection.depths, self.selection.offered)
        self._run.foreseen = self._all_foreseen()
        self._run.restored = restored_of(plan, self.selection)

    def run(self, sink: BinaryIO | None) -> int:
        """Run the engine, its output going to `sink` as it comes; its exit code. A build that failed after it asked for
        something that could not be given is run once more without the cache. Raises EngineError."""
        if self._lost:
            raise EngineError(self._lost)
        running = self._run.start(self.settings, self._reached, self._cache_from)
        code = ended = running.follow(on_line=None, sink=sink)
        if self._run.told is not None and self._run.told.long:
            self.warnings.append(MAYBE_ZSTD)
        pull = self._run.pull
        if pull is not None and not running.interrupted:
            code, ended = self._deliver(pull, running, code, sink)
        if self._reached is not None and self._cache_from:
            faults = self._reached.transport.faults()
            if code and not faults and not running.interrupted:
                gone = self._run.asked_for_what_is_gone(self.settings, self._reached)
                faults = () if gone is None else (gone,)
            self.warnings += [f"from the cache: {fault}" for fault in faults]
            self._served = self._of_the_cache(self._reached.transport.served(), pulled=pull is not None)
            self.bytes_restored = sum(self._served.values())
            if code and faults and not running.interrupted:
                self.warnings.append("the build failed on a damaged cache and was run again without it")
                self._seen, self._steps, self._along = None, (), None
                again = self._run.start_again(self.settings, self._reached)
                code = ended = again.follow(on_line=None, sink=sink)
        self._code = ended
        waits = self.settings.wait and not self._run.exports and not self._all_foreseen()
        if ended == 0 and waits and self._along is None and (exporter := self._exporter()):
            self._export = aside(exporter.whole)
        try:
            self._look_back()
        except Exception as error:  # noqa: BLE001 - the build is over, however it went
            self.warnings.append(f"what came of each step is not known: {error or type(error).__name__}")
        return code

    def _all_foreseen(self) -> bool:
        """Whether there will be nothing to save, as far as we know."""
        return all(each in {"hit", None} for stage in self._predictions.values() for each in stage)

    def _of_the_cache(self, served: Mapping[str, int], *, pulled: bool) -> Mapping[str, int]:
        """Bytes of each blob that were restored, of those that were read of us: engine and daemon may both have read a
        layer, and a daemon that `pulled` also what was built anew."""
        sizes = {each.digest: each.size for each in self.selection.blobs}
        others = 0 if pulled else sys.maxsize
        return {digest: min(count, sizes.get(digest, others)) for digest, count in served.items()}

    def _deliver(self, pull: Pull, running: Running, code: int, sink: BinaryIO | None) -> tuple[int, int]:
        """Into the daemon, by a pull or else by a tarball: the exit code of it all, and that of the engine."""
        delivered = deliver(
            pull,
            self._run,
            self.settings,
            running,
            code,
            cache_from=self._cache_from,
            built=self._remember,
            sink=sink,
        )
        if delivered.fault is not None:
            self.warnings.append(f"the image went into the daemon as a tarball: {delivered.fault}")
        return delivered.code, delivered.ended

    def _remember(self) -> None:
        """What is known of a build and what it exported, before another one shows only what that one left."""
        with suppress(Exception):
            self._look_back()
        self._along = self._exported()

    def _exported(self) -> Export | None:
        """What a build that ended well has exported itself, where it did."""
        exporter = self._exporter() if self._run.exports else None
        return None if exporter is None else exporter.along(self._run.metadata_file, self._steps)

    def _exporter(self) -> Exporter | None:
        reached, session = self._reached, self.session
        if self.plan_made is None or reached is None or session is None or self.choice.write is None:
            return None
        stands_in = reached.builder != self.builder
        return Exporter(
            self.settings,
            reached,
            self._cache_from,
            session.folder,
            stands_in=stands_in,
            form=self._run.form(self.settings, reached),
            given_up=self._closed.is_set,
        )

    def _look_back(self) -> None:
        """Learn from the builder what came of each step, once."""
        plan, reached = self.plan_made, self._reached
        if plan is None or reached is None or self._seen is not None:
            return
        self._seen = None if self._code == 0 else {}
        progress = self._run.look_back(self.settings, reached, ended_well=self._code == 0)
        if progress is not None:
            self._steps = progress.steps()
            self._seen = seen_by_key(plan, self._steps)
            self.warnings += [f"{name} could not be read: {error}" for name, error in progress.import_errors().items()]

    def finish(self) -> None:
        """The engine has left the image where it belongs; what it is gets written down."""
        source, target = self._run.metadata_file, self.settings.metadata_file
        if source is not None and self._reached is not None and self._reached.builder.name != self.builder.name:
            as_of_the_daemons_own(self.settings, source)
        if source is not None and target is not None and target != source:
            exported = self._run.exported
            try:
                target.write_bytes(as_asked(source.read_bytes(), self.machine.environment, exported=exported))
            except OSError as error:
                raise EngineError(f"--metadata-file {target}: {error}") from error

    def stages(self) -> tuple[StageReport, ...]:
        """The stages of the report, empty where nothing could be planned."""
        plan = self.plan_made
        if plan is None:
            return ()
        ignored = Reason("no-cache", "--no-cache was given") if self.settings.no_cache else None
        predictions = self._predictions or predict(plan, {}, {})
        return stage_reports(
            Facts(
                plan,
                self.selection,
                predictions,
                self._lookup.newest,
                self._seen,
                served=self._served,
                ended_well=self._code == 0,
                ignored=ignored,
            )
        )

    def save(self) -> Saved:
        """Export the finished steps and ship what is new. Anything that goes wrong is a warning in the result."""
        plan, reached, exporter = self.plan_made, self._reached, self._exporter()
        if plan is None or reached is None or self.session is None or exporter is None:
            return Saved(complete=False)
        try:
            self.session.own()
            results = outcomes(plan, self._seen, ended_well=self._code == 0)
            saved = Saved()
            held = self._held(plan, results)
            if held != frozenset(plan.stages):
                saved = self._save(plan, reached, exporter, results, held)
        except (CacheError, OSError) as error:
            return Saved(complete=False, warnings=(f"not saved: {error}",))
        return self._lookup.keep(self.store, saved)

    def _held(self, plan: Plan, results: Mapping[str, Outcome]) -> frozenset[int]:
        """The stages that the store has whole, and that the engine took from there."""
        if self._seen is None:
            return frozenset()
        depths, chains = self.selection.depths, {index: plan.chain(index) for index in plan.stages}
        held = frozenset(
            index
            for index, chain in chains.items()
            if depths.get(index, 0) == len(chain) and all(results.get(key) != "miss" for key in chain)
        )
        converted = self._converted(plan)
        # the export has all that it holds in gzip: what else is in zstd goes along, where there is one
        return held - converted.keys() if plan.target in converted or held != frozenset(plan.stages) else held

    def _converted(self, plan: Plan) -> dict[int, tuple[str, ...]]:
        """By stage, the keys of what was restored in zstd and is to be kept in gzip from now on, as the image was
        pushed."""
        if self._run.told is None or not self._run.told.forced or not is_pushed(self.settings):
            return {}
        found = {index: zstd_keys(plan, index, self.selection) for index in plan.stages}
        return {index: keys for index, keys in found.items() if keys}

    def _save(
        self,
        plan: Plan,
        reached: Reached,
        exporter: Exporter,
        results: Mapping[str, Outcome],
        held: frozenset[int],
    ) -> Saved:
        if self._seen is None and self._code:
            return Saved(complete=False)
        seen = self._seen or {}
        failed = {key for key, step in seen.items() if step.state == "failed"}
        whole = self._code == 0
        finished = {key for key, result in results.items() if (whole or result != "skipped") and key not in failed}
        if not finished:
            return Saved(complete=False)
        along = self._along or (self._exported() if whole else None)
        if along is not None:
            exports = [along]
        elif self._export is not None:
            exports = [self._export.result()]
        else:
            exports = [exporter.whole()] if whole else exporter.parts(plan, finished)
        missed = frozenset(key for key, result in results.items() if result == "miss")
        seconds = {key: round(step.seconds, 3) for key, step in seen.items() if step.seconds is not None}
        as_it_is = is_pushed(self.settings) or exporter.form is Form.GZIP
        known = self._known(plan, exports) if exporter.form is Form.ONLY_GZIP else self.selection.known
        saver = Saver(
            plan,
            self.store,
            reached.transport,
            self.machine.cpus,
            seconds,
            as_it_is=as_it_is,
            one_form=exporter.form is Form.ONLY_GZIP,
            held=held,
            known=known,
        )
        # what was built anew though it was held is better than what was held
        superseded = missed if self.settings.no_cache else missed & self.selection.links.keys()
        return saver.save(exports, superseded.union(*self._converted(plan).values()))

    def _known(self, plan: Plan, exports: Sequence[Export]) -> Mapping[str, RawDescriptor]:
        """Layers of the store, by which it is known what was exported in another form than the builder has them: what
        was offered, and what a build before this one has saved meanwhile."""
        known = self.selection.known
        named = {
            blob
            for export in exports
            for chains in export.provenance.layers.values()
            for chain in chains
            for blob in chain
            if blob not in export.descriptors
        }
        if not named <= known.keys():
            known |= select(plan, look_up(plan, self.store), self.store).known
        return known

    def close(self) -> None:
        """Take away what only the build needed."""
        self._run.stop()
        self._closed.set()
        if self._export is not None:
            self._export.exception()  # it needs the registry to its end
        if self.session is not None:
            self.session.close()


def prepare(settings: BuildSettings, machine: Machine, builder: Builder) -> Build:
    """A build on the builder that was found, with the store opened. Raises InputError."""
    if is_on(settings.engine_options, "--no-cache"):
        settings = replace(settings, no_cache=True)
    chosen = choose(settings, machine)
    warnings = [*chosen.policy.warnings]
    store = chosen.open(machine.environment, warnings.append)
    return Build(settings, machine, builder, store, chosen.store, warnings=warnings, notes=chosen.notes)
