"""Our lines while a build goes on: a status that comes and goes on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

CLEAR: Final = "\r\x1b[K"


class Voice:
    """Says things on `stream`, each with our name in front, so that standard output stays the engine's own."""

    def __init__(self, stream: TextIO, *, terminal: bool) -> None:
        self._stream = stream
        self._terminal = terminal

    def say(self, line: str) -> None:
        """A line that stays."""
        self._write(f"layercache: {line}\n")

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """On a terminal, what goes on until the block ends; elsewhere nothing, since the result gets a line anyway."""
        if not self._terminal:
            yield
            return
        self._write(f"layercache: {what} …")
        try:
            yield
        finally:
            self._write(CLEAR)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            # nobody listens any more; the build goes on
            return
