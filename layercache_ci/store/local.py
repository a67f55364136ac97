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
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from layercache_ci.errors import StoreUnavailable
from layercache_ci.layers.model import Descriptor
from layercache_ci.store import serial
from layercache_ci.store.blobs import BLOBS, SIDECAR, Blobs
from layercache_ci.store.folder import Folder, folder_name
from layercache_ci.store.model import BlobWriter, Holding, Match, Removed, Retention, Scopes, StepRecord, StoreStats
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
from layercache_ci.store.view import View

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
        with self._folder.faults():
            return self._view().find(self._scopes.read, namespace, chain)

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
        return self._publish(record, supersede, self._view(), whole=True)

    def keep_record(self, record: StepRecord, *, supersede: frozenset[str] = frozenset()) -> bool:
        """put_record for the copy of what another store was given, not all of whose blobs need be here: it serves as
        deep as they are, and deeper once they come."""
        return self._publish(record, supersede, self._view(), whole=False)

    def keep_match(self, match: Match) -> bool:
        """keep_record for what another store answered, which says who serves the last link, and nothing of the others:
        those that a record is known for keep it, whether its blobs are here yet or not."""
        last = match.record.chain[match.depth - 1].key
        trusting = replace(self._view(), sizes=None)
        return self._publish(match.record, frozenset({last}), trusting, whole=False)

    def _publish(self, record: StepRecord, supersede: frozenset[str], view: View, *, whole: bool) -> bool:
        scope = self._scopes.write
        if scope is None or not record.chain:
            return False
        json_bytes = serial.to_json(record)
        identity = serial.identity(json_bytes)
        with self._folder.faults(), self._folder.lock():
            if whole:
                view.demand(record)
            holders = view.holders(self._scopes, record, supersede)
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
        held = frozenset(self._blobs.sizes(digests))
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

    def prune(self, rules: Retention) -> Removed:
        if self._scopes.write is None:
            return Removed(0, 0, 0)
        from layercache_ci.store.collect import prune  # noqa: PLC0415 - as above

        return prune(self._folder, rules)

    def inventory(self) -> Iterator[Holding]:
        from layercache_ci.store.collect import inventory  # noqa: PLC0415 - as above

        return inventory(self._folder)

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

    def _view(self) -> View:
        return View(
            lambda scope, namespace, keys: read_pointer(self._folder, scope, step_name(namespace, keys[-1])),
            partial(read_record, self._folder),
            self._blobs.sizes,
        )

    def _write_record(self, identity: str, json_bytes: bytes) -> None:
        data = serial.compress(json_bytes)
        self._folder.grow(len(data))
        self._folder.write(f"{RECORDS}/{identity}", data)

    def _sizes(self, name: str) -> Iterator[tuple[str, int]]:
        with suppress(FileNotFoundError), os.scandir(self._folder.path(name)) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    yield entry.name, entry.stat(follow_symlinks=False).st_size
