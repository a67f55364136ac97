"""The collector is held off while anybody loads, and only then."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator

import pytest

from layercache_ci.store.loading import loading


@pytest.fixture(autouse=True)
def _collecting() -> Iterator[None]:
    before = gc.isenabled()
    gc.enable()
    yield
    if not before:
        gc.disable()


def test_it_comes_back_when_the_last_one_is_done_however_that_ends() -> None:
    with loading():
        with pytest.raises(ZeroDivisionError), loading():
            raise ZeroDivisionError
        assert not gc.isenabled()
    assert gc.isenabled()


def test_who_did_without_it_does_so_after_it() -> None:
    gc.disable()
    with loading():
        pass
    assert not gc.isenabled()


def test_a_forked_process_has_it_again_and_may_load() -> None:
    begun, ended = threading.Event(), threading.Event()

    def load() -> None:
        with loading():
            begun.set()
            ended.wait(60)

    thread = threading.Thread(target=load)
    thread.start()
    begun.wait(60)
    child = os.fork()
    if child == 0:
        sound = gc.isenabled()
        with loading():
            sound = sound and not gc.isenabled()
        os._exit(0 if sound and gc.isenabled() else 1)
    _, status = os.waitpid(child, 0)
    ended.set()
    thread.join()
    assert status == 0
    assert gc.isenabled()
