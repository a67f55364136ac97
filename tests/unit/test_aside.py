"""Work beside the main thread."""

from __future__ import annotations

import gc
import threading
from functools import partial

import pytest

from layercache_ci.aside import Pool
from tests.waiting import SECONDS, until


def test_no_more_threads_than_given_work_and_they_end_with_the_pool() -> None:
    before, started = set(threading.enumerate()), threading.Barrier(3)
    pool = Pool(2)
    first = [pool.submit(partial(started.wait, SECONDS)) for _ in range(2)]
    waiting = pool.submit(lambda: 7)
    given_up = pool.submit(lambda: 8)
    threads = set(threading.enumerate()) - before

    assert len(threads) == 2
    assert all(thread.daemon for thread in threads)
    assert given_up.cancel()
    started.wait(SECONDS)
    assert waiting.result(SECONDS) == 7
    assert {each.result(SECONDS) for each in first} < {0, 1, 2}

    del pool
    gc.collect()
    until(lambda: not any(thread.is_alive() for thread in threads))


def test_an_idle_thread_is_used_again() -> None:
    pool, before = Pool(8), set(threading.enumerate())
    for number in range(5):
        assert pool.submit(partial(int, number)).result(SECONDS) == number
        until(lambda: pool._idle._value == 1)
    assert len(set(threading.enumerate()) - before) == 1


def test_what_work_raises_is_raised_where_it_is_asked_for() -> None:
    pool = Pool(1)
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result(SECONDS)
    assert pool.submit(lambda: 1).result(SECONDS) == 1
