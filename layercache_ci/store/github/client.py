"""What both versions of the cache service can do, and how a pack goes up in parallel blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

BLOCK: Final = 16 << 20
"""Bytes of an uploaded block."""

WORKERS: Final = 4
"""Blocks in flight: with their bytes in memory that is 64 MiB."""

LONGEST_KEY: Final = 512
MOST_KEYS: Final = 10
"""Keys that one question may name."""


@dataclass(frozen=True, slots=True)
class Found:
    """The key of the entry that was matched, and the signed URL of its bytes."""

    key: str
    url: str = field(repr=False)


class Source(Protocol):
    """What is uploaded. Safe for threads."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes: ...


class Client(Protocol):
    """A cache service. Every fault is a CacheError."""

    def find(self, keys: Sequence[str]) -> Found | None:
        """In each scope of the token, and for each key in order: the entry of that key, else the newest whose key
        begins with it. At most MOST_KEYS keys."""

    def save(self, key: str, source: Source) -> bool:
        """Make an entry. False where one of that key is there, or is being made; nothing is sent then."""


def in_blocks(source: Source, send: Callable[[int, int, bytes], None]) -> None:
    """`send(number, offset, data)` for each block of the source, WORKERS of them at once. The first error ends it."""
    starts = range(0, source.size, BLOCK)

    def block(number: int) -> None:
        start = starts[number]
        send(number, start, source.read(start, min(BLOCK, source.size - start)))

    with ThreadPoolExecutor(WORKERS) as pool:
        futures = [pool.submit(block, number) for number in range(len(starts))]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()
