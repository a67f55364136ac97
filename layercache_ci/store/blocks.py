"""The digests of a blob's blocks, so that a range of it can be trusted without reading the rest.

They are kept beside the blob as its *sidecar*: the blob's size (8 bytes, big endian), then the sha256 of each block
(32 bytes each, in order; the last block may be short).
"""

from __future__ import annotations

import hashlib
from typing import Final

BLOCK: Final = 1 << 20
"""Bytes in a block."""

HEADER: Final = 8
DIGEST: Final = 32


class BlockHasher:
    """The digest of a whole blob and those of its blocks, taken while it passes by."""

    __slots__ = ("_block", "_blocks", "_whole", "size")

    def __init__(self) -> None:
        self._whole = hashlib.sha256()
        self._block = hashlib.sha256()
        self._blocks = bytearray()
        self.size = 0

    def update(self, data: memoryview) -> None:
        self._whole.update(data)
        at = 0
        while at < len(data):
            room = BLOCK - self.size % BLOCK
            piece = data[at : at + room]
            self._block.update(piece)
            self.size += len(piece)
            at += len(piece)
            if self.size % BLOCK == 0:
                self._blocks += self._block.digest()
                self._block = hashlib.sha256()

    def digest(self) -> str:
        return f"sha256:{self._whole.hexdigest()}"

    def sidecar(self) -> bytes:
        last = self._block.digest() if self.size % BLOCK else b""
        return self.size.to_bytes(HEADER, "big") + bytes(self._blocks) + last


def sidecar_size(size: int) -> int:
    """Bytes of the sidecar of a blob of `size` bytes."""
    return HEADER + DIGEST * -(-size // BLOCK)


def blocks_match(data: bytes, digests: bytes) -> bool:
    """Whether `data`, a run of whole blocks (the last one of a blob may be short), carries those `digests`."""
    view = memoryview(data)
    found = b"".join(hashlib.sha256(view[at : at + BLOCK]).digest() for at in range(0, len(view), BLOCK))
    return found == digests
