"""A build forks to save in the background, after its threads have asked the store: the child has none of them."""

from __future__ import annotations

from multiprocessing import get_context

from tests.integration.store.s3.conftest import Place


def test_a_forked_process_goes_on_with_the_store(place: Place) -> None:
    store = place.open()
    assert store.lookup("ns", ("a" * 64, "b" * 64)) is None
    child = get_context("fork").Process(target=store.lookup, args=("ns", ("a" * 64, "b" * 64)))
    child.start()
    child.join(timeout=60)
    code = child.exitcode
    child.kill()
    assert code == 0
