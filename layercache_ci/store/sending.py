"""Bodies of uploads. What goes as one string has one timeout for all of it, so that no slow link ever takes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

PIECE: Final = 64 << 10
"""Bytes that must be on their way within one timeout. In smaller pieces they cost more CPU."""


class Body:
    """What is sent, in pieces, and from its start as often as somebody asks."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data)

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[memoryview]:
        return (self._data[start : start + PIECE] for start in range(0, len(self._data), PIECE))


class BodyFile(Body):
    """The same as a file, which botocore demands; none of it is copied."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        super().__init__(data)
        self._at = 0

    def read(self, size: int = -1, /) -> memoryview:
        """At most a piece, unless all of it is asked for."""
        start, length = self._at, len(self._data) if size < 0 else min(size, PIECE)
        self._at = min(start + length, len(self._data))
        return self._data[start : self._at]

    def seek(self, at: int, /) -> int:
        self._at = at
        return at

    def tell(self) -> int:
        return self._at
