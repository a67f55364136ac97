"""Saving one part of a build that is over: which of its steps are worth it, in which form, and out of which export."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from layercache_ci.engines.buildkit.cachemanifest import RawDescriptor
from layercache_ci.engines.buildkit.export import Export
from layercache_ci.engines.buildkit.exporter import Exporter
from layercache_ci.engines.buildkit.forms import Form, zstd_keys
from layercache_ci.engines.buildkit.part import Part
from layercache_ci.engines.buildkit.restore import select
from layercache_ci.engines.buildkit.save import Saver
from layercache_ci.engines.lookup import look_up
from layercache_ci.engines.protocol import Saved
from layercache_ci.report.model import Outcome
from layercache_ci.store import Store


@dataclass(frozen=True, slots=True)
class Keeper:
    """`ended_well` says how the build ended, `pushed` whether its image went to a registry, `forced` whether in gzip
    because of us, and `anew` that nothing of the store was to be used."""

    part: Part
    store: Store
    exporter: Exporter
    along: Callable[[], Export | None]
    """Gives what the build exported itself, where it did; asked only where there is anything to save."""
    workers: int
    ended_well: bool
    pushed: bool
    forced: bool
    anew: bool

    def keep(self) -> Saved:
        """Ship what is new of the part, and its records. Raises CacheError and OSError."""
        part, plan = self.part, self.part.plan
        results = part.outcomes(ended_well=self.ended_well)
        converted = self._converted()
        held = self._held(results, converted)
        if held == frozenset(plan.stages):
            return part.lookup.keep(self.store, Saved())
        seen = part.seen or {}
        failed = {key for key, step in seen.items() if step.state == "failed"}
        well = self.ended_well
        finished = {key for key, result in results.items() if (well or result != "skipped") and key not in failed}
        if (part.seen is None and not well) or not finished:
            return part.lookup.keep(self.store, Saved(complete=False))
        exports = self._exports(finished)
        missed = frozenset(key for key, result in results.items() if result == "miss")
        one_form = self.exporter.form is Form.ONLY_GZIP
        saver = Saver(
            plan,
            self.store,
            self.exporter.reached.transport,
            self.workers,
            {key: round(step.seconds, 3) for key, step in seen.items() if step.seconds is not None},
            as_it_is=self.pushed or self.exporter.form is Form.GZIP,
            one_form=one_form,
            held=held,
            known=self._known(exports) if one_form else part.selection.known,
        )
        # what was built anew though it was held is better than what was held
        superseded = missed if self.anew else missed & part.selection.links.keys()
        return part.lookup.keep(self.store, saver.save(exports, superseded.union(*converted.values())))

    def _exports(self, finished: Collection[str]) -> list[Export]:
        """Of the steps with these keys: by the build itself, or else one that was begun since, or is made now."""
        if (along := self.along()) is not None:
            return [along]
        if self.part.export is not None:
            return [self.part.export.result()]
        return [self.exporter.whole()] if self.ended_well else self.exporter.parts(self.part.plan, finished)

    def _held(self, results: Mapping[str, Outcome], converted: Mapping[int, object]) -> frozenset[int]:
        """The stages that the store has whole, and that the engine took from there."""
        part, plan = self.part, self.part.plan
        if part.seen is None:
            return frozenset()
        depths, chains = part.selection.depths, {index: plan.chain(index) for index in plan.stages}
        held = frozenset(
            index
            for index, chain in chains.items()
            if depths.get(index, 0) == len(chain) and all(results.get(key) != "miss" for key in chain)
        )
        # the export has all that it holds in gzip: what else is in zstd goes along, where there is one
        return held - converted.keys() if plan.target in converted or held != frozenset(plan.stages) else held

    def _converted(self) -> dict[int, tuple[str, ...]]:
        """By stage, the keys of what was restored in zstd and is to be kept in gzip from now on, as the image was
        pushed."""
        if not self.forced or not self.pushed:
            return {}
        plan, selection = self.part.plan, self.part.selection
        found = {index: zstd_keys(plan, index, selection) for index in plan.stages}
        return {index: keys for index, keys in found.items() if keys}

    def _known(self, exports: Sequence[Export]) -> Mapping[str, RawDescriptor]:
        """Layers of the store, by which it is known what was exported in another form than the builder has them: what
        was offered, and what a build before this one has saved meanwhile."""
        known = self.part.selection.known
        named = {
            blob
            for export in exports
            for chains in export.provenance.layers.values()
            for chain in chains
            for blob in chain
            if blob not in export.descriptors
        }
        if not named <= known.keys():
            plan = self.part.plan
            known |= select(plan, look_up(plan, self.store), self.store).known
        return known
