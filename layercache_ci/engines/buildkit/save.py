"""After the build: what was exported of BuildKit's cache, as step records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from layercache_ci import __version__
from layercache_ci.dockerfile.flags import flag_values
from layercache_ci.dockerfile.plan import Plan, PlannedStep
from layercache_ci.engines.buildkit.cacheconfig import CacheConfig
from layercache_ci.engines.buildkit.cachemanifest import RawDescriptor
from layercache_ci.engines.buildkit.export import Export, in_one_form
from layercache_ci.engines.buildkit.provenance import records_of
from layercache_ci.engines.buildkit.records import RECORDS, descriptor, diff_id, first_engine
from layercache_ci.engines.buildkit.ship import ship
from layercache_ci.engines.buildkit.steps import seen_by_key
from layercache_ci.engines.buildkit.transport import Transport
from layercache_ci.engines.protocol import NOT_SAVED, Saved
from layercache_ci.errors import CacheError
from layercache_ci.layers.model import Layer
from layercache_ci.store.model import Step, StepRecord, Store


@dataclass(frozen=True, slots=True)
class Share:
    """What an export holds of one step: its records, and the digests of its layers, base first."""

    records: tuple[int, ...]
    chain: tuple[str, ...]


def shares(plan: Plan, export: Export) -> dict[str, Share]:
    """By step key. A step that is in the export and has no result there has a share without layers."""
    owned = records_of(export.config, export.provenance)
    seen = seen_by_key(plan, export.steps)
    found: dict[str, Share] = {}
    for planned in (step for index in plan.stages for step in plan.links(index)):
        step = seen.get(planned.key)
        if step is None:
            continue
        vertices = [export.provenance.vertices.get(step.digest, "")]
        if flag_values(planned.instruction, "link"):
            # the copy is a vertex of its own, beside the merge that gives the step's result
            vertices += export.provenance.steps_at(planned.instruction.start_line)
        indices = [index for vertex in dict.fromkeys(vertices) for index in owned.get(vertex, ())]
        chains = [chain for index in indices for chain in export.config.results(index)]
        found[planned.key] = Share(tuple(dict.fromkeys(indices)), chains[0] if chains else ())
    return found


@dataclass(frozen=True, slots=True)
class _Stage:
    """A stage as far as an export holds it: its links, each with its share of the export."""

    export: Export
    links: tuple[tuple[PlannedStep, Share], ...]
    forms: Mapping[str, str] = field(default_factory=dict)
    """What the store has in place of what was exported."""


@dataclass(slots=True)
class Saver:
    """Saves one build. `seconds` are those that steps took, by key; `as_it_is` says whether the store is to have the
    layers as the engine has them, and `one_form` that the export forced them all into one. The stages in `held` are in
    the store as they are, and so are the layers in `known`, which the engine may have under those digests."""

    plan: Plan
    store: Store
    transport: Transport
    workers: int
    seconds: Mapping[str, float]
    as_it_is: bool = False
    one_form: bool = False
    held: Collection[int] = ()
    known: Mapping[str, RawDescriptor] = field(default_factory=dict)

    def save(self, exports: Sequence[Export], superseded: frozenset[str]) -> Saved:
        """Ship what is new, then the records; `exports` cover the finished steps, the first that has a stage's counts.
        Raises CacheError where the store can't be used."""
        if self.one_form:
            exports = [in_one_form(export, self.known) for export in exports]
        shared = [(export, shares(self.plan, export)) for export in exports]
        stages = {index: self._stage(index, shared) for index in self.plan.stages if index not in self.held}
        known = {index: stage for index, stage in stages.items() if stage is not None}
        wanted = {
            blob: stage.export.descriptors[blob]
            for stage in known.values()
            for _, share in stage.links
            for blob in share.chain
            if blob in stage.export.descriptors
        }
        shipped = ship(
            wanted, self.transport, self.store, as_it_is=self.as_it_is, known=self.known.values(), workers=self.workers
        )
        records = 0
        warnings: list[str] = []
        for index, stage in known.items():
            record = self._record(index, _with(stage, shipped.replaced), shipped.held)
            if record is None:
                continue
            try:
                records += self.store.put_record(record, supersede=superseded)
            except CacheError as error:
                warnings.append(f"{NOT_SAVED}{error}")
        return Saved(not warnings, records, shipped.size, tuple(warnings))

    def _stage(self, index: int, shared: Sequence[tuple[Export, Mapping[str, Share]]]) -> _Stage | None:
        best: _Stage | None = None
        for export, share in shared:
            links: list[tuple[PlannedStep, Share]] = []
            for step in self.plan.links(index):
                if step.key not in share:
                    break
                links.append((step, share[step.key]))
            while links and not links[-1][1].chain:
                links.pop()  # a key that nothing was kept of serves only those above it
            if links and (best is None or len(links) > len(best.links)):
                best = _Stage(export, tuple(links))
        return best

    def _record(self, index: int, stage: _Stage, held: frozenset[str]) -> StepRecord | None:
        """The stage's whole lineage, as far as its layers are in the store."""
        raw = stage.export.descriptors
        bottom = next(share.chain for _, share in stage.links if share.chain)
        base = bottom[:-1] if stage.links[0][1].chain else ()
        if not held.issuperset(base):
            return None
        chain: list[Step] = []
        below = set(base)
        for planned, share in stage.links:
            if not set(share.chain) <= held:
                break
            own = [blob for blob in share.chain if blob not in below]
            below.update(own)
            chain.append(
                Step(
                    key=planned.key,
                    instruction=planned.instruction.keyword,
                    text=planned.text,
                    ingredients=planned.ingredients,
                    layers=tuple(_layer(raw[blob]) for blob in own),
                    seconds=self.seconds.get(planned.key),
                    engine={RECORDS: list(share.records)},
                )
            )
        if not chain:
            return None
        kept = {index for _, share in stage.links[: len(chain)] for index in share.records}
        return StepRecord(
            namespace=self.plan.namespace,
            stage=self.plan.stage_id(index),
            chain=(self._base(index, stage, [raw[blob] for blob in base], kept), *chain),
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            writer=f"layercache {__version__}",
        )

    def _base(self, index: int, held: _Stage, layers: Iterable[RawDescriptor], kept: Collection[int]) -> Step:
        """The first link: the base image, and BuildKit's keys for the whole stage."""
        stage, export = self.plan.lineage(index)[0], held.export
        base = stage.base
        records = tuple(
            record if number in kept else replace(record, results=())
            for number, record in enumerate(export.config.records)
        )
        return Step(
            key=stage.base_key,
            instruction="FROM",
            text="" if base is None else base.reference,
            ingredients={} if base is None else {"base": base.identity},
            layers=tuple(map(_layer, layers)),
            engine=first_engine(CacheConfig(export.config.layers, records), export.descriptors, base, held.forms),
        )


def _with(stage: _Stage, replaced: Mapping[str, RawDescriptor]) -> _Stage:
    """The stage with the layers that the store holds in another form."""
    if not replaced:
        return stage
    names = {blob: str(raw["digest"]) for blob, raw in replaced.items()}
    descriptors = {names.get(blob, blob): replaced.get(blob, raw) for blob, raw in stage.export.descriptors.items()}
    export = replace(stage.export, config=stage.export.config.renamed(names), descriptors=descriptors)
    links = tuple(
        (step, replace(share, chain=tuple(names.get(blob, blob) for blob in share.chain)))
        for step, share in stage.links
    )
    return _Stage(export, links, names)


def _layer(raw: RawDescriptor) -> Layer:
    return Layer(diff_id(raw), 0, descriptor(raw))
