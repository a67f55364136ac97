"""A pack: what an entry of the GitHub cache holds.

    8 bytes   b"lcpack1\\n"
    8 bytes   the size of the head, big endian
    32 bytes  the head's sha256
    head      JSON, zstd-compressed
    blobs     one after the other

The head says all that a restore needs to know, also of older entries: the record of this save, the records that serve
links of its chain as their first writers, and where each blob that they name lies, with its block digests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from layercache_ci.errors import CacheError
from layercache_ci.store import serial
from layercache_ci.store.blocks import DIGEST, HEADER, sidecar_size
from layercache_ci.store.model import StepRecord

MAGIC: Final = b"lcpack1\n"
PREAMBLE: Final = len(MAGIC) + 8 + 32
LARGEST_HEAD: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Location:
    """Where a blob lies: bytes [offset, offset + size) of an entry, and the sha256 of each of its blocks."""

    entry: str
    offset: int
    size: int
    blocks: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Head:
    """`records[0]` is the record of the save, and `records[serves[i]]` serves link i of its chain."""

    key: str
    records: tuple[StepRecord, ...]
    serves: tuple[int, ...]
    locations: Mapping[str, Location]
    """By blob digest."""

    def common(self, keys: Sequence[str]) -> int:
        """How many of the first links carry these keys."""
        pairs = zip(self.records[0].chain, keys, strict=False)
        return next((depth for depth, (step, key) in enumerate(pairs) if step.key != key), self._shorter(keys))

    def server(self, depth: int) -> StepRecord:
        return self.records[self.serves[depth - 1]]

    def _shorter(self, keys: Sequence[str]) -> int:
        return min(len(keys), len(self.records[0].chain))


@dataclass(frozen=True, slots=True)
class NewBlob:
    """A blob that goes into the pack: its file and that of its block digests (blocks.py)."""

    digest: str
    size: int
    path: Path
    sidecar: Path


class PackSource:
    """A pack to be uploaded: its head in memory, its blobs in files. A context manager."""

    def __init__(self, head: bytes, blobs: Sequence[NewBlob]) -> None:
        self._head = head
        self._parts: list[tuple[int, int, int]] = []
        """Start in the pack, size, file descriptor."""
        self._files = ExitStack()
        self.size = len(head)
        for blob in blobs:
            file = self._files.enter_context(blob.path.open("rb", buffering=0))
            self._parts.append((self.size, blob.size, file.fileno()))
            self.size += blob.size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._files.close()

    def read(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self.size)
        pieces = [self._head[offset:end]]
        for start, size, descriptor in self._parts:
            first, last = max(offset, start), min(end, start + size)
            if first < last:
                pieces.append(_pread(descriptor, last - first, first - start))
        whole = [piece for piece in pieces if piece]
        # Blocks are large: one that lies in one blob is not copied.
        return whole[0] if len(whole) == 1 else b"".join(whole)


def write_pack(
    key: str,
    records: Sequence[StepRecord],
    serves: Sequence[int],
    *,
    new: Sequence[NewBlob],
    old: Mapping[str, Location],
) -> tuple[Head, PackSource]:
    """The pack for the entry `key`: blobs in `new` lie in it, those in `old` where they are."""
    entries = {entry: number for number, entry in enumerate(sorted({found.entry for found in old.values()}))}
    blobs: dict[str, list[Any]] = {
        digest: [entries[found.entry], found.offset, found.size, _text(found.blocks)] for digest, found in old.items()
    }
    at = 0
    for blob in new:
        blobs[blob.digest] = [-1, at, blob.size, _text(_blocks(blob))]
        at += blob.size
    document = {
        "key": key,
        "records": [serial.to_json(record).decode() for record in records],
        "serves": list(serves),
        "entries": list(entries),
        "blobs": blobs,
    }
    body = serial.compress(json.dumps(document, separators=(",", ":")).encode())
    head = MAGIC + len(body).to_bytes(8, "big") + hashlib.sha256(body).digest() + body
    return read_head(key, head), PackSource(head, new)


def head_size(preamble: bytes) -> int:
    """Bytes of preamble and head. Raises CacheError where these are no pack's first bytes."""
    size = int.from_bytes(preamble[len(MAGIC) : len(MAGIC) + 8], "big")
    if len(preamble) < PREAMBLE or not preamble.startswith(MAGIC) or size > LARGEST_HEAD:
        raise CacheError("an entry of the cache is no pack of this program's")
    return PREAMBLE + size


def read_head(key: str, data: bytes) -> Head:
    """The head of the entry `key`, of the bytes that the pack begins with. Raises CacheError."""
    end = head_size(data)
    body = data[PREAMBLE:end]
    if len(data) < end or hashlib.sha256(body).digest() != data[len(MAGIC) + 8 : PREAMBLE]:
        raise CacheError(f"the head of the cache entry {key} is damaged")
    try:
        return _head(key, json.loads(serial.decompress(body)), end)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CacheError(f"the head of the cache entry {key} can't be read: {error}") from error


def _head(key: str, document: Any, payload: int) -> Head:
    if document["key"] != key:
        raise ValueError(f"it is that of {document['key']}")
    entries = [str(entry) for entry in document["entries"]]
    locations = {}
    for digest, (entry, offset, size, blocks) in document["blobs"].items():
        found = base64.b64decode(blocks)
        if len(found) + HEADER != sidecar_size(size) or offset < 0:
            raise ValueError(f"the place of {digest} makes no sense")
        holder, start = (key, payload + offset) if entry < 0 else (entries[entry], offset)
        locations[str(digest)] = Location(holder, start, size, found)
    records = tuple(serial.from_json(text.encode()) for text in document["records"])
    serves = tuple(int(number) for number in document["serves"])
    if not records or len(serves) != len(records[0].chain):
        raise ValueError("it does not say who serves each link")
    for depth, number in enumerate(serves, 1):
        if not 0 <= number < len(records) or len(records[number].chain) < depth:
            raise ValueError(f"no record serves link {depth}")
    return Head(key, records, serves, locations)


def _blocks(blob: NewBlob) -> bytes:
    data = blob.sidecar.read_bytes()[HEADER:]
    return data[: len(data) // DIGEST * DIGEST]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _pread(descriptor: int, length: int, offset: int) -> bytes:
    data = os.pread(descriptor, length, offset)
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), offset + len(data))
        if not more:
            raise CacheError("a blob that is being saved was cut short")
        data += more
    return data
