"""Which records of an exported cache are whose step's: BuildKit's provenance knows the layers of every step.

`BUILDX_METADATA_PROVENANCE=max docker buildx build --metadata-file F` (buildx 0.14 and later) writes it, under
`buildx.build.provenance` in the shape of SLSA v0.2, or with `/PLATFORM` for every platform. Attestations of images have
the shape of v1. moby/buildkit, solver/llbsolver/provenance. `layers` holds what exists as blobs when the build is over,
so a build without an export of its own has none for steps that ran.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from layercache_ci.engines.buildkit.cacheconfig import CacheConfig
from layercache_ci.errors import CacheError

METADATA_KEY: Final = "buildx.build.provenance"
_V02_METADATA: Final = "https://mobyproject.org/buildkit@v1#metadata"

Chain = tuple[str, ...]
"""Digests of layers, base first."""


class Lines(NamedTuple):
    """An instruction's place: index of the source (0 is the Dockerfile), first and last line from 1."""

    source: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a build was made of, by step: `step0` and so on, the names of this one build's vertices."""

    vertices: Mapping[str, str]
    """Steps by vertex digest."""
    inputs: Mapping[str, tuple[str, ...]]
    """The steps that a step stands on, in the order of its inputs."""
    lines: Mapping[str, tuple[Lines, ...]]
    """Where a step is written: in several places if they came to one vertex, as equal steps of two stages do. Two
    steps may be one instruction: a `COPY --link` is a copy and a merge, an `ADD` of a URL a source and a copy."""
    layers: Mapping[str, tuple[Chain, ...]]
    """The layer chains of a step's results."""

    @classmethod
    def from_json(cls, value: object) -> Provenance:
        """Out of a predicate of either shape. Raises CacheError where it is none of `mode=max`."""
        config, metadata = _parts(_object(value))
        definition = [step for step in _array(config.get("llbDefinition")) if isinstance(step, dict)]
        if not definition:
            raise CacheError(
                "a build's provenance says nothing about its steps; it takes BUILDX_METADATA_PROVENANCE=max"
            )
        source = _object(metadata.get("source") or {})
        return cls(
            vertices={str(key): str(step) for key, step in _object(config.get("digestMapping") or {}).items()},
            inputs={
                str(step.get("id")): tuple(_step_of(name) for name in _array(step.get("inputs"))) for step in definition
            },
            lines={
                step: tuple(_lines(_object(found))) for step, found in _object(source.get("locations") or {}).items()
            },
            layers=_layers(_object(metadata.get("layers") or {})),
        )

    @classmethod
    def from_metadata(cls, value: object) -> Provenance:
        """Out of a metadata file's JSON, of a build for one platform. Raises CacheError for none and for several."""
        found = cls.by_platform(value)
        if len(found) != 1:
            raise CacheError(f"a build's metadata file has provenance for {len(found)} platforms, not for one")
        return next(iter(found.values()))

    @classmethod
    def by_platform(cls, value: object) -> dict[str, Provenance]:
        """Out of a metadata file's JSON: by platform, `""` where the file names none."""
        return {
            key.removeprefix(METADATA_KEY).removeprefix("/"): cls.from_json(predicate)
            for key, predicate in _object(value).items()
            if key == METADATA_KEY or key.startswith(f"{METADATA_KEY}/")
        }

    def renamed(self, names: Mapping[str, str]) -> Provenance:
        """With layers under other digests, where `names` has any."""
        layers = {
            step: tuple(tuple(names.get(blob, blob) for blob in chain) for chain in chains)
            for step, chains in self.layers.items()
        }
        return replace(self, layers=layers) if names else self

    def steps_at(self, line: int, *, source: int = 0) -> tuple[str, ...]:
        """The steps of the instruction that has this line."""
        return tuple(
            step
            for step, places in self.lines.items()
            if any(place.source == source and place.start <= line <= place.end for place in places)
        )


def records_of(config: CacheConfig, provenance: Provenance) -> dict[str, tuple[int, ...]]:
    """The records that hold a step's results, by step, for all steps that have any.

    A record is a step's if it has the step's whole layer chain and as many inputs. Several steps can have equal chains:
    copying a file on top of the layers that it came from gives the same blob again, and so does copying it out of a
    stage that copied it. Then it is theirs whose inputs have most of the records that it links to, and if that is even,
    as for a key of content, it is the record of them all.
    """
    by_chain: dict[Chain, list[int]] = {}
    for index in range(len(config.records)):
        for chain in set(config.results(index)):
            by_chain.setdefault(chain, []).append(index)
    candidates = {
        step: {
            record
            for chain in chains
            for record in by_chain.get(chain, ())
            if len(config.records[record].inputs) == len(provenance.inputs.get(step, ()))
        }
        for step, chains in provenance.layers.items()
    }

    def agreement(step: str, record: int) -> int:
        """How many inputs of the record link to records of the step's own inputs."""
        pairs = zip(provenance.inputs.get(step, ()), config.records[record].inputs, strict=True)
        return sum(any(one.link in candidates.get(below, ()) for one in options) for below, options in pairs)

    best: dict[int, int] = {}
    for step, records in candidates.items():
        for record in records:
            best[record] = max(best.get(record, 0), agreement(step, record))
    found = {
        step: tuple(sorted(record for record in records if agreement(step, record) == best[record]))
        for step, records in candidates.items()
    }
    return {step: records for step, records in found.items() if records}


def unclaimed(config: CacheConfig, records: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The records with results that are no step's."""
    claimed = {index for some in records.values() for index in some}
    return tuple(index for index, record in enumerate(config.records) if record.results and index not in claimed)


def _parts(predicate: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """`buildConfig` and BuildKit's own metadata, of SLSA v1 or v0.2."""
    if "buildDefinition" in predicate:
        parameters = _object(_object(predicate["buildDefinition"]).get("internalParameters") or {})
        details = _object(_object(predicate.get("runDetails") or {}).get("metadata") or {})
        return _object(parameters.get("buildConfig") or {}), _object(details.get("buildkit_metadata") or {})
    metadata = _object(predicate.get("metadata") or {})
    return _object(predicate.get("buildConfig") or {}), _object(metadata.get(_V02_METADATA) or {})


def _lines(step: Mapping[str, Any]) -> Iterator[Lines]:
    for location in map(_object, _array(step.get("locations"))):
        ranges = [_object(found) for found in _array(location.get("ranges"))]
        starts = [_line(found.get("start")) for found in ranges]
        ends = [_line(found.get("end")) for found in ranges]
        if ranges:
            # A heredoc has a range for every line.
            yield Lines(_number(location.get("sourceIndex", 0)), min(starts), max(ends))


def _layers(layers: Mapping[str, Any]) -> dict[str, tuple[Chain, ...]]:
    """By step, the outputs of a step taken together."""
    found: dict[str, list[Chain]] = {}
    for output, chains in layers.items():
        found.setdefault(_step_of(output), []).extend(
            tuple(str(_object(layer).get("digest")) for layer in _array(chain)) for chain in _array(chains)
        )
    return {step: tuple(dict.fromkeys(chains)) for step, chains in found.items()}


def _step_of(output: object) -> str:
    return str(output).partition(":")[0]


def _line(position: object) -> int:
    return _number(_object(position or {}).get("line", 0))


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise _malformed(value)
    return value


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _malformed(value)
    return value


def _array(value: object) -> Sequence[object]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _malformed(value)
    return value


def _malformed(value: object) -> CacheError:
    return CacheError(f"a build's provenance is malformed at {str(value)[:60]!r}")
