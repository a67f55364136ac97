"""A blob that is read whole from a distant store: in parts, a few of them under way ahead of the reader."""

from __future__ import annotations

import mmap
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, Protocol, Self

_PRIVATE: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


class Buffers:
    """Memory for parts of `size` bytes, used again and again as long as any is in use: new memory costs as much as a
    copy."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._lock = threading.Lock()
        self._free: list[mmap.mmap] = []
        self._lent = 0

    def take(self) -> mmap.mmap:
        with self._lock:
            self._lent += 1
            if self._free:
                return self._free.pop()
        # a bytearray would be filled with zeros first, while all other threads wait
        buffer = mmap.mmap(-1, self.size, flags=_PRIVATE)
        with suppress(OSError):  # a kernel that has no large pages
            buffer.madvise(mmap.MADV_HUGEPAGE)
        return buffer

    def give(self, buffer: mmap.mmap) -> None:
        with self._lock:
            self._lent -= 1
            self._free.append(buffer)
            if not self._lent:
                self._free.clear()


class Submit(Protocol):
    def __call__(self, work: Callable[[int], int], item: int, /) -> Future[int]: ...


@dataclass(frozen=True, slots=True)
class _Part:
    filled: Future[int]
    buffer: mmap.mmap
    """Where its bytes are put."""


class Parts:
    """`read(into, start)` fills that memory with what begins there and says how much came; `submit` has it done."""

    def __init__(
        self, size: int, read: Callable[[memoryview, int], int], submit: Submit, buffers: Buffers, *, ahead: int
    ) -> None:
        self._size = size
        self._read = read
        self._submit = submit
        self._buffers = buffers
        self._ahead = ahead
        self._starts = iter(range(0, size, buffers.size))
        self._coming: deque[_Part] = deque()
        self._current: _Part | None = None
        self._ask(1 + ahead)

    def wait(self) -> None:
        """Until the first part is there. Raises what it raised."""
        try:
            self._coming[0].filled.result()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> memoryview:
        """Its memory is used again once the next is asked for."""
        self._give_current()
        if not self._coming:
            raise StopIteration
        self._current = self._coming.popleft()
        self._ask(self._ahead)
        return memoryview(self._current.buffer)[: self._current.filled.result()]

    def close(self) -> None:
        self._give_current()
        for part in self._coming:
            part.filled.cancel()
            part.filled.add_done_callback(partial(self._give, part))
        self._coming.clear()

    def _give_current(self) -> None:
        if self._current is not None:
            self._give(self._current)
        self._current = None

    def _give(self, part: _Part, _: object = None) -> None:
        self._buffers.give(part.buffer)

    def _ask(self, most: int) -> None:
        for start in islice(self._starts, most - len(self._coming)):
            buffer = self._buffers.take()
            into = memoryview(buffer)[: min(self._buffers.size, self._size - start)]
            self._coming.append(_Part(self._submit(partial(self._read, into), start), buffer))
