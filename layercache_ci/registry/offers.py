"""Reads through to the store: blobs that are offered, given out only as far as they are verified."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from layercache_ci.errors import BlobDamaged, BlobNotFound, CacheError
from layercache_ci.layers.model import Descriptor
from layercache_ci.registry.fetch import PIECE as REQUEST
from layercache_ci.registry.fetch import Fetches
from layercache_ci.store.model import Store

PIECE: Final = 1 << 20
"""Bytes read at once of what is on this machine: a block of the store, so that none is verified twice. More at once is
no faster, and takes memory for each of many readers."""

PAUSES: Final = (0.1, 0.5)
"""Seconds between the tries of a read."""


class Offers:
    """What was offered may be asked for; of anything else the store is not asked. Safe for many threads."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._offered: dict[str, Descriptor] = {}
        self._found: set[str] = set()
        """Of what lies far away, that which was there when it was offered."""
        self._faults: dict[str, str] = {}
        self._fetches = Fetches(folder, self._read, damaged=self._remove)

    @property
    def faults(self) -> tuple[str, ...]:
        """`<digest>: <why>`, one for each blob that was offered and could not be given."""
        with self._lock:
            return tuple(f"{digest}: {why}" for digest, why in self._faults.items())

    def offer(
        self, descriptors: Sequence[Descriptor], *, prefetch: bool, chains: Iterable[tuple[str, Sequence[str]]] = ()
    ) -> None:
        """Blobs that lie in no file here are fetched from now on, in the order given, where `prefetch` says so.
        `chains` are namespaces and step keys of the records that name the blobs."""
        distant = [each for each in descriptors if each.size and self._store.blob_file(each) is None]
        found = self._find(distant, chains) if distant else frozenset()
        with self._lock:
            self._found |= found
            self._offered.update((each.digest, each) for each in descriptors)
            for each in descriptors:
                self._faults.pop(each.digest, None)
        for each in distant if prefetch else ():
            self._fetches.start(each)

    def get(self, digest: str) -> Descriptor | None:
        with self._lock:
            return self._offered.get(digest)

    def held(self, descriptor: Descriptor) -> bool:
        """Whether the store has it, still; one that is gone is offered no longer. A distant store is not asked again
        for each of the layers that an engine exports: what is gone by then shows when it is read, or named by a record.
        """
        with self._lock:
            found = descriptor.digest in self._found
        if found or self._fetches.get(descriptor.digest):
            return True
        try:
            if descriptor.digest in self._store.contains([descriptor.digest]):
                return True
            raise BlobNotFound("it was offered and is gone from the store")
        except CacheError as error:
            self._fault(descriptor, error)
            return False

    def read(self, descriptor: Descriptor, start: int, end: int) -> Iterator[bytes]:
        """Bytes [start, end), verified, piece by piece. Raises CacheError, which is recorded as a fault."""
        whole = (start, end) == (0, descriptor.size)
        try:
            local = self._store.blob_file(descriptor) is not None
            fetch = self._fetches.start(descriptor) if whole and not local else self._fetches.get(descriptor.digest)
            step = PIECE if local or fetch else REQUEST
            while start < end:
                stop = min(end, start - start % step + step)
                yield fetch.read(start, stop - start) if fetch else self._read(descriptor, start, stop - start)
                start = stop
        except CacheError as error:
            self._fault(descriptor, error)
            raise

    def _find(self, descriptors: Sequence[Descriptor], chains: Iterable[tuple[str, Sequence[str]]]) -> frozenset[str]:
        """Those that the store knows of. Some stores know where a blob lies only once they have looked up a record that
        names it. What stays unknown is found out by the one who asks for it."""
        wanted = {each.digest for each in descriptors}
        found: frozenset[str] = frozenset()
        with suppress(CacheError):
            for namespace, chain in chains:
                found = self._store.contains(wanted)
                if found >= wanted:
                    break
                self._store.lookup(namespace, chain)
        return found

    def _read(self, descriptor: Descriptor, offset: int, length: int) -> bytes:
        """Tried again after a pause: what a network or a busy disk does to a read is often over then. The first error
        is the one that tells most: a damaged blob may be gone at the second try."""
        first: CacheError | None = None
        for pause in (*PAUSES, None):
            try:
                data = self._store.read_range(descriptor, offset, length)
                if len(data) == length:
                    return data
                raise BlobDamaged(f"{len(data)} of {length} bytes came")
            except CacheError as error:
                first = first or error
                if pause is None or isinstance(error, BlobNotFound):
                    break
                time.sleep(pause)
        raise first or BlobNotFound(descriptor.digest)

    def _remove(self, descriptor: Descriptor) -> None:
        """A store removes what it finds damaged when it is read to its end."""
        with suppress(CacheError, OSError), self._store.open_blob(descriptor) as blob:
            while blob.read(PIECE):
                pass

    def _fault(self, descriptor: Descriptor, error: CacheError) -> None:
        with self._lock:
            self._faults.setdefault(descriptor.digest, str(error))
            if isinstance(error, BlobNotFound | BlobDamaged):
                self._offered.pop(descriptor.digest, None)
