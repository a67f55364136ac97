"""The blobs that lie in packs: where, and their bytes, whole or in ranges."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import BinaryIO, Final

from layercache_ci.aside import Pool
from layercache_ci.errors import BlobDamaged, BlobNotFound
from layercache_ci.layers.model import Descriptor
from layercache_ci.store.blocks import BLOCK, DIGEST, blocks_match
from layercache_ci.store.github.entries import Entries
from layercache_ci.store.github.pack import Head, Location
from layercache_ci.store.parts import Buffers, Parts
from layercache_ci.store.verified import BUFFER, BlobReader, InPieces, Verified

SEGMENT: Final = 4 << 20
"""Bytes of one request for a blob that is read whole."""

AHEAD: Final = 3
"""Such requests under way beside the one that is read: a stream holds 16 MiB at most."""


class PackedBlobs:
    """What the heads that were read say of blobs. Safe for threads."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self._places: dict[str, tuple[Location, ...]] = {}
        self._damaged: set[tuple[str, str]] = set()
        """Entry and digest."""
        self._lock = threading.Lock()
        self._buffers = Buffers(SEGMENT)

    def learn(self, head: Head) -> None:
        with self._lock:
            for digest, place in head.locations.items():
                known = self._places.get(digest, ())
                if place not in known:
                    self._places[digest] = (place, *known)

    def place(self, digest: str) -> Location | None:
        """Where the blob lies whole in an entry that is there, None where nowhere."""
        sound = (place for place in self._places.get(digest, ()) if (place.entry, digest) not in self._damaged)
        return next((place for place in sound if self._entries.alive(place.entry)), None)

    def known(self) -> int:
        """How many blobs have been heard of."""
        return len(self._places)

    def size(self) -> int:
        """Bytes of those."""
        return sum(places[0].size for places in self._places.values())

    def open(self, descriptor: Descriptor) -> BinaryIO:
        place = self._demand(descriptor)

        def fetch(into: memoryview, start: int) -> int:
            try:
                return self._entries.read_into(into, place.entry, place.offset + start)
            except BlobDamaged:
                raise damaged() from None

        def damaged() -> BlobDamaged:
            return self._declare(descriptor, place)

        pool = Pool(1 + AHEAD)

        def submit(work: Callable[[int], int], start: int) -> Future[int]:
            return pool.submit(partial(work, start))

        parts = Parts(place.size, fetch, submit, self._buffers, ahead=AHEAD)
        return BlobReader(Verified(InPieces(parts), descriptor, damaged), BUFFER)

    def read_range(self, descriptor: Descriptor, offset: int, length: int) -> bytes:
        place = self._demand(descriptor)
        first, end = offset // BLOCK, min(offset + length, place.size)
        if end <= offset:
            return b""
        last = -(-end // BLOCK)
        start = first * BLOCK
        try:
            data = self._entries.read(place.entry, place.offset + start, min(last * BLOCK, place.size) - start)
        except BlobDamaged:
            raise self._declare(descriptor, place) from None
        if not blocks_match(data, place.blocks[first * DIGEST : last * DIGEST]):
            raise self._declare(descriptor, place)
        return data[offset - start : end - start]

    def _demand(self, descriptor: Descriptor) -> Location:
        place = self.place(descriptor.digest)
        if place is None:
            raise BlobNotFound(f"{descriptor.digest} is not in the GitHub cache")
        if place.size != descriptor.size:
            raise self._declare(descriptor, place)
        return place

    def _declare(self, descriptor: Descriptor, place: Location) -> BlobDamaged:
        self._damaged.add((place.entry, descriptor.digest))
        return BlobDamaged(f"{descriptor.digest} is damaged in the GitHub cache; it will be built anew")
