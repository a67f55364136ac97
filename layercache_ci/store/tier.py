"""A local folder in front of a remote store, for machines that keep their disk.

What the remote gives, whole or in ranges, is kept here, verified; what is written goes to both. The remote is the
truth: records are asked of it, since it may have newer ones, and what it takes counts as saved. Where it can't be
reached the folder answers in its place. Where the folder fails, or is full of what is too young to go, the run goes on
without it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from layercache_ci.errors import BlobDamaged, BlobNotFound, CacheError, StoreUnavailable
from layercache_ci.layers.model import Descriptor
from layercache_ci.store.folder import Folder
from layercache_ci.store.local import LocalStore
from layercache_ci.store.model import (
    BlobWriter,
    Holding,
    Match,
    Removed,
    Retention,
    Scopes,
    StepRecord,
    Store,
    StoreStats,
)
from layercache_ci.store.tier_blobs import Blocks, BothWriter, Keeping, Pieces
from layercache_ci.store.verified import BUFFER, BlobReader, Verified

T = TypeVar("T")

PATIENCE: Final = 60.0
"""Seconds for which a remote that could not be reached is not asked again."""
SLACK: Final = 0.1
"""The part of the folder's size that is freed beyond what is needed, so that not every blob frees some."""


class TierStore:
    """`folder` holds at most `max_size` bytes, but for what is younger than ten minutes. `warn` hears, once each, that
    the remote can't be reached, and that the folder is of no use any more."""

    def __init__(
        self, remote: Store, folder: Path, *, scopes: Scopes, max_size: int, warn: Callable[[str], None]
    ) -> None:
        self._remote = remote
        self._near = LocalStore(folder, scopes=scopes, max_size=int(max_size * (1 - SLACK)))
        self._folder = Folder(folder)
        self._max_size = max_size
        self._warn = warn
        self._keeps = scopes.write is not None
        """Whether anything is kept: a run that may not write leaves this store, too, as it is."""
        self._usable = True
        self._pieces = Pieces(folder, self._keep)
        self._unreachable: StoreUnavailable | None = None
        self._asked_again = 0.0
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        return f"{self._remote.location} (tier in {self._folder.root})"

    def lookup(self, namespace: str, chain: Sequence[str]) -> Match | None:
        match = self._ask(lambda: self._remote.lookup(namespace, chain), lambda: self._near.lookup(namespace, chain))
        if match is not None and self._keeping:
            self._try(lambda: self._near.keep_match(match))
        return match

    def newest(self, namespace: str, stage: str) -> StepRecord | None:
        return self._ask(lambda: self._remote.newest(namespace, stage), lambda: self._near.newest(namespace, stage))

    def put_record(self, record: StepRecord, *, supersede: frozenset[str] = frozenset()) -> bool:
        put = self._remote.put_record(record, supersede=supersede)
        if self._keeping:
            self._try(lambda: self._near.keep_record(record, supersede=supersede))
        return put

    def contains(self, digests: Iterable[str]) -> frozenset[str]:
        wanted = tuple(digests)
        return self._ask(lambda: self._remote.contains(wanted), lambda: self._near.contains(wanted))

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        if self._holds(descriptor):
            blocks = Blocks(descriptor, lambda offset, length: self.read_range(descriptor, offset, length))
            return BlobReader(Verified(blocks, descriptor, lambda: _damaged(descriptor)), BUFFER)
        source = self._ask(lambda: self._remote.open_blob(descriptor))
        writer = self._near_writer(descriptor.media_type) if descriptor.size <= self._max_size else None
        if writer is None:
            return source
        return BlobReader(Keeping(source, writer, descriptor, self._keep), BUFFER)

    def read_range(self, descriptor: Descriptor, offset: int, length: int) -> bytes:
        if self._holds(descriptor):
            with suppress(BlobDamaged, BlobNotFound):
                found = self._near_answer(lambda: self._near.read_range(descriptor, offset, length))
                if found is not None:
                    return found
        data = self._ask(lambda: self._remote.read_range(descriptor, offset, length))
        if self._keeping and descriptor.size <= self._max_size:
            self._try(lambda: self._pieces.add(descriptor, offset, data, self._near.new_blob))
        return data

    def blob_file(self, descriptor: Descriptor) -> Path | None:
        return self._near.blob_file(descriptor) if self._holds(descriptor) else self._remote.blob_file(descriptor)

    def new_blob(self, media_type: str) -> BlobWriter:
        writer = self._remote.new_blob(media_type)
        return BothWriter(writer, self._near_writer(media_type), self._keep, limit=self._max_size)

    def touch(self, record: StepRecord, depth: int) -> None:
        self._try(lambda: self._near.touch(record, depth))
        self._remote.touch(record, depth)

    def stats(self) -> StoreStats:
        return self._remote.stats()

    def collect(self) -> int:
        """The folder as well; what went there is not counted."""
        self._try(self._near.collect)
        return self._remote.collect()

    def prune(self, rules: Retention) -> Removed:
        """Of the remote alone: the folder has its own limit."""
        return self._remote.prune(rules)

    def inventory(self) -> Iterator[Holding]:
        return self._remote.inventory()

    def records(self) -> Iterator[StepRecord]:
        """Where the remote is lost on the way, no more of them come."""
        found = self._ask(self._begun, lambda: (None, self._near.records()))
        first, rest = found
        if first is not None:
            yield first
        yield from rest

    def _begun(self) -> tuple[StepRecord | None, Iterator[StepRecord]]:
        records = self._remote.records()
        return next(records, None), records

    def _ask(self, remote: Callable[[], T], near: Callable[[], T] | None = None) -> T:
        """The remote, else the folder. Raises what the remote did where that can't help."""
        error = self._unreachable
        if error is None or time.monotonic() >= self._asked_again:
            try:
                answer = remote()
            except StoreUnavailable as new:
                with self._lock:
                    first, self._unreachable = self._unreachable is None, new
                    self._asked_again = time.monotonic() + PATIENCE
                if first:
                    self._warn(f"the remote store can't be used, the tier stands in for it: {new}")
                error = new
            else:
                self._unreachable = None
                return answer
        if near is None or not self._usable:
            raise StoreUnavailable(str(error)) from error
        try:
            return near()
        except CacheError as other:
            self._give_up(other)
            raise StoreUnavailable(str(error)) from error

    @property
    def _keeping(self) -> bool:
        return self._keeps and self._usable

    def _holds(self, descriptor: Descriptor) -> bool:
        held = self._near_answer(lambda: self._near.contains([descriptor.digest]))
        return bool(held)

    def _near_answer(self, ask: Callable[[], T]) -> T | None:
        """Of the folder, None where it has none to give. Raises BlobDamaged and BlobNotFound."""
        if not self._usable:
            return None
        try:
            return ask()
        except (BlobDamaged, BlobNotFound):
            raise
        except CacheError as error:
            self._give_up(error)
            return None

    def _near_writer(self, media_type: str) -> BlobWriter | None:
        return self._near_answer(lambda: self._near.new_blob(media_type)) if self._keeping else None

    def _keep(self, commit: Callable[[], object]) -> None:
        """Let something appear in the folder, and see that it stays small."""
        self._try(commit)
        self._try(self._make_room)

    def _make_room(self) -> None:
        size = self._folder.size()
        if size is None or size > self._max_size:
            self._near.collect()
            size = self._folder.size()
        if size is not None and size > self._max_size:
            self._keeps = False
            self._warn(f"the tier in {self._folder.root} is full of what this run uses: no more is kept there")

    def _try(self, work: Callable[[], object]) -> None:
        """What fails of the folder is no fault of the store."""
        if not self._usable:
            return
        try:
            work()
        except (BlobDamaged, BlobNotFound):
            return  # of one blob, which is then not kept
        except (CacheError, OSError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if self._usable:
            self._usable = False
            self._warn(f"the tier in {self._folder.root} is not used any more: {error}")


def _damaged(descriptor: Descriptor) -> BlobDamaged:
    return BlobDamaged(f"{descriptor.digest} is damaged; it will be built anew")
