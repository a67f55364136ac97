"""What a store keeps: blobs by digest, and step records that name them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Protocol, Self

from layercache_ci.layers.model import Descriptor, Layer

RECORD_VERSION = 1

RECENT: Final = 60.0
"""Seconds for which a save goes by what its run was told before: during a longer build others may have saved."""


@dataclass(frozen=True, slots=True)
class Step:
    """One link of a chain: what went into it and what came out.

    `ingredients` maps the name of each input (`instruction`, `arg:VERSION`, `file:src/main.py`, `base`, ...) to a
    hash of its value; two of them compared give the reason of a miss. `engine` is the engine's own cache metadata
    for the step, as it gave it (Buildah: the step image's record, manifest and config).
    """

    key: str
    instruction: str
    text: str
    ingredients: Mapping[str, str]
    layers: tuple[Layer, ...] = ()
    seconds: float | None = None
    engine: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A stage as one build left it: its whole chain from the base image on, self-contained.

    `chain[0]` is the base image (FROM); the steps of a parent stage come before those of the stage itself. `stage`
    names the stage across builds (Dockerfile, stage, target), so that the newest record of the same stage can be found.
    """

    namespace: str
    stage: str
    chain: tuple[Step, ...]
    created: str
    """RFC 3339, UTC."""
    writer: str
    """The version that wrote it, for people who read records."""


@dataclass(frozen=True, slots=True)
class Match:
    """The answer to a lookup: the first `depth` links of `record.chain` carry the keys that were asked for."""

    record: StepRecord
    depth: int


@dataclass(frozen=True, slots=True)
class Scopes:
    """Whose records a run may see. `read` in order of preference: the own ref, its base, the default branch; `write` is
    the own one, None for a run that must leave the store as it is (a fork's pull request)."""

    read: tuple[str, ...]
    write: str | None


@dataclass(frozen=True, slots=True)
class StoreStats:
    records: int
    blobs: int
    size: int
    """Bytes on the store's side, records included."""
    whole: bool = True
    """Whether that is all there is; else what this run has seen of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What a store is to be rid of. Whatever the rules, what was written or asked for in the last minutes stays: the
    save that did so may be about to name it in a record."""

    max_size: int | None = None
    """Bytes that may stay: the least recently used goes first."""
    max_age: float | None = None
    """Seconds since its last use after which something goes."""
    unreferenced: bool = False
    """Whether all blobs go that no record names."""
    dry_run: bool = False
    """Only say what would go."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What went, or would go."""

    records: int
    blobs: int
    size: int
    """Bytes on the store's side."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A record as it lies in a scope, for people who ask what is where."""

    scope: str
    """Its name, as far as the store knows it."""
    stage: str
    """Tells stages apart."""
    title: str
    """What the stage is, in its own words; empty where the record can't be read by this run."""
    created: float
    """Seconds since the epoch, as is the next."""
    used: float
    parts: Mapping[str, int]
    """Bytes of the blobs it needs and of the record itself, each by its name: what two have in common counts once."""


class BlobWriter(Protocol):
    """A blob on its way in. Nothing is visible before `commit`."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def write(self, data: bytes | memoryview, /) -> int: ...

    def commit(self, expected: str | None = None) -> Descriptor:
        """Make it visible under its digest. Raises BlobDamaged where `expected` is not what was written."""


class Store(Protocol):
    """Where records and blobs live. Every fault is a CacheError. Safe for many threads and many processes."""

    @property
    def location(self) -> str:
        """For people: what was chosen, without secrets."""

    def lookup(self, namespace: str, chain: Sequence[str]) -> Match | None:
        """The record of the deepest key of `chain` that the store holds (own scope first, then the others that may
        be read), None where it holds none. A record counts only where its full keys equal `chain[:depth]`."""

    def newest(self, namespace: str, stage: str) -> StepRecord | None:
        """The record written last for that stage, whatever its keys."""

    def put_record(self, record: StepRecord, *, supersede: frozenset[str] = frozenset()) -> bool:
        """Publish a record, last of all: its blobs must be there (BlobNotFound otherwise). The first writer of a
        chain stays: keys that are already held keep their record, but for those in `supersede`, which the engine
        has shown not to serve. True where at least one key now points to this record."""

    def contains(self, digests: Iterable[str]) -> frozenset[str]:
        """Those of `digests` that are held whole."""

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """The blob's bytes from its start; reading to the end verifies size and digest (BlobDamaged). Used as a
        context manager: one that an exception leaves early is read to its end all the same, since a decoder that gives
        up is often how damage first shows; a damaged blob is no longer held."""

    def read_range(self, descriptor: Descriptor, offset: int, length: int) -> bytes:
        """Bytes [offset, offset+length) of a blob, each verified against the digests of the blocks they lie in."""

    def blob_file(self, descriptor: Descriptor) -> Path | None:
        """Where the blob lies as a file that others may read, unverified; None where it is held in no file here."""

    def new_blob(self, media_type: str) -> BlobWriter:
        """A blob to be written; use as a context manager: leaving it without a commit throws it away."""

    def touch(self, record: StepRecord, depth: int) -> None:
        """The first `depth` links were used: they are the last that the size limit removes."""

    def stats(self) -> StoreStats: ...

    def collect(self) -> int:
        """Bring the store under its size limit, least recently used first. Bytes freed."""

    def prune(self, rules: Retention) -> Removed:
        """Remove, from all scopes, what is not to stay by these rules; nothing where this run may not write."""

    def inventory(self) -> Iterator[Holding]:
        """What there is in each scope, whoever may read it, in no order."""

    def records(self) -> Iterator[StepRecord]:
        """All that can be read here, newest first."""
