"""Loading what is large: the garbage collector is held off meanwhile.

What is made then stays, and it would look through all of it again and again, in vain: a third of the time that botocore
takes to load and to make its client.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final


class _Pause:
    """Of all threads together: the collector is the process's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loading = 0
        self._collects = False
        os.register_at_fork(after_in_child=self._forget)

    def begin(self) -> None:
        with self._lock:
            if not self._loading:
                self._collects = gc.isenabled()
                gc.disable()
            self._loading += 1

    def end(self) -> None:
        with self._lock:
            self._loading -= 1
            if not self._loading and self._collects:
                gc.enable()

    def _forget(self) -> None:
        """A process that was forked has none of the threads that were loading."""
        self._lock = threading.Lock()
        if self._loading and self._collects:
            gc.enable()
        self._loading = 0


_PAUSE: Final = _Pause()


@contextmanager
def loading() -> Iterator[None]:
    _PAUSE.begin()
    try:
        yield
    finally:
        _PAUSE.end()
