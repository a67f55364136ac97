"""Registries of ours with a password, for tests."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from layercache_ci.registry.client import Registry, StoreChoice, start
from tests.waiting import SECONDS


@contextlib.contextmanager
def registry(folder: Path, *hosts: str) -> Iterator[Registry]:
    """One that listens on each of these hosts, the loopback without any."""
    store = StoreChoice("local", folder / "store", ("default",), "default")
    running = start(
        folder / "registry", store=store, owner=os.getpid(), environment=os.environ, hosts=hosts or ("127.0.0.1",)
    ).wait(SECONDS)
    try:
        yield running
    finally:
        running.stop()
