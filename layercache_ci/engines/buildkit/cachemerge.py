"""Making cache configs out of cache configs: united, cut out, and without what is not there.

What comes out is in one order whatever went in: layers and records bottom-up, then by digest. Layers that no result
needs are left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from layercache_ci.engines.buildkit.cacheconfig import (
    CacheConfig,
    CacheInput,
    CacheLayer,
    CacheRecord,
    CacheResult,
    bottom_up,
    links_of,
)

KeepResult = Callable[[int, CacheResult], bool]
"""Whether a record, by its index, keeps a result."""


def unite(configs: Iterable[CacheConfig]) -> CacheConfig:
    """All of them in one: equal layers (blob and those under it) and equal records (digest and inputs, all the way
    down) fall together, with the results of all; a result that several have keeps its newest time."""
    union = _Union()
    for config in configs:
        union.add(config, range(len(config.records)), lambda _record, _result: True)
    return union.config()


def cut(config: CacheConfig, keep: Iterable[int]) -> CacheConfig:
    """The records `keep` with their results, and everything that they link to, without results."""
    wanted = frozenset(keep)
    return _cut(config, wanted, lambda record, _result: record in wanted)


def without_blobs(config: CacheConfig, missing: Collection[str]) -> CacheConfig:
    """Without the results whose chain goes through a missing blob. The keys stay: a miss, and later steps can hit."""

    def there(_record: int, result: CacheResult) -> bool:
        return not any(blob in missing for blob in config.chain(result))

    return _cut(config, range(len(config.records)), there)


def newest(config: CacheConfig, count: int) -> CacheConfig:
    """The `count` newest results, and only the records that lead up to them."""
    results = [
        (result.age, record, index)
        for record, key in enumerate(config.records)
        for index, result in enumerate(key.results)
    ]
    kept = {(record, config.records[record].results[index]) for _age, record, index in sorted(results)[-count:]}
    if count == 0:
        kept = set()
    return _cut(config, {record for record, _result in kept}, lambda record, result: (record, result) in kept)


def _cut(config: CacheConfig, records: Iterable[int], keep: KeepResult) -> CacheConfig:
    union = _Union()
    union.add(config, records, keep)
    return union.config()


class _Layer(NamedTuple):
    depth: int
    blob: str
    parent: str | None


@dataclass(slots=True)
class _Record:
    depth: int
    digest: str
    inputs: list[list[tuple[str, str]]]
    """For every input the alternatives: name of the record, selector."""
    results: dict[tuple[bool, tuple[str, ...]], CacheResult] = field(default_factory=dict)
    """By being listed and the layers' names."""


@dataclass(slots=True)
class _Union:
    """Layers and records by a name that says what they are, all the way down."""

    layers: dict[str, _Layer] = field(default_factory=dict)
    records: dict[str, _Record] = field(default_factory=dict)

    def add(self, config: CacheConfig, records: Iterable[int], keep: KeepResult) -> None:
        kept = {
            index: [result for result in config.records[index].results if keep(index, result)]
            for index in _reached(config, records)
        }
        needed = {result.layers[0] for results in kept.values() for result in results if not result.listed}
        layers = self._add_layers(config, needed)
        names: dict[int, str] = {}
        for index in bottom_up([tuple(links_of(record)) for record in config.records]):
            if index in kept:
                names[index] = self._add_record(config.records[index], names)
                for result in kept[index]:
                    listed = config.chain(result) if result.listed else ()
                    of = tuple(map(self._add_alone, listed)) or (layers[result.layers[0]],)
                    results = self.records[names[index]].results
                    known = results.get((result.listed, of), result)
                    results[result.listed, of] = max(known, result, key=lambda one: one.age)

    def _add_layers(self, config: CacheConfig, needed: Collection[int]) -> Mapping[int, str]:
        below = [() if layer.parent is None else (layer.parent,) for layer in config.layers]
        wanted = _closure(needed, lambda index: below[index])
        names: dict[int, str] = {}
        for index in bottom_up(below):
            if index not in wanted:
                continue
            layer = config.layers[index]
            parent = None if layer.parent is None else names[layer.parent]
            names[index] = _name(layer.blob, parent)
            depth = 0 if parent is None else self.layers[parent].depth + 1
            self.layers[names[index]] = _Layer(depth, layer.blob, parent)
        return names

    def _add_record(self, record: CacheRecord, names: Mapping[int, str]) -> str:
        inputs = [sorted({(names[one.link], one.selector) for one in options}) for options in record.inputs]
        name = _name(record.digest, inputs)
        depth = max((self.records[link].depth + 1 for options in inputs for link, _selector in options), default=0)
        self.records.setdefault(name, _Record(depth, record.digest, inputs))
        return name

    def _add_alone(self, blob: str) -> str:
        """A layer of a result that lists them all: what is under it counts for nothing."""
        name = _name(blob, None)
        self.layers.setdefault(name, _Layer(0, blob, None))
        return name

    def config(self) -> CacheConfig:
        layers = sorted(self.layers.items(), key=lambda item: (item[1].depth, item[1].blob, item[0]))
        records = sorted(self.records.items(), key=lambda item: (item[1].depth, item[1].digest, item[0]))
        layer_at = {name: index for index, (name, _layer) in enumerate(layers)}
        record_at = {name: index for index, (name, _record) in enumerate(records)}
        return CacheConfig(
            tuple(
                CacheLayer(layer.blob, None if layer.parent is None else layer_at[layer.parent])
                for _name, layer in layers
            ),
            tuple(_resolved(record, record_at, layer_at) for _name, record in records),
        )


def _resolved(record: _Record, record_at: Mapping[str, int], layer_at: Mapping[str, int]) -> CacheRecord:
    inputs = tuple(
        tuple(
            CacheInput(link, selector) for link, selector in sorted((record_at[name], text) for name, text in options)
        )
        for options in record.inputs
    )
    results = sorted(
        (listed, tuple(layer_at[name] for name in names), result.created)
        for (listed, names), result in record.results.items()
    )
    return CacheRecord(
        record.digest, inputs, tuple(CacheResult(layers, created, listed) for listed, layers, created in results)
    )


def _reached(config: CacheConfig, records: Iterable[int]) -> set[int]:
    return _closure(records, lambda index: links_of(config.records[index]))


def _closure(start: Iterable[int], needs: Callable[[int], Iterable[int]]) -> set[int]:
    found: set[int] = set()
    waiting = list(start)
    while waiting:
        at = waiting.pop()
        if at not in found:
            found.add(at)
            waiting += needs(at)
    return found


def _name(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
