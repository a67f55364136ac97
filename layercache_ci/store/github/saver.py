"""Saving a record: the pack that goes up, and the entry by which its stage's newest record is found."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from layercache_ci.errors import BlobNotFound, CacheError
from layercache_ci.layers.model import Descriptor
from layercache_ci.store.blobs import SIDECAR, Blobs
from layercache_ci.store.folder import remove
from layercache_ci.store.github.client import Client
from layercache_ci.store.github.entries import Entries
from layercache_ci.store.github.finder import Candidate, Finder, identity_of
from layercache_ci.store.github.keys import (
    SEGMENT,
    attempt_of,
    chain_prefix,
    entry_key,
    stage_key,
    stage_parts,
)
from layercache_ci.store.github.pack import Head, Location, NewBlob, write_pack
from layercache_ci.store.github.packed import PackedBlobs
from layercache_ci.store.model import StepRecord
from layercache_ci.store.view import blobs_of

MOST_ENTRIES: Final = 8
"""Entries that one record may name: beyond it what lies in the least of them is packed anew."""

RESERVED_PATIENCE: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds between looks at a key that is reserved and not to be found: its writer is at work, or dead."""

LITTLE: Final = 8 << 20
"""Bytes that may go up though somebody else may have sent them in the last minute."""

VERIFIERS: Final = 4
"""Blobs that are read through at once before they go up."""

_ATTEMPTS: Final = 16
_BUFFER: Final = 1 << 20


class Saver:
    def __init__(
        self,
        client: Client,
        entries: Entries,
        finder: Finder,
        packed: PackedBlobs,
        spool: Blobs,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._entries = entries
        self._finder = finder
        self._packed = packed
        self._spool = spool
        self._sleep = sleep

    def put(self, record: StepRecord, supersede: frozenset[str]) -> bool:
        """As Store.put_record."""
        # First of all, since it is by these heads that blobs are known.
        candidates = self._candidates(record)
        old, new = self._sort(record)
        holders = self._holders(candidates, record, supersede)
        if None in holders:
            old, new = self._repack(record, old, new)
            holders = self._save(record, supersede, candidates, holders, old=old, new=new)
            for blob in new:
                remove(blob.path)
                remove(blob.sidecar)
        last = holders[-1] or record
        self._point(record.namespace, record.stage, last)
        return None in holders or record in holders

    def _candidates(self, record: StepRecord) -> list[Candidate]:
        """As this run was told before where that will do, with what it has saved since. If others were faster, the key
        is taken and that is found out then; but a lookup is less than sending much that they may have sent."""
        namespace, keys = record.namespace, [step.key for step in record.chain]
        found = self._finder.recent(namespace, keys)
        if found is None:
            self._entries.doubt()
        unknown = sum(blob.size for blob in blobs_of(record) if self._packed.place(blob.digest) is None)
        if found is None or unknown > LITTLE:
            found = self._finder.candidates(namespace, keys)
        return [*found, *self._finder.others(namespace, keys, found)]

    def _sort(self, record: StepRecord) -> tuple[dict[str, Location], list[NewBlob]]:
        """The record's blobs: those in entries that are there, and those in the spool, smallest first and verified.
        Raises BlobNotFound."""
        old: dict[str, Location] = {}
        new: list[Descriptor] = []
        for blob in blobs_of(record):
            place = self._packed.place(blob.digest)
            if place is not None and place.size == blob.size:
                old[blob.digest] = place
            elif self._spool.size(blob.digest) == blob.size:
                new.append(blob)
            else:
                raise BlobNotFound(f"{blob.digest}, which a step record names, is not in the GitHub cache")
        with ThreadPoolExecutor(VERIFIERS) as pool:
            return old, sorted(pool.map(self._new, new), key=lambda blob: (blob.size, blob.digest))

    def _new(self, blob: Descriptor) -> NewBlob:
        with self._spool.open(blob) as stream:
            deque(iter(partial(stream.read, _BUFFER), b""), maxlen=0)
        path = self._spool.path(blob.digest)
        return NewBlob(blob.digest, blob.size, path, path.with_name(path.name + SIDECAR))

    def _holders(
        self, candidates: Sequence[Candidate], record: StepRecord, supersede: frozenset[str]
    ) -> list[StepRecord | None]:
        """For each link the record that serves it and stays; None where the new one is to."""
        return [
            None if step.key in supersede else self._finder.holder(candidates, depth)
            for depth, step in enumerate(record.chain, 1)
        ]

    def _repack(
        self, record: StepRecord, old: Mapping[str, Location], new: Sequence[NewBlob]
    ) -> tuple[dict[str, Location], list[NewBlob]]:
        """Where the record names too many entries: what it has in the smallest of them goes into the new one."""
        bytes_in = Counter[str]()
        for place in old.values():
            bytes_in[place.entry] += place.size
        kept = {entry for entry, _ in bytes_in.most_common(MOST_ENTRIES - 1)}
        if len(bytes_in) < MOST_ENTRIES:
            return dict(old), list(new)
        moved: dict[str, NewBlob] = {}
        for blob in blobs_of(record):
            if blob.digest in old and old[blob.digest].entry not in kept and blob.digest not in moved:
                with self._packed.open(blob) as stream, self._spool.writer(blob.media_type) as writer:
                    for piece in iter(partial(stream.read, _BUFFER), b""):
                        writer.write(piece)
                    writer.commit(blob.digest)
                moved[blob.digest] = self._new(blob)
        rest = {digest: place for digest, place in old.items() if digest not in moved}
        return rest, sorted((*new, *moved.values()), key=lambda blob: (blob.size, blob.digest))

    def _save(
        self,
        record: StepRecord,
        supersede: frozenset[str],
        candidates: Sequence[Candidate],
        holders: Sequence[StepRecord | None],
        *,
        old: Mapping[str, Location],
        new: Sequence[NewBlob],
    ) -> list[StepRecord | None]:
        """One entry, and one without blobs for each full segment of a longer chain; who serves each link then."""
        keys = [step.key for step in record.chain]
        prefix = chain_prefix(record.namespace, keys)
        attempts = [attempt_of(found.head.key, prefix) for found in candidates]
        attempt = 1 + max((number for number in attempts if number is not None), default=-1)
        patience = list(RESERVED_PATIENCE)
        for _ in range(_ATTEMPTS):
            records, serves, places = self._contents(record, holders, old)
            key = entry_key(prefix, attempt)
            head, source = write_pack(key, records, serves, new=new, old=places)
            with source:
                saved = self._client.save(key, source)
            if saved:
                self._learn(head)
                self._save_segments(record, holders, {**places, **_of(head, new)})
                return list(holders)
            other = self._other(prefix, attempt, patience)
            if other is not None:
                holders = self._holders([Candidate(other, other.common(keys)), *candidates], record, supersede)
                if None not in holders:
                    return holders
                attempt = max(attempt, attempt_of(other.key, prefix) or 0)
            attempt += 1
        raise CacheError(f"the key {prefix} can't be had in the GitHub cache")

    def _contents(
        self, record: StepRecord, holders: Sequence[StepRecord | None], old: Mapping[str, Location]
    ) -> tuple[list[StepRecord], list[int], dict[str, Location]]:
        """The records of a pack, which of them serves each link, and where their blobs lie that are not new."""
        records, serves, places = [record], [], dict(old)
        for depth, holder in enumerate(holders, 1):
            served_by = holder or record
            if served_by not in records:
                records.append(served_by)
            serves.append(records.index(served_by))
            for blob in blobs_of(served_by, depth) if holder else ():
                place = self._packed.place(blob.digest)
                if place is not None:
                    places.setdefault(blob.digest, place)
        return records, serves, places

    def _other(self, prefix: str, attempt: int, patience: list[float]) -> Head | None:
        """The entry of another writer in the way; None where its key is only reserved, and stays so while the patience
        of this save lasts."""
        while True:
            found = self._entries.find([f"{prefix}-r"])
            if found is not None and (attempt_of(found.key, prefix) or 0) >= attempt:
                return self._finder.load(found.key)
            if not patience:
                return None
            self._sleep(patience.pop(0))

    def _save_segments(
        self, record: StepRecord, holders: Sequence[StepRecord | None], places: Mapping[str, Location]
    ) -> None:
        keys = [step.key for step in record.chain]
        for end in range(SEGMENT, len(keys), SEGMENT):
            if None not in holders[end - SEGMENT : end]:
                continue
            prefix = chain_prefix(record.namespace, keys[:end])
            records, serves, located = self._contents(record, holders, places)
            head, source = write_pack(entry_key(prefix, 0), records, serves, new=(), old=located)
            with source:
                if self._client.save(head.key, source):
                    self._learn(head)

    def _point(self, namespace: str, stage: str, record: StepRecord) -> None:
        """Let the stage's newest record be this one: an entry that holds it and no blob, unless it is already. Where
        what this run knows of its key is old, the next key is taken or is the newest all the same."""
        known = self._finder.pointer(namespace, stage)
        key = self._finder.ask_pointer(namespace, stage) if known is None else known
        wanted = identity_of(record)
        places = {blob.digest: self._packed.place(blob.digest) for blob in blobs_of(record)}
        there = {digest: place for digest, place in places.items() if place is not None}
        last = 0
        for _ in range(_ATTEMPTS):
            count, identity = stage_parts(key)
            if identity and wanted.startswith(identity):
                return
            last = max(last, count) + 1
            key = stage_key(namespace, stage, last, wanted)
            head, source = write_pack(key, [record], [0] * len(record.chain), new=(), old=there)
            with source:
                if self._client.save(key, source):
                    self._learn(head)
                    self._finder.pointed(namespace, stage, key)
                    return
            key = self._finder.ask_pointer(namespace, stage)

    def _learn(self, head: Head) -> None:
        self._entries.saved(head.key)
        self._finder.learn(head)


def _of(head: Head, new: Sequence[NewBlob]) -> dict[str, Location]:
    return {blob.digest: head.locations[blob.digest] for blob in new}
