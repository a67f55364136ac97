"""Bodies of uploads. What goes as one string has one timeout for all of it, so that no slow link ever takes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

PIECE: Final = 64 << 10
"""Bytes that must be on their way within one timeout. In smaller pieces they cost more CPU."""


class Body:
    """What is sent, in pieces, and from its start as often as somebody asks."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = memoryview(data)

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[memoryview]:
        return (self._data[start : start + PIECE] for start in range(0, len(self._data), PIECE))
