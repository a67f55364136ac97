"""The store in a local folder: no service, no account, any number of processes.

    lc1/blobs/sha256/<hex>, <hex>.blocks   a blob and the digests of its blocks
    lc1/records/<identity>                 a step record, by the sha256 of its JSON
    lc1/scopes/<scope>/<name>              a pointer to the record that serves a step key, or that a stage's build made
    lc1/tmp, lc1/lock, lc1/size            unfinished files, the writers' lock, the bytes held

Readers take no lock: what they find is whole or absent. Writers take it for the moments in which files appear or go.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from layercache_ci.errors import BlobNotFound, StoreUnavailable
from layercache_ci.layers.model import Descriptor
from layercache_ci.store import serial
from layercache_ci.store.blobs import BLOBS, SIDECAR, Blobs
from layercache_ci.store.folder import Folder, folder_name
from layercache_ci.store.model import BlobWriter, Match, Scopes, Step, StepRecord, StoreStats
from layercache_ci.store.pointers import (
    RECORDS,
    read_pointer,
    read_record,
    scope_pointers,
    stage_name,
    step_name,
    use_pointer,
    write_pointer,
)

MAX_SIZE: Final = 10 * 10**9
"""Bytes."""

ONE_SCOPE: Final = Scopes(("default",), "default")


class LocalStore:
    """A store in `<root>/lc1`, made when something is written. `max_size`, in bytes, is kept by `collect` alone."""

    def __init__(self, root: Path, *, scopes: Scopes = ONE_SCOPE, max_size: int = MAX_SIZE) -> None:
        self._folder = Folder(root)
        self._scopes = scopes
        self._max_size = max_size
        self._blobs = Blobs(self._folder, writable=scopes.write is not None)

    @property
    def location(self) -> str:
        return f"local:{self._folder.root}"

    def lookup(self, namespace: str, chain: Sequence[str]) -> Match | None:
        view = _View(self._folder, self._blobs)
        with self._folder.faults():
            for depth in range(len(chain), 0, -1):
                for scope in self._scopes.read:
                    identity = view.holder(scope, namespace, chain[:depth])
                    record = view.record(identity)
                    if record is not None:
                        return Match(record, depth)
        return None

    def newest(self, namespace: str, stage: str) -> StepRecord | None:
        """The one of the first scope, in the order in which they are read, that has one."""
        name = stage_name(namespace, stage)
        with self._folder.faults():
            for scope in self._scopes.read:
                identity = read_pointer(self._folder, scope, name)
                record = read_record(self._folder, identity) if identity else None
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
        with self._folder.faults(), self._folder.lock():
            view = _View(self._folder, self._blobs)
            view.demand(record)
            holders = self._holders(view, record, supersede)
            moved = [step.key for step, holder in zip(record.chain, holders, strict=True) if holder is None]
            if moved:
                self._write_record(identity, json_bytes)
            for key in moved:
                write_pointer(self._folder, folder_name(scope), step_name(record.namespace, key), identity)
            last = holders[-1] or identity
            os.utime(self._folder.path(f"{RECORDS}/{last}"))
            write_pointer(self._folder, folder_name(scope), stage_name(record.namespace, record.stage), last)
        return bool(moved) or identity in holders

    def contains(self, digests: Iterable[str]) -> frozenset[str]:
        held = frozenset(digest for digest in digests if self._blobs.size(digest) is not None)
        for digest in held:
            self._blobs.keep(digest)
        return held

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        return self._blobs.open(descriptor)

    def read_range(self, descriptor: Descriptor, offset: int, length: int) -> bytes:
        """Fewer bytes than `length` only where the blob ends."""
        return self._blobs.read_range(descriptor, offset, length)

    def blob_file(self, descriptor: Descriptor) -> Path | None:
        path = self._blobs.path(descriptor.digest)
        return path if path.is_file() else None

    def new_blob(self, media_type: str) -> BlobWriter:
        self._demand_writable()
        return self._blobs.writer(media_type)

    def touch(self, record: StepRecord, depth: int) -> None:
        if self._scopes.write is None or depth < 1:
            return
        name = step_name(record.namespace, record.chain[depth - 1].key)
        with self._folder.faults():
            for scope in self._scopes.read:
                use_pointer(self._folder, scope, name)

    def stats(self) -> StoreStats:
        with self._folder.faults():
            records = dict(self._sizes(RECORDS))
            blobs = dict(self._sizes(BLOBS))
        return StoreStats(
            records=len(records),
            blobs=sum(not name.endswith(SIDECAR) for name in blobs),
            size=sum(records.values()) + sum(blobs.values()),
        )

    def collect(self) -> int:
        """Counts and removes nothing while the store is known to be under its limit."""
        if self._scopes.write is None:
            return 0
        from layercache_ci.store.collect import collect  # noqa: PLC0415 - a restore has no use for it

        return collect(self._folder, self._max_size)

    def records(self) -> Iterator[StepRecord]:
        with self._folder.faults():
            pointed = {
                identity
                for scope in self._scopes.read
                for _, identity in scope_pointers(self._folder, folder_name(scope))
                if identity
            }
            created = [
                (record.created, identity) for identity in pointed if (record := read_record(self._folder, identity))
            ]
        for _, identity in sorted(created, reverse=True):
            # Read again: many records at once are too much to hold, and a collect may have run meanwhile.
            with self._folder.faults():
                again = read_record(self._folder, identity)
            if again is not None:
                yield again

    def _demand_writable(self) -> None:
        if self._scopes.write is None:
            raise StoreUnavailable(
                f"this run may only read the store in {self._folder.root} (give it a scope that it may write)"
            )

    def _holders(self, view: _View, record: StepRecord, supersede: frozenset[str]) -> list[str | None]:
        """For each link the identity of the record that serves it and stays; None where the new one is to."""
        own = [self._scopes.write] if self._scopes.write else []
        scopes = dict.fromkeys((*own, *self._scopes.read))
        keys = [step.key for step in record.chain]
        return [
            next(filter(None, (view.holder(scope, record.namespace, keys[:depth]) for scope in scopes)), None)
            if keys[depth - 1] not in supersede
            else None
            for depth in range(1, len(keys) + 1)
        ]

    def _write_record(self, identity: str, json_bytes: bytes) -> None:
        data = serial.compress(json_bytes)
        self._folder.grow(len(data))
        self._folder.write(f"{RECORDS}/{identity}", data)

    def _sizes(self, name: str) -> Iterator[tuple[str, int]]:
        with suppress(FileNotFoundError), os.scandir(self._folder.path(name)) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    yield entry.name, entry.stat(follow_symlinks=False).st_size


class _View:
    """What one call sees: it looks at each record and each blob once."""

    def __init__(self, folder: Folder, blobs: Blobs) -> None:
        self._folder = folder
        self._blobs = blobs
        self._records: dict[str, tuple[StepRecord, int] | None] = {}
        self._held: dict[str, int | None] = {}

    def holder(self, scope: str, namespace: str, keys: Sequence[str]) -> str | None:
        """The identity of the record that serves the last of `keys` in that scope."""
        identity = read_pointer(self._folder, scope, step_name(namespace, keys[-1]))
        known = self._load(identity) if identity else None
        if known is None:
            return None
        record, sound = known
        same = record.namespace == namespace and [step.key for step in record.chain[: len(keys)]] == list(keys)
        return identity if same and sound >= len(keys) else None

    def record(self, identity: str | None) -> StepRecord | None:
        known = self._load(identity) if identity else None
        return known[0] if known else None

    def demand(self, record: StepRecord) -> None:
        """Raises BlobNotFound where a blob of the record is not held."""
        for descriptor in (blob for step in record.chain for blob in _descriptors(step)):
            if not self._holds(descriptor):
                raise BlobNotFound(f"{descriptor.digest}, which a step record names, is not in the store")

    def _load(self, identity: str) -> tuple[StepRecord, int] | None:
        if identity not in self._records:
            record = read_record(self._folder, identity)
            self._records[identity] = None if record is None else (record, self._sound(record))
        return self._records[identity]

    def _sound(self, record: StepRecord) -> int:
        """How many of the first links have all their blobs."""
        for depth, step in enumerate(record.chain):
            if not all(map(self._holds, _descriptors(step))):
                return depth
        return len(record.chain)

    def _holds(self, descriptor: Descriptor) -> bool:
        if descriptor.digest not in self._held:
            self._held[descriptor.digest] = self._blobs.size(descriptor.digest)
        return self._held[descriptor.digest] == descriptor.size


def _descriptors(step: Step) -> Iterator[Descriptor]:
    for layer in step.layers:
        yield layer.blob
        if layer.tar_split is not None:
            yield layer.tar_split
