"""The store in the cache service that GitHub gives a job, and in those that speak its protocols.

What a save brings goes into one entry, a pack (pack.py); how it is found is in keys.py and finder.py. Blobs wait in a
temporary folder, the spool, until the record that names them is put.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from layercache_ci.errors import StoreUnavailable
from layercache_ci.layers.model import Descriptor
from layercache_ci.store.blobs import BLOBS, SIDECAR, Blobs
from layercache_ci.store.folder import Folder
from layercache_ci.store.github.api import CacheList
from layercache_ci.store.github.client import Client
from layercache_ci.store.github.entries import Entries
from layercache_ci.store.github.finder import Finder, identity_of
from layercache_ci.store.github.http import Http, Refused
from layercache_ci.store.github.keys import is_record_key
from layercache_ci.store.github.packed import PackedBlobs
from layercache_ci.store.github.saver import Saver
from layercache_ci.store.model import BlobWriter, Holding, Match, Removed, Retention, Scopes, StepRecord, StoreStats
from layercache_ci.store.retention import title

MAX_SIZE: Final = 8 * 10**9
"""Bytes, of the 10 GB that a repository has."""


class GithubStore:
    """`spool` is a folder of this process's own. `caches` lists the repository's entries, and removes them; None
    where no token for the REST API is there. `absent` says why there is no service, where there is none: the list may
    be there all the same."""

    def __init__(
        self,
        client: Client,
        blobs: Http,
        spool: Path,
        *,
        location: str,
        scopes: Scopes,
        readable: bool = True,
        writable: bool = True,
        absent: str = "",
        caches: CacheList | None = None,
        max_size: int = MAX_SIZE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._location = location
        self._scopes = scopes
        self._reading = readable and bool(scopes.read)
        self._clearing = writable and scopes.write is not None
        self._writing = self._clearing and not absent
        self._why_read_only = absent or f"this run may only read the store in {location}"
        self._folder = Folder(spool)
        self._spool = Blobs(self._folder, writable=True)
        self._entries = Entries(client, blobs, spool / "whole")
        self._packed = PackedBlobs(self._entries)
        self._finder = Finder(self._entries, self._packed, self._spool, scopes=len(scopes.read))
        self._saver = Saver(client, self._entries, self._finder, self._packed, self._spool, sleep=sleep)
        self._caches = caches
        self._max_size = max_size

    @property
    def location(self) -> str:
        return self._location

    def lookup(self, namespace: str, chain: Sequence[str]) -> Match | None:
        if not self._reading:
            return None
        with self._refusals():
            return self._finder.match(namespace, chain)

    def newest(self, namespace: str, stage: str) -> StepRecord | None:
        if not self._reading:
            return None
        with self._refusals():
            return self._finder.newest(namespace, stage)

    def put_record(self, record: StepRecord, *, supersede: frozenset[str] = frozenset()) -> bool:
        """False too where this run may not write, or was told not to by the service (which is an error once)."""
        if not self._writing or not record.chain:
            return False
        try:
            return self._saver.put(record, supersede)
        except Refused:
            self._writing = False
            raise

    def contains(self, digests: Iterable[str]) -> frozenset[str]:
        """Of what lies in entries only that is known which a record names that was looked up before."""
        wanted = set(digests)
        waiting = {digest for digest in wanted if self._spool.size(digest) is not None}
        for digest in waiting:
            self._spool.keep(digest)
        return frozenset(waiting | {digest for digest in wanted - waiting if self._packed.place(digest)})

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        held = self._packed if self.blob_file(descriptor) is None else self._spool
        return held.open(descriptor)

    def read_range(self, descriptor: Descriptor, offset: int, length: int) -> bytes:
        held = self._packed if self.blob_file(descriptor) is None else self._spool
        return held.read_range(descriptor, offset, length)

    def blob_file(self, descriptor: Descriptor) -> Path | None:
        path = self._spool.path(descriptor.digest)
        return path if path.is_file() else None

    def new_blob(self, media_type: str) -> BlobWriter:
        if not self._writing:
            raise StoreUnavailable(self._why_read_only)
        return self._spool.writer(media_type)

    def touch(self, record: StepRecord, depth: int) -> None:
        """To the service a lookup is a use. Those of this run have asked for every entry that their record names; what
        it saved itself it asks for now."""
        if self._reading and self._scopes.write is not None and depth > 0:
            with self._refusals():
                self._finder.use(record, depth)

    def stats(self) -> StoreStats:
        """By the list of caches where that can be had, else of what this run has read."""
        waiting = [self._spool.size(f"sha256:{name}") or 0 for name in self._spooled()]
        if self._caches is None:
            heads = self._finder.heads()
            records = sum(is_record_key(head.key) for head in heads)
            size = sum(waiting) + self._packed.size()
            return StoreStats(records, len(waiting) + self._packed.known(), size, whole=False)
        listed = self._caches.all()
        records = sum(is_record_key(cache.key) for cache in listed)
        size = sum(cache.size for cache in listed)
        return StoreStats(records, len(waiting) + self._packed.known(), sum(waiting) + size)

    def collect(self) -> int:
        """Remove entries, least recently used first. Without the list of caches that is left to the service, which
        does the same at its own limit."""
        if self._scopes.write is None:
            return 0
        if self._caches is None:
            return self._collect_spool(0)
        freed = self._collect_spool(max(0, self._max_size - sum(cache.size for cache in self._caches.all())))
        for cache in self._caches.unwanted(Retention(max_size=self._max_size)) if self._writing else ():
            self._caches.remove(cache)
            self._entries.forget(cache.key)
            freed += cache.size
        return freed

    def prune(self, rules: Retention) -> Removed:
        """Whole entries, by the list of caches. In an entry there is nothing that no record names. Raises
        StoreUnavailable where the list can't be had."""
        if not self._clearing:
            return Removed(0, 0, 0)
        caches = self._demand_list()
        gone = caches.unwanted(rules)
        for cache in () if rules.dry_run else gone:
            caches.remove(cache)
            self._entries.forget(cache.key)
        records = sum(is_record_key(cache.key) for cache in gone)
        return Removed(records, 0, sum(cache.size for cache in gone))

    def inventory(self) -> Iterator[Holding]:
        """By the list of caches, too; entries of scopes that this run may not read are there, but can't be opened."""
        for cache in self._demand_list().all():
            if not is_record_key(cache.key):
                continue
            readable = self._reading and cache.scope in self._scopes.read
            head = self._finder.load(cache.key) if readable else None
            yield Holding(
                scope=cache.scope,
                stage=head.records[0].stage if head else cache.key,
                title=title(head.records[0]) if head else "",
                created=cache.created,
                used=cache.used,
                parts={str(cache.id): cache.size},
            )

    def _demand_list(self) -> CacheList:
        if self._caches is None:
            raise StoreUnavailable(
                "GitHub lists and removes caches by its REST API alone: set GITHUB_TOKEN to a token with actions: "
                "write, and GITHUB_REPOSITORY, and have PyGithub installed (it comes with layercache-ci[github])"
            )
        return self._caches

    def records(self) -> Iterator[StepRecord]:
        """Those in the list of caches, else those that this run has read."""
        heads = self._finder.heads()
        if self._caches is not None and self._reading:
            keys = [cache.key for cache in self._caches.all() if cache.scope in self._scopes.read]
            read = (self._finder.load(key) for key in dict.fromkeys(keys) if is_record_key(key))
            heads = [head for head in read if head is not None]
        records = {identity_of(record): record for head in heads for record in head.records}
        yield from sorted(records.values(), key=lambda record: record.created, reverse=True)

    def _spooled(self) -> list[str]:
        folder = self._folder.path(BLOBS)
        if not folder.is_dir():
            return []
        return [path.name for path in folder.iterdir() if path.suffix != SIDECAR]

    def _collect_spool(self, limit: int) -> int:
        """What waited for a record and got none."""
        from layercache_ci.store.collect import collect  # noqa: PLC0415 - a restore has no use for it

        return collect(self._folder, limit) if self._spooled() else 0

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """A service that refuses to be read is not asked again, and said so once."""
        try:
            yield
        except Refused:
            self._reading = False
            raise
