"""Work done beside the main thread, whose end nobody has to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def aside(work: Callable[[], T]) -> Future[T]:
    """Begin `work` in a daemon thread: a process that ends does not wait for it, as an executor's would. What it raises
    is raised where the result is asked for."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is another thread's to raise
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result
