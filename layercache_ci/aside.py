"""Work done beside the main thread, whose end nobody has to wait for."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

Work = tuple[Future[Any], Callable[[], Any]]


def aside(work: Callable[[], T]) -> Future[T]:
    """Begin `work` in a daemon thread: a process that ends does not wait for it, as an executor's would. What it raises
    is raised where the result is asked for."""
    result: Future[T] = Future()
    threading.Thread(target=_do, args=(result, work), daemon=True).start()
    return result


class Pool:
    """Work for so many threads at most, which are kept for more of it, begun when there is none idle. They are daemons:
    a process that ends waits for none. They end with the pool."""

    def __init__(self, threads: int) -> None:
        self._left = threads
        self._lock = threading.Lock()
        self._idle = threading.Semaphore(0)
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        weakref.finalize(self, self._queue.put, None).atexit = False

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """As `aside`; what has not been begun may be cancelled."""
        result: Future[T] = Future()
        self._queue.put((result, work))
        with self._lock:
            if self._left and not self._idle.acquire(blocking=False):
                self._left -= 1
                threading.Thread(target=_work_off, args=(self._queue, self._idle), daemon=True).start()
        return result


def _work_off(queue: SimpleQueue[Work | None], idle: threading.Semaphore) -> None:
    while (given := queue.get()) is not None:
        if given[0].set_running_or_notify_cancel():
            _do(*given)
        del given  # nothing of it is kept while we wait
        idle.release()
    queue.put(None)


def _do(result: Future[T], work: Callable[[], T]) -> None:
    try:
        result.set_result(work())
    except BaseException as error:  # noqa: BLE001 - it is another thread's to raise
        result.set_exception(error)
