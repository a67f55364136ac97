"""The store on S3, or on a server that speaks its protocol.

    <prefix>/lc1/blobs/sha256/<hex>.<size>   a blob, and after it the digests of its blocks (s3_blobs.py)
    <prefix>/lc1/records/<identity>          a step record, by the sha256 of its JSON
    <prefix>/lc1/scopes/<scope>/...          how a record is found (s3_entries.py)

A lookup is a listing for each scope and one of the blobs, all at once, and then the record: no request per blob, none
per step. What is used is made young again at most daily, so a lifecycle rule of the bucket can be what bounds it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from layercache_ci.errors import CacheError, StoreUnavailable
from layercache_ci.layers.model import Descriptor
from layercache_ci.store import serial
from layercache_ci.store.folder import folder_name
from layercache_ci.store.model import BlobWriter, Holding, Match, Removed, Retention, Scopes, StepRecord, StoreStats
from layercache_ci.store.s3_blobs import BLOBS, S3Blobs
from layercache_ci.store.s3_connection import Connection
from layercache_ci.store.s3_entries import (
    SCOPES,
    STAGES,
    Entry,
    entries_for,
    find,
    parsed,
    places,
    pointers,
    serving,
    stage_place,
)
from layercache_ci.store.view import View, blobs_of

RECORDS: Final = "records/"

PATIENCE: Final = 86_400.0
"""Seconds after which what is used is made young again."""
EARLIER_PATIENCE: Final = 7 * PATIENCE
"""Seconds after which what serves only earlier steps of what is used is."""


@dataclass(frozen=True, slots=True)
class _Matched:
    """What a lookup found out about the keys that it found."""

    last: frozenset[str] = frozenset()
    """The identities of the records that serve the last one, each in its scope."""
    entries: tuple[Entry, ...] = ()
    """All that serve any of them."""


class S3Store:
    """`folder` is for blobs on their way. `max_size`, in bytes, is kept by `collect` alone; None: there is no limit."""

    def __init__(
        self,
        connection: Connection,
        *,
        folder: Path,
        scopes: Scopes,
        max_size: int | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._connection = connection
        self._scopes = scopes
        self._max_size = max_size
        self._patience = patience
        self._blobs = S3Blobs(connection, folder, writable=scopes.write is not None, patience=patience)
        self._renewing = True
        self._matched: dict[tuple[str, tuple[str, ...]], _Matched] = {}
        """By the namespace and the keys that were found."""

    @property
    def location(self) -> str:
        return self._connection.settings.location

    @property
    def calls(self) -> Mapping[str, int]:
        """Requests made so far, by S3's name of the operation."""
        return Counter(self._connection.calls)

    def lookup(self, namespace: str, chain: Sequence[str]) -> Match | None:
        if not chain:
            return None
        view, entries = self._view(self._scopes.read, namespace, chain)
        match = view.find(self._scopes.read, namespace, chain)
        if match is not None:
            keys = tuple(chain[: match.depth])
            steps = places(namespace, keys)
            last = {entry.identity for entry in _serving(entries.values(), steps[-1:])}
            self._matched[namespace, keys] = _Matched(frozenset(last), tuple(_serving(entries.values(), steps)))
        return match

    def newest(self, namespace: str, stage: str) -> StepRecord | None:
        """The one of the first scope, in the order in which they are read, that has one."""
        names = [stage_place(scope, namespace, stage) for scope in self._scopes.read]
        for identity in self._connection.map(self._connection.get, names):
            record = self._load(identity.decode("ascii", "replace")) if identity else None
            if record is not None:
                return record
        return None

    def put_record(self, record: StepRecord, *, supersede: frozenset[str] = frozenset()) -> bool:
        """Keys held in any scope that may be read keep their record. The stage's newest record is then the one that
        serves the whole chain. A run that may not write gets False."""
        scope = self._scopes.write
        if scope is None or not record.chain:
            return False
        json_bytes = serial.to_json(record)
        identity = serial.identity(json_bytes)
        keys = [step.key for step in record.chain]
        view, entries = self._view((scope, *self._scopes.read), record.namespace, keys, every=True)
        view.demand(record)
        holders = view.holders(self._scopes, record, supersede)
        steps = places(record.namespace, keys)
        moved = {place for place, holder in zip(steps, holders, strict=True) if holder is None}
        last = holders[-1] or identity
        if moved:
            self._connection.put(RECORDS + identity, serial.compress(json_bytes))
            stamp = max(time.time_ns() // 1000, *(entry.stamp + 1 for entry in entries[scope]), 0)
            for entry in entries_for(folder_name(scope), steps, moved, identity, stamp):
                self._connection.put(entry.name, b"")
        if last != identity or not moved:
            self._renew(lambda: self._connection.renew([RECORDS + last], self._patience))
        self._connection.put(stage_place(scope, record.namespace, record.stage), last.encode())
        return bool(moved) or identity in holders

    def contains(self, digests: Iterable[str]) -> frozenset[str]:
        """What can't be made young again is held all the same. `touch` says so; here it is not tried again."""
        held = self._blobs.sizes(digests)
        self._renew(lambda: self._blobs.keep(held.items()))
        return frozenset(held)

    def _renew(self, work: Callable[[], object]) -> None:
        """Unless it failed before."""
        if self._renewing:
            try:
                work()
            except StoreUnavailable:
                self._renewing = False

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        return self._blobs.open(descriptor)

    def read_range(self, descriptor: Descriptor, offset: int, length: int) -> bytes:
        """Fewer bytes than `length` only where the blob ends."""
        return self._blobs.read_range(descriptor, offset, length)

    def blob_file(self, descriptor: Descriptor) -> Path | None:  # noqa: ARG002 - of no blob there is a file here
        return None

    def new_blob(self, media_type: str) -> BlobWriter:
        if self._scopes.write is None:
            raise StoreUnavailable(
                f"this run may only read the store in {self.location} (give it a scope that it may write)"
            )
        return self._blobs.writer(media_type)

    def touch(self, record: StepRecord, depth: int) -> None:
        """The record and the blobs are made young again at most daily. So is, weekly, what serves the steps before in
        the own scope: a build that parts from this one earlier needs it."""
        if self._scopes.write is None or depth < 1:
            return
        keys = tuple(step.key for step in record.chain[:depth])
        matched = self._matched.get((record.namespace, keys), _Matched())
        identities = matched.last | {serial.identity(serial.to_json(record))}
        self._connection.renew((RECORDS + identity for identity in identities), self._patience)
        own = [entry for entry in matched.entries if entry.scope == folder_name(self._scopes.write)]
        old = [entry for entry in own if self._connection.age(entry.name) >= EARLIER_PATIENCE]
        self._connection.renew((name for entry in old for name in (entry.name, RECORDS + entry.identity)), 0)
        self._blobs.keep((blob.digest, blob.size) for blob in blobs_of(record, depth))

    def stats(self) -> StoreStats:
        records, blobs = (list(self._connection.objects(prefix)) for prefix in (RECORDS, BLOBS))
        return StoreStats(len(records), len(blobs), sum(listed.size for listed in (*records, *blobs)))

    def collect(self) -> int:
        """Does nothing where no limit is set."""
        return 0 if self._max_size is None else self.prune(Retention(max_size=self._max_size)).size

    def prune(self, rules: Retention) -> Removed:
        if self._scopes.write is None:
            return Removed(0, 0, 0)
        from layercache_ci.store.s3_collect import prune  # noqa: PLC0415 - a restore has no use for it

        return prune(self._connection, rules, self._patience, self._load)

    def inventory(self) -> Iterator[Holding]:
        from layercache_ci.store.s3_collect import inventory  # noqa: PLC0415 - as above

        return inventory(self._connection, self._load)

    def records(self) -> Iterator[StepRecord]:
        pointed: set[str] = set()
        for scope in self._scopes.read:
            listed = list(self._connection.objects(f"{SCOPES}{folder_name(scope)}/"))
            stages = [found.name for found in listed if f"/{STAGES}" in found.name]
            newest = self._connection.map(self._connection.get, stages)
            pointed |= {identity.decode("ascii", "replace") for identity in newest if identity}
            pointed |= set(pointers(parsed(listed)).values())
        loaded = self._connection.map(
            lambda identity: (identity, record.created if (record := self._load(identity)) else None), sorted(pointed)
        )
        for _, identity in sorted(((created, identity) for identity, created in loaded if created), reverse=True):
            # Read again: many records at once are too much to hold, and a collect may have run meanwhile.
            again = self._load(identity)
            if again is not None:
                yield again

    def _view(
        self, scopes: Iterable[str], namespace: str, chain: Sequence[str], *, every: bool = False
    ) -> tuple[View, Mapping[str, list[Entry]]]:
        """What the store holds of that chain, by scope. The blobs are listed meanwhile: a record will name some."""
        steps = places(namespace, chain)
        blobs: Future[dict[str, int] | None] = self._connection.submit(lambda _: self._blobs.listed(), None)
        seen = list(dict.fromkeys(scopes))
        found = self._connection.map(lambda scope: find(self._connection, scope, steps), seen)
        entries = dict(zip(seen, found, strict=True))
        identities = list({entry.identity for entry in _serving(entries.values(), steps)}) if every else []
        loaded = dict(zip(identities, self._connection.map(self._load, identities), strict=True))
        listed = blobs.result()

        def pointer(scope: str, _: str, keys: Sequence[str]) -> str | None:
            entry = serving(entries[scope], steps[len(keys) - 1])
            return entry.identity if entry else None

        def sizes(digests: Sequence[str]) -> Mapping[str, int]:
            return listed if listed is not None else self._blobs.sizes(digests)

        def load(identity: str) -> StepRecord | None:
            return loaded[identity] if identity in loaded else self._load(identity)

        return View(pointer, load, sizes), entries

    def _load(self, identity: str) -> StepRecord | None:
        """None where it is gone, or is not what its identity says."""
        data = self._connection.get(RECORDS + identity)
        if data is None:
            return None
        try:
            json_bytes = serial.decompress(data)
            return serial.from_json(json_bytes) if serial.identity(json_bytes) == identity else None
        except CacheError:
            return None


def _serving(scopes: Iterable[list[Entry]], steps: Sequence[str]) -> Iterator[Entry]:
    """Those that serve any of the steps, each once."""
    found = (serving(entries, place) for place in steps for entries in scopes)
    yield from dict.fromkeys(entry for entry in found if entry)
