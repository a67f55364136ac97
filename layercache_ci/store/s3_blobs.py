"""Blobs on S3: one object each, `blobs/sha256/<hex>.<size>`: the blob, and then the digests of its blocks (blocks.py).

The name holds the size, so a listing alone tells which blobs are whole. The digests come last, where a lazily mounted
layer's table of contents is: the first read of it brings them too. An object that is there may be written again: with
the same bytes, or it was damaged and is whole from now on.
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from layercache_ci.errors import BlobDamaged, BlobNotFound, CacheError, StoreUnavailable
from layercache_ci.layers.model import Descriptor
from layercache_ci.store.blocks import BLOCK, DIGEST, HEADER, BlockHasher, blocks_match, sidecar_size
from layercache_ci.store.folder import write_all
from layercache_ci.store.parts import Buffers, Parts
from layercache_ci.store.s3_connection import Connection, Object, Piece, read_into
from layercache_ci.store.verified import BUFFER, BlobReader, InPieces, Verified

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOBS: Final = "blobs/sha256/"

PART: Final = 16 << 20
"""Bytes that one request of a whole read asks for. With half of it a restore took a tenth more of its own CPU."""
AHEAD: Final = 1
"""Such requests under way beside the one that is read: a stream holds 32 MiB at most."""
SMALL: Final = 16 << 20
"""Bytes up to which a blob is uploaded in one request."""
LARGEST_COPY: Final = 5 << 30
"""Bytes up to which S3 copies an object in one request."""
FEW: Final = 3
"""Blobs that are asked for one by one; for more of them, a page of the listing comes first."""

_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_NAME: Final = re.compile(re.escape(BLOBS) + r"([0-9a-f]{64})\.([0-9]{1,18})")


class S3Blobs:
    """`patience`: the seconds after which a blob that is in use is made young again."""

    def __init__(self, connection: Connection, folder: Path, *, writable: bool, patience: float) -> None:
        self._connection = connection
        self._folder = folder
        self._writable = writable
        self._patience = patience
        self._buffers = Buffers(PART)
        self._sidecars: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._coming: dict[str, Future[bytes]] = {}
        """Sidecars that somebody asked for: the pieces of a blob are read by many threads at once."""
        self._one_page = True

    def listed(self) -> dict[str, int] | None:
        """The blobs held whole and their sizes, where there are few enough for one request to tell."""
        if not self._one_page:
            return None
        page = self._connection.page(BLOBS)
        self._one_page = page.complete
        return _whole(page.objects) if page.complete else None

    def sizes(self, digests: Iterable[str]) -> Mapping[str, int]:
        """Bytes of those that are held whole."""
        wanted = {digest for digest in digests if _DIGEST.fullmatch(digest)}
        listed = self.listed() if len(wanted) > FEW else None
        if listed is not None:
            return {digest: listed[digest] for digest in wanted & listed.keys()}
        pages = self._connection.map(lambda digest: self._connection.page(f"{BLOBS}{_hex(digest)}.", limit=2), wanted)
        return _whole(found for page in pages for found in page.objects)

    def keep(self, blobs: Iterable[tuple[str, int]]) -> None:
        """Somebody uses these, or is about to name them in a record: digests and sizes. What is too large to be made
        young again is left as it is."""
        if self._writable:
            small = ((digest, size) for digest, size in blobs if size + sidecar_size(size) <= LARGEST_COPY)
            names = (_name(digest, size) for digest, size in small)
            self._connection.renew([name for name in names if name in self._connection.modified], self._patience)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        whole = _Whole(self._connection, descriptor)
        parts = Parts(whole.size, whole.read, self._connection.submit, self._buffers, ahead=AHEAD)
        parts.wait()
        damaged = partial(self._damaged, descriptor, whole.first.etag)
        if whole.first.total != descriptor.size + sidecar_size(descriptor.size):
            parts.close()
            raise damaged()
        return BlobReader(Verified(InPieces(parts), descriptor, damaged), BUFFER)

    def read_range(self, descriptor: Descriptor, offset: int, length: int) -> bytes:
        end = min(offset + length, descriptor.size)
        if end <= offset:
            return b""
        start = offset // BLOCK * BLOCK
        stop = min(-(-end // BLOCK) * BLOCK, descriptor.size)
        known = self._sidecars.get(descriptor.digest)
        if known is None and descriptor.size - stop <= BLOCK:
            # so near the end that the digests come along
            piece = self._read(descriptor, start, descriptor.size + sidecar_size(descriptor.size) - start)
            known = self._learn(descriptor, piece, piece.data[descriptor.size - start :])
        elif known is None:
            later = self._sidecar(descriptor)
            piece = self._read(descriptor, start, stop - start)
            known = later.result()
        else:
            piece = self._read(descriptor, start, stop - start)
        data = piece.data[: stop - start]
        digests = known[HEADER + start // BLOCK * DIGEST : HEADER + -(-stop // BLOCK) * DIGEST]
        whole = piece.total == descriptor.size + sidecar_size(descriptor.size)
        if not whole or len(data) < stop - start or not blocks_match(data, digests):
            raise self._damaged(descriptor, piece.etag)
        return data[offset - start : end - start]

    def writer(self, media_type: str) -> S3BlobWriter:
        return S3BlobWriter(self._connection, self._folder, media_type)

    def _read(self, descriptor: Descriptor, start: int, length: int) -> Piece:
        piece = self._connection.read(_name(descriptor.digest, descriptor.size), start, length)
        if piece is None:
            raise BlobNotFound(f"{descriptor.digest} is not in the store in {self._connection.settings.location}")
        return piece

    def _sidecar(self, descriptor: Descriptor) -> Future[bytes]:
        with self._lock:
            coming = self._coming.get(descriptor.digest)
            if coming is None or coming.done():
                coming = self._connection.submit(self._read_sidecar, descriptor)
                self._coming[descriptor.digest] = coming
        return coming

    def _read_sidecar(self, descriptor: Descriptor) -> bytes:
        piece = self._read(descriptor, descriptor.size, sidecar_size(descriptor.size))
        return self._learn(descriptor, piece, piece.data)

    def _learn(self, descriptor: Descriptor, piece: Piece, sidecar: bytes) -> bytes:
        """Raises BlobDamaged where these can't be the digests of that blob's blocks."""
        sound = len(sidecar) == sidecar_size(descriptor.size)
        if not sound or int.from_bytes(sidecar[:HEADER], "big") != descriptor.size:
            raise self._damaged(descriptor, piece.etag)
        self._sidecars[descriptor.digest] = sidecar
        return sidecar

    def _remove(self, name: str) -> None:
        """A run that may write but not delete leaves an empty object, which is no blob."""
        try:
            self._connection.delete(name)
        except StoreUnavailable:
            self._connection.put(name, b"")

    def _damaged(self, descriptor: Descriptor, etag: str) -> BlobDamaged:
        """Removes the blob that was read, unless another took its place meanwhile."""
        self._sidecars.pop(descriptor.digest, None)
        name = _name(descriptor.digest, descriptor.size)
        if self._writable:
            with suppress(CacheError):
                if not etag or self._connection.etag(name) == etag:
                    self._remove(name)
        place = self._connection.settings.location
        return BlobDamaged(f"{descriptor.digest} is damaged in the store in {place}; it will be built anew")


class _Whole:
    """What a whole read asks for, part by part."""

    def __init__(self, connection: Connection, descriptor: Descriptor) -> None:
        self._connection = connection
        self._descriptor = descriptor
        self.first = Piece(b"", -1, "", 0.0)
        """The blob's first part, once it is there."""

    @property
    def size(self) -> int:
        """Of an empty blob the sidecar's first byte is asked for: it tells that the blob is there."""
        return self._descriptor.size or 1

    def read(self, into: memoryview, start: int) -> int:
        digest, size = self._descriptor.digest, self._descriptor.size
        piece = self._connection.read(_name(digest, size), start, len(into), into=into)
        if piece is None:
            raise BlobNotFound(f"{digest} is not in the store in {self._connection.settings.location}")
        if start == 0:
            self.first = piece
        return min(piece.filled, size)


class S3BlobWriter:
    """A file that nobody sees and that goes with this process, hashed as it grows; uploaded when it is whole."""

    def __init__(self, connection: Connection, folder: Path, media_type: str) -> None:
        self._connection = connection
        self._folder = folder
        self._media_type = media_type
        self._hasher = BlockHasher()
        with self._faults():
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(OSError):  # what could not be written, which was said
            self._file.close()

    def write(self, data: bytes | memoryview, /) -> int:
        view = memoryview(data).cast("B")
        self._hasher.update(view)
        with self._faults():
            write_all(self._file, view)
        return len(view)

    def commit(self, expected: str | None = None) -> Descriptor:
        digest, size = self._hasher.digest(), self._hasher.size
        if expected not in (None, digest):
            raise BlobDamaged(f"a blob that should be {expected} turned out to be {digest}")
        with self._faults():
            write_all(self._file, memoryview(self._hasher.sidecar()))
            whole = self._file.tell()
        name = _name(digest, size)
        if size <= SMALL:
            with self._faults():
                body = bytearray(whole)
                read_into(self._file.fileno(), memoryview(body), 0)
            self._connection.put(name, body)
        else:
            with self._faults():
                self._connection.upload(name, self._file.fileno(), whole)
        return Descriptor(self._media_type, digest, size)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailable(
                f"a layer can't be kept in {self._folder} on its way to {self._connection.settings.location}: "
                f"{error.strerror} (free some space, or set XDG_CACHE_HOME to a folder that has it)"
            ) from error


def _whole(objects: Iterable[Object]) -> dict[str, int]:
    return dict(blob for entry in objects if (blob := blob_of(entry)))


def blob_of(entry: Object) -> tuple[str, int] | None:
    """Digest and size of the blob that the object holds, None where it is not whole, or is none."""
    name = _NAME.fullmatch(entry.name)
    size = int(name[2]) if name else 0
    return (f"sha256:{name[1]}", size) if name and entry.size == size + sidecar_size(size) else None


def _name(digest: str, size: int) -> str:
    return f"{BLOBS}{_hex(digest)}.{size}"


def _hex(digest: str) -> str:
    name = _DIGEST.fullmatch(digest)
    if name is None:
        raise BlobNotFound(f"{digest!r} is no digest that a store can hold: sha256:<64 hex digits>")
    return name[1]
