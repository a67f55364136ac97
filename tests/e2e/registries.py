"""Layercache's own registry, as a process that tests may kill."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.lab.engine import Engine


def registries(engine: Engine) -> Iterator[int]:
    """The processes of layercache's registry that this engine's builds have started."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"serve" in words and str(engine.folder).encode() in (process / "environ").read_bytes():
                yield int(process.name)
