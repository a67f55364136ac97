"""Choosing what to restore: one cache config out of the deepest records of all stages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

from layercache_ci.dockerfile.buildkit import JUDGED_BY_CONTENT
from layercache_ci.dockerfile.plan import EXPLAINING, Plan, PlannedStep
from layercache_ci.engines.buildkit.cacheconfig import CacheConfig
from layercache_ci.engines.buildkit.cachemanifest import RawDescriptor, fit
from layercache_ci.engines.buildkit.cachemerge import unite, without_blobs
from layercache_ci.engines.buildkit.records import config_of, descriptor, forms_of
from layercache_ci.engines.lookup import Lookup
from layercache_ci.errors import CacheError
from layercache_ci.layers.model import Descriptor
from layercache_ci.report.model import Prediction
from layercache_ci.store.model import Match, Step, StepRecord, Store

TOO_MUCH: Final = "there is more in the store than BuildKit imports at once: the oldest was left out"


@dataclass(slots=True)
class Selection:
    """What is offered to the engine. `depths` and `offered` are by stage: how many links of its chain are held, and how
    many of its newest record the engine might find to be the same where that is more."""

    config: CacheConfig = field(default_factory=CacheConfig)
    descriptors: dict[str, RawDescriptor] = field(default_factory=dict)
    links: dict[str, Step] = field(default_factory=dict)
    depths: dict[int, int] = field(default_factory=dict)
    offered: dict[int, int] = field(default_factory=dict)
    records: list[StepRecord] = field(default_factory=list)
    """Those that it is made of."""
    warnings: list[str] = field(default_factory=list)
    ahead: frozenset[str] = frozenset()
    """Digests of the blobs that the engine is going to read, as far as that can be foreseen."""

    @property
    def known(self) -> dict[str, RawDescriptor]:
        """By the digests that a builder may have of them, what the store has."""
        forms = {other: blob for record in self.records for other, blob in forms_of(record).items()}
        others = {other: self.descriptors[blob] for other, blob in forms.items() if blob in self.descriptors}
        return {**others, **self.descriptors}

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        return tuple(descriptor(self.descriptors[blob]) for blob in self.config.blobs())


def select(plan: Plan, found: Lookup, store: Store) -> Selection:
    """Exact matches, and whole newest records beside them: BuildKit finds in them what it can use."""
    chosen = Selection()
    configs: list[CacheConfig] = []
    for index in plan.stages:
        match, newest = found.matches.get(index), found.newest.get(index)
        for record, depth in _parts(match, newest):
            try:
                config, descriptors = config_of(record, depth)
            except CacheError as error:
                chosen.warnings.append(str(error))
                continue
            configs.append(config)
            chosen.records.append(record)
            chosen.descriptors |= descriptors
            if match is not None and record is match.record:
                chosen.depths[index] = match.depth
                chosen.links |= {step.key: step for step in record.chain[: match.depth]}
        if newest is not None and newest in chosen.records:
            reach = _reach(plan, index, newest)
            if reach > chosen.depths.get(index, 0):
                chosen.offered[index] = reach
    united = unite(configs)
    return _held(plan, chosen, united, store)


def together(parts: Sequence[Selection]) -> tuple[Selection, list[str]]:
    """What is offered for several platforms at once, and what there is to say of it. Where that is more than BuildKit
    imports, each of the `parts` becomes what may be held."""
    if len(parts) == 1:
        return parts[0], []
    whole = Selection(
        unite(part.config for part in parts),
        {digest: raw for part in parts for digest, raw in part.descriptors.items()},
        records=list({id(record): record for part in parts for record in part.records}.values()),
    )
    fitted = fit(whole.config, whole.descriptors)
    if fitted is whole.config:
        return whole, []
    whole.config = fitted
    for part in parts:
        _doubt(part)
    return whole, [TOO_MUCH]


def read_ahead(
    plan: Plan, chosen: Selection, predictions: Mapping[int, Iterable[Prediction | None]], *, files: bool
) -> frozenset[str]:
    """Digests of the blobs that the engine will read: what lies below a step that it runs, or may run, what such a step
    copies from, and with `files` the result. Of what it only finds it reads nothing."""
    read = {plan.target} if files else set()
    for index, states in predictions.items():
        pairs = zip(plan.stages[index].steps, states, strict=True)
        run = [step for step, state in pairs if state in {"miss", "unknown"}]
        read.update(origin for step in run for origin in step.origins)
        read.update([index] if run else [])
    stages = {plan.stage_id(index): index for index in read}
    steps = [chosen.links[key] for index in read for key in plan.chain(index) if key in chosen.links]
    for record in chosen.records:
        steps += record.chain[: chosen.offered.get(stages.get(record.stage, -1), 0)]
    return frozenset(layer.blob.digest for step in steps for layer in step.layers)


def _parts(match: Match | None, newest: StepRecord | None) -> list[tuple[StepRecord, int]]:
    """The records to serve, each with its depth; the newest one is served whole."""
    if match is not None and newest is not None and match.record == newest:
        return [(match.record, len(newest.chain))]
    parts = [] if match is None else [(match.record, match.depth)]
    return parts if newest is None else [*parts, (newest, len(newest.chain))]


def _held(plan: Plan, chosen: Selection, config: CacheConfig, store: Store) -> Selection:
    """Without what the store has lost meanwhile: a blob that is listed and missing fails a build."""
    blobs = config.blobs()
    missing = frozenset(blobs) - store.contains(blobs)
    chosen.config = without_blobs(config, missing) if missing else config
    if missing:
        named = ", ".join(sorted(missing)[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        chosen.warnings.append(f"gone from the store or damaged there, and so built again where needed: {named}")
    for index, depth in chosen.depths.items():
        chain = plan.chain(index)[:depth]
        whole = takewhile(lambda key: not _lost(chosen.links[key], missing), chain)
        chosen.depths[index] = sum(1 for _ in whole)
    kept = {key for index, depth in chosen.depths.items() for key in plan.chain(index)[:depth]}
    chosen.links = {key: step for key, step in chosen.links.items() if key in kept}
    return _fitted(chosen)


def _fitted(chosen: Selection) -> Selection:
    """As much as BuildKit imports. What is left out is old, but may be what a step of this build needs."""
    fitted = fit(chosen.config, chosen.descriptors)
    if fitted is not chosen.config:
        chosen.config = fitted
        _doubt(chosen)
        chosen.warnings.append(TOO_MUCH)
    return chosen


def _doubt(chosen: Selection) -> None:
    """Nothing of it is surely held any more."""
    chosen.offered = {
        index: max(chosen.depths.get(index, 0), chosen.offered.get(index, 0))
        for index in chosen.depths.keys() | chosen.offered.keys()
    }
    chosen.depths = {}


def _lost(step: Step, missing: Collection[str]) -> bool:
    return any(layer.blob.digest in missing for layer in step.layers)


def _reach(plan: Plan, index: int, record: StepRecord) -> int:
    """How many links of the record the engine may find to be the wanted ones, as it judges some things by content."""
    if record.chain[0].key != plan.chain(index)[0]:
        return 0
    pairs = zip(plan.links(index), record.chain[1:], strict=False)
    return 1 + sum(1 for _ in takewhile(lambda pair: may_be_same(pair[0], pair[1].ingredients), pairs))


def may_be_same(step: PlannedStep, ingredients: Mapping[str, str]) -> bool:
    """Whether nothing differs but what only the engine can judge."""
    return all(
        step.ingredients.get(name) == ingredients.get(name) or name in JUDGED_BY_CONTENT
        for name in {*step.ingredients, *ingredients}
        if not name.startswith(EXPLAINING)
    )
