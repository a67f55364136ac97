"""Blobs of a distant store, fetched in parallel ahead of the engine.

A blob is fetched in pieces, each of them verified by the store, by several workers at once; who reads it meanwhile
follows, and what is waited for comes first. A store verifies a piece by what lies beside the blob, which who may write
the one may write too: so the digest is taken as well, and the last piece given out only where it is the blob's.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from layercache_ci.errors import BlobDamaged, CacheError
from layercache_ci.layers.model import Descriptor
from layercache_ci.store.folder import write_all

PIECE: Final = 4 << 20
"""Bytes fetched by one request: whole blocks of the store."""

WORKERS: Final = 8

Read = Callable[[Descriptor, int, int], bytes]
"""A verified range of a blob: descriptor, offset, length. Raises CacheError."""


class Fetch:
    """One blob on its way: into `<name>.part`, renamed once it is whole and carries its digest."""

    def __init__(self, descriptor: Descriptor, path: Path, promote: Callable[[Fetch, int], None]) -> None:
        self.descriptor = descriptor
        self.count = -(-descriptor.size // PIECE)
        self._path = path
        # a name of its own: one that failed may still be read while the blob is fetched again
        self._part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        self._part.touch(0o600)
        self._promote = promote
        self._hash = hashlib.sha256()
        self._hashed = 0
        """Pieces: those before this one are in the hash."""
        self._hashing = threading.Lock()
        self._changed = threading.Condition()
        self._claimed: set[int] = set()
        self._arrived: set[int] = set()
        self._done: set[int] = set()
        self._error: CacheError | None = None

    def read(self, offset: int, length: int) -> bytes:
        """Waits for what is not there yet. Raises CacheError where it can't be fetched."""
        end = min(offset + length, self.descriptor.size)
        for index in range(offset // PIECE, -(-end // PIECE)):
            self._wait(index)
        return self._stored(offset, end - offset)

    def claim(self, index: int) -> bool:
        """Whether this piece is still to be fetched, by the caller then."""
        with self._changed:
            if index in self._claimed or self._error:
                return False
            self._claimed.add(index)
            return True

    def put(self, index: int, data: bytes) -> bool:
        """False where the blob is whole by it, and is another one."""
        with self._part.open("r+b", buffering=0) as file:
            file.seek(index * PIECE)
            write_all(file, memoryview(data))
        with self._changed:
            self._arrived.add(index)
            if index < self.count - 1:
                self._done.add(index)
                self._changed.notify_all()
        return not self._hash_arrived() or self._finish()

    def fail(self, error: CacheError) -> None:
        with self._changed:
            self._error = self._error or error
            self._part.unlink(missing_ok=True)
            self._changed.notify_all()

    def _stored(self, offset: int, length: int) -> bytes:
        """Of what has arrived. No descriptor is kept: a cache may have more blobs than a process may have files."""
        try:
            try:
                file = self._part.open("rb", buffering=0)
            except FileNotFoundError:
                file = self._path.open("rb", buffering=0)
            with file:
                return os.pread(file.fileno(), length, offset)
        except OSError as error:
            raise self._error or CacheError(f"{self.descriptor.digest}: {error}") from error

    def _hash_arrived(self) -> bool:
        """Take into the hash what follows without a gap; whether it is whole now, which one caller is told."""
        with self._hashing:
            before = self._hashed
            while self._hashed in self._arrived:
                self._hash.update(self._stored(self._hashed * PIECE, PIECE))
                self._hashed += 1
            return before < self._hashed == self.count

    def _finish(self) -> bool:
        if f"sha256:{self._hash.hexdigest()}" != self.descriptor.digest:
            return False
        with self._changed:
            self._part.replace(self._path)
            self._done.add(self.count - 1)
            self._changed.notify_all()
        return True

    def _wait(self, index: int) -> None:
        with self._changed:
            urgent = index not in self._claimed
        if urgent:
            self._promote(self, index)
        with self._changed:
            self._changed.wait_for(lambda: index in self._done or self._error is not None)
            if index not in self._done and self._error is not None:
                raise self._error


class Fetches:
    """Each blob is fetched once; one whose fetch failed may be tried again. `damaged` is told of one that came whole
    and was another."""

    def __init__(
        self, folder: Path, read: Read, *, damaged: Callable[[Descriptor], None], workers: int = WORKERS
    ) -> None:
        self._folder = folder / "fetched/sha256"
        self._read = read
        self._damaged = damaged
        self._workers = workers
        self._lock = threading.Lock()
        self._fetches: dict[str, Fetch] = {}
        self._queue: deque[tuple[Fetch, int]] = deque()
        self._waiting = threading.Semaphore(0)
        self._started = False

    def get(self, digest: str) -> Fetch | None:
        with self._lock:
            return self._fetches.get(digest)

    def start(self, descriptor: Descriptor) -> Fetch:
        """The fetch of that blob, which may be under way or done already. Raises CacheError where no file can be made
        for it."""
        with self._lock:
            fetch = self._fetches.get(descriptor.digest)
            if fetch is None:
                fetch = self._fetches[descriptor.digest] = self._new(descriptor)
                self._queue.extend((fetch, index) for index in range(fetch.count))
                if fetch.count:
                    self._waiting.release(fetch.count)
        return fetch

    def _new(self, descriptor: Descriptor) -> Fetch:
        try:
            self._start_workers()
            return Fetch(descriptor, self._folder / descriptor.digest.removeprefix("sha256:"), self._promote)
        except OSError as error:
            raise CacheError(f"{descriptor.digest} can't be fetched into {self._folder}: {error}") from error

    def _promote(self, fetch: Fetch, index: int) -> None:
        # It stays in its place of the queue as well, where it will be found claimed.
        self._queue.appendleft((fetch, index))
        self._waiting.release()

    def _start_workers(self) -> None:
        if self._started:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._started = True
        for _ in range(self._workers):
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            self._waiting.acquire()
            fetch, index = self._queue.popleft()
            if fetch.claim(index):
                self._fetch(fetch, index)

    def _fetch(self, fetch: Fetch, index: int) -> None:
        try:
            length = min(PIECE, fetch.descriptor.size - index * PIECE)
            data = self._read(fetch.descriptor, index * PIECE, length)
            if not fetch.put(index, data):
                self._drop(
                    fetch, BlobDamaged(f"{fetch.descriptor.digest} is damaged in the store; it will be built anew")
                )
                self._damaged(fetch.descriptor)
        except CacheError as error:
            self._drop(fetch, error)
        except Exception as error:  # noqa: BLE001 - a worker that dies would leave its readers waiting for ever
            self._drop(fetch, CacheError(f"{fetch.descriptor.digest}: {error!r}"))

    def _drop(self, fetch: Fetch, error: CacheError) -> None:
        with self._lock:
            if self._fetches.get(fetch.descriptor.digest) is fetch:
                del self._fetches[fetch.descriptor.digest]
        fetch.fail(error)
