"""One build with BuildKit, through `docker buildx`: plan, restore, build, save, each as the pipeline calls for it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from layercache_ci.ci.choice import choose
from layercache_ci.dockerfile.plan import BaseImage
from layercache_ci.dockerfile.stages import SCRATCH
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.daemon_images import demand_the_same
from layercache_ci.engines.buildkit.forms import Restored, in_gzip, restored_of
from layercache_ci.engines.buildkit.images import Resolver
from layercache_ci.engines.buildkit.load import as_of_the_daemons_own, may_pull
from layercache_ci.engines.buildkit.metadata import as_asked
from layercache_ci.engines.buildkit.options import is_on, options_of
from layercache_ci.engines.buildkit.ours import stand_in
from layercache_ci.engines.buildkit.part import Part
from layercache_ci.engines.buildkit.planning import make_plans
from layercache_ci.engines.buildkit.records import base_of
from layercache_ci.engines.buildkit.restore import Selection, together
from layercache_ci.engines.buildkit.result import needs_files
from layercache_ci.engines.buildkit.run import EngineRun
from layercache_ci.engines.buildkit.session import Reached, Session, begin
from layercache_ci.engines.buildkit.work import Work
from layercache_ci.engines.protocol import Saved
from layercache_ci.engines.reasons import unasked
from layercache_ci.engines.secret_pipes import kept
from layercache_ci.errors import CacheError, EngineError, InputError, PlanError
from layercache_ci.report.model import StageReport
from layercache_ci.settings import BuildSettings, Machine
from layercache_ci.store import Store, StoreChoice


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
    parts: tuple[Part, ...] = ()
    """One for each platform; none where nothing is planned."""
    bytes_restored: int = 0
    session: Session | None = None
    _run: EngineRun = field(init=False)
    _reached: Reached | None = None
    _cache_from: tuple[str, ...] = ()
    _offered: Selection = field(default_factory=Selection)
    """What all parts have selected."""
    _work: Work | None = None
    """None where the engine was not run so far."""
    _lost: str = ""
    """Why no engine may be started: it would build with a secret that is empty."""

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
    def unpushed(self) -> tuple[Mapping[str, object], ...]:
        """Empty: BuildKit asks the registry for each layer as the store has it."""
        return ()

    @property
    def kept(self) -> tuple[Path, ...]:
        """Nothing: the image is where it belongs."""
        return ()

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
        self.parts, self._offered = (), Selection()
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
            plans = make_plans(self.settings, self.machine, resolver, self.builder)
            self._run.admit()
        except (PlanError, InputError) as error:
            self.warnings.append(f"built without the cache: {error}")
            return
        self.parts = tuple(Part(plan, platform if len(plans) > 1 else None) for platform, plan in plans.items())
        self.warnings += dict.fromkeys(warning for plan in plans.values() for warning in plan.warnings)

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
        if not self.parts or self.session is None:
            return
        try:
            self._reached = self.session.reached()
            self._demand_images(self._reached)
            if self._reached.builder != self.builder:
                self.settings = stand_in(self.settings, self.builder)
        except CacheError as error:
            self.abandon(f"built without the cache: {error}")
            return
        self._select()
        self._predict()
        self._read_ahead(self._reached)
        try:
            self._cache_from = self._reached.transport.offer(self._offered, self.store)
            self.warnings += self._reached.transport.damage()
        except (CacheError, OSError) as error:
            self.warnings.append(f"nothing was restored: {error}")
            self._offered = Selection()
            for part in self.parts:
                part.selection = Selection()
            self._predict()

    def _read_ahead(self, reached: Reached) -> None:
        stands_in = reached.builder.name != self.builder.name
        driver = reached.builder.driver
        files = needs_files(self.settings, driver=driver, stands_in=stands_in)
        leaves = in_gzip(self.settings, driver=driver, stands_in=stands_in) != self.settings
        ahead = frozenset[str]()
        for part in self.parts:
            # what leaves the builder is made gzip
            ahead |= part.read_ahead(files=files or (leaves and restored_of(part.plan, part.selection).zstd))
        self._offered.ahead = ahead

    def _demand_images(self, reached: Reached) -> None:
        """Raises CacheError where a builder that stands in for the daemon's own would take another image than that.
        With `--pull` that one asks the registry too, whatever the daemon has (moby, builder/builder-next)."""
        if reached.builder.name == self.builder.name or self._pulls:
            return
        plans = [part.plan for part in self.parts]
        bases = [stage.base for plan in plans for stage in plan.stages.values() if stage.base is not None]
        copied = [image for plan in plans for image, _ in plan.images]
        names = {image.reference for image in (*bases, *copied)} - {SCRATCH}
        demand_the_same(sorted(names), self.builder, reached.builder, self.machine)

    def preview(self) -> None:
        """What `restore` would choose, without reading a layer."""
        if self.parts:
            self._select()
            self._predict()

    def _select(self) -> None:
        said: list[str] = []
        for part in self.parts:
            said += part.ask(self.store, restores=not self.settings.no_cache)
        self._offered, fault = together([part.selection for part in self.parts])
        self.warnings += dict.fromkeys([*said, *fault])

    def _predict(self) -> None:
        for part in self.parts:
            part.predict(other for other in self.parts if other is not part)
        self._run.foreseen = all(part.foreseen for part in self.parts)
        restored = [restored_of(part.plan, part.selection) for part in self.parts]
        self._run.restored = Restored(any(each.zstd for each in restored), max(each.layers for each in restored))

    def run(self, sink: BinaryIO | None) -> int:
        """Run the engine, its output going to `sink` as it comes; its exit code. Raises EngineError."""
        if self._lost:
            raise EngineError(self._lost)
        self._work = Work(
            self._run,
            self.settings,
            self.builder,
            self.parts,
            self._reached,
            cache_from=self._cache_from,
            offered=self._offered,
            folder=None if self.session is None or self.choice.write is None else self.session.folder,
            warnings=self.warnings,
        )
        code = self._work.run(sink)
        self.bytes_restored = sum(self._work.served.values())
        return code

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
        ignored = unasked(self.settings)
        work = self._work
        served, ended_well = ({}, True) if work is None else (work.served, work.code == 0)
        found: list[StageReport] = []
        for part in self.parts:
            found += part.stages(served, ended_well=ended_well, ignored=ignored, first=len(found))
        return tuple(found)

    def save(self) -> Saved:
        """Export the finished steps and ship what is new. Anything that goes wrong is a warning in the result."""
        if self._work is None or self.session is None:
            return Saved(complete=False)
        try:
            self.session.own()
        except (CacheError, OSError) as error:
            return Saved.failed(error)
        return self._work.save(self.store, workers=self.machine.cpus, anew=self.settings.no_cache)

    def close(self) -> None:
        """Take away what only the build needed."""
        self._run.stop()
        if self._work is not None:
            self._work.close()
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
