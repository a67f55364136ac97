"""When a registry is nobody's any more, and what it is started with."""

from __future__ import annotations

import argparse
import io
import os
from pathlib import Path

import pytest

from layercache_ci.commands import serve
from layercache_ci.errors import InputError
from layercache_ci.registry.model import Service
from layercache_ci.registry.server import ORPHAN, Owner
from layercache_ci.store.choice import StoreChoice

NOBODY = 1 << 22
"""No process has this number: it is the kernel's limit."""


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_owner_that_lives_is_never_gone() -> None:
    clock = Clock()
    owner = Owner(os.getpid(), clock=clock)
    for _ in range(3):
        clock.now += 10 * ORPHAN
        assert not owner.gone()


def test_an_owner_may_be_gone_for_a_moment() -> None:
    clock = Clock()
    owner = Owner(NOBODY, clock=clock)
    clock.now += ORPHAN
    assert not owner.gone()
    owner.follow(os.getpid())
    clock.now += 10 * ORPHAN
    assert not owner.gone()
    owner.follow(NOBODY)
    clock.now += ORPHAN + 0.1
    assert owner.gone()


def test_a_service_is_the_same_after_its_journey() -> None:
    store = StoreChoice("local:/x", Path("/home/cache"), ("feature", "main"), None, 10**9)
    service = Service(Path("/run/x"), store, (5, 7), 42, "user", "password", (("a", "b"),))
    assert Service.from_json(service.to_json()) == service


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"folder": "/x", "store": 1}'])
def test_the_command_is_not_for_people(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    with pytest.raises(InputError, match=r"standard input: .*for `layercache build` to start"):
        serve.run(argparse.Namespace())
