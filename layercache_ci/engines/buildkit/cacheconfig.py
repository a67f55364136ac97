"""BuildKit's cache config, `application/vnd.buildkit.cacheconfig.v0`: which results its keys have.

The format and what an importer makes of it: moby/buildkit, cache/remotecache/v1/types and v1/parse.go. *Layers* are
blobs with the layer below, *records* are cache keys: a digest and, for every input, the records that may stand there.
A record without results only links others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from graphlib import CycleError, TopologicalSorter
from typing import Final, Self

from layercache_ci.errors import CacheError

MEDIA_TYPE: Final = "application/vnd.buildkit.cacheconfig.v0"
NO_TIME: Final = "0001-01-01T00:00:00Z"
"""What Go writes for a time that was never set."""


@dataclass(frozen=True, slots=True)
class CacheLayer:
    """A blob on top of another layer (an index), or of none."""

    blob: str
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class CacheResult:
    """What a step came to: one layer with all those under it, or (`COPY --link`) layers one by one, without theirs."""

    layers: tuple[int, ...]
    created: str
    """RFC 3339, as BuildKit wrote it."""
    listed: bool = False
    """Whether all layers are listed, base first, instead of the top one alone."""

    @property
    def age(self) -> tuple[datetime, str]:
        """To sort by, oldest first; the text decides on nanoseconds."""
        return (_moment(self.created), self.created)


@dataclass(frozen=True, slots=True)
class CacheInput:
    link: int
    selector: str = ""


@dataclass(frozen=True, slots=True)
class CacheRecord:
    digest: str
    inputs: tuple[tuple[CacheInput, ...], ...] = ()
    """For every input of the step the alternatives, any of which will do."""
    results: tuple[CacheResult, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """Checked: every index is in range, and nothing goes round in circles."""

    layers: tuple[CacheLayer, ...] = ()
    records: tuple[CacheRecord, ...] = ()

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The config out of its parsed JSON. Raises CacheError for whatever BuildKit would refuse to import."""
        fields = _object(value, "the config")
        layers = tuple(_layer(item) for item in _array(fields.get("layers"), "layers"))
        records = tuple(_record(item) for item in _array(fields.get("records"), "records"))
        bottom_up([() if layer.parent is None else (layer.parent,) for layer in layers])
        bottom_up([tuple(links_of(record)) for record in records])
        for record in records:
            for result in record.results:
                if not result.layers or not all(0 <= layer < len(layers) for layer in result.layers):
                    raise _malformed("a result points at no layer")
        return cls(layers, records)

    def to_json(self) -> dict[str, object]:
        """As BuildKit writes it; the layers' annotations are left to the manifest's descriptors."""
        return {
            "layers": [
                {"blob": layer.blob, "parent": -1 if layer.parent is None else layer.parent} for layer in self.layers
            ],
            "records": [_record_json(record) for record in self.records],
        }

    def chain_of(self, result_layer: int) -> tuple[str, ...]:
        """The digests of a layer's blob and of all those under it, base first."""
        chain = []
        at: int | None = result_layer
        while at is not None:
            chain.append(self.layers[at].blob)
            at = self.layers[at].parent
        return tuple(reversed(chain))

    def chain(self, result: CacheResult) -> tuple[str, ...]:
        """The digests of a result's blobs, base first."""
        if result.listed:
            return tuple(self.layers[layer].blob for layer in result.layers)
        return self.chain_of(result.layers[0])

    def results(self, record: int) -> tuple[tuple[str, ...], ...]:
        """The layer chains of a record's results."""
        return tuple(self.chain(result) for result in self.records[record].results)

    def renamed(self, names: Mapping[str, str]) -> CacheConfig:
        """With blobs under other digests, where `names` has any."""
        layers = tuple(replace(layer, blob=names.get(layer.blob, layer.blob)) for layer in self.layers)
        return replace(self, layers=layers) if names else self

    def blobs(self) -> tuple[str, ...]:
        """Every blob once, in the order of the layers."""
        return tuple(dict.fromkeys(layer.blob for layer in self.layers))


def links_of(record: CacheRecord) -> Iterator[int]:
    """The records that a record links to, of all its inputs."""
    return (alternative.link for alternatives in record.inputs for alternative in alternatives)


def bottom_up(needs: Sequence[Collection[int]]) -> list[int]:
    """The indices, each after all that it needs. Raises CacheError for a circle or an index that is not there."""
    for needed in needs:
        if not all(0 <= index < len(needs) for index in needed):
            raise _malformed("an index that is out of range")
    try:
        return list(TopologicalSorter(dict(enumerate(needs))).static_order())
    except CycleError as error:
        raise _malformed("a circle") from error


def _layer(value: object) -> CacheLayer:
    fields = _object(value, "a layer")
    # Go leaves out a zero: no parent is -1.
    parent = _index(fields.get("parent", 0), least=-1)
    return CacheLayer(_text(fields.get("blob"), "a blob"), None if parent == -1 else parent)


def _record(value: object) -> CacheRecord:
    fields = _object(value, "a record")
    inputs = tuple(
        tuple(_input(item) for item in _array(alternatives, "an input"))
        for alternatives in _array(fields.get("inputs"), "inputs")
    )
    if not all(inputs):
        raise _malformed("an input without alternatives")
    tops = [
        CacheResult((_index(item.get("layer", 0)),), _time(item))
        for item in map(_result, _array(fields.get("layers"), "results"))
    ]
    lists = [
        CacheResult(tuple(_index(layer) for layer in _array(item.get("layers"), "a chain")), _time(item), listed=True)
        for item in map(_result, _array(fields.get("chains"), "chains"))
    ]
    return CacheRecord(_text(fields.get("digest"), "a record's digest"), inputs, (*tops, *lists))


def _input(value: object) -> CacheInput:
    fields = _object(value, "an input")
    return CacheInput(_index(fields.get("link", 0)), _text(fields.get("selector", ""), "a selector", empty=True))


def _result(value: object) -> Mapping[str, object]:
    return _object(value, "a result")


def _record_json(record: CacheRecord) -> dict[str, object]:
    fields: dict[str, object] = {"digest": record.digest}
    tops = [{"layer": result.layers[0], "createdAt": result.created} for result in record.results if not result.listed]
    lists = [{"layers": list(result.layers), "createdAt": result.created} for result in record.results if result.listed]
    inputs = [[_input_json(alternative) for alternative in alternatives] for alternatives in record.inputs]
    return fields | {key: found for key, found in (("layers", tops), ("chains", lists), ("inputs", inputs)) if found}


def _input_json(alternative: CacheInput) -> dict[str, object]:
    selector = {"selector": alternative.selector} if alternative.selector else {}
    return {**selector, "link": alternative.link}


def _moment(created: str) -> datetime:
    moment = datetime.fromisoformat(created)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _time(fields: Mapping[str, object]) -> str:
    # Go's reader minds no case: "createdat" is as good.
    created = _text(fields.get("createdAt", fields.get("createdat", NO_TIME)), "a time")
    try:
        _moment(created)
    except ValueError as error:
        raise _malformed(f"{created!r} is no time") from error
    return created


def _object(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _malformed(f"{what} is no object")
    return value


def _array(value: object, what: str) -> Sequence[object]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _malformed(f"{what} is no array")
    return value


def _text(value: object, what: str, *, empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or empty):
        raise _malformed(f"{what} is no text")
    return value


def _index(value: object, *, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise _malformed(f"{value!r} is no index")
    return value


def _malformed(what: str) -> CacheError:
    return CacheError(f"a BuildKit cache config is malformed: {what}")
