"""Reads the history of a build while it is made: a client that is asked for it afterwards has to start first, 0.15 s.

BuildKit's status of a build that is at work begins with all that happened before (moby/buildkit, util/progress,
MultiReader) and ends with the build, and `docker buildx history logs` gives it out as it comes.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from layercache_ci.aside import aside
from layercache_ci.engines.buildkit import history
from layercache_ci.engines.buildkit.progress import Progress

LOOK: Final = 0.1
"""Seconds between two looks at buildx's notes, which it writes when a build begins."""
LOOKS: Final = 100
PAUSES: Final = (0.2, 0.4, 0.8, 1.6)
"""Seconds before the next attempt: the note is there a moment before the build is, longer on a busy machine."""


@dataclass(slots=True)
class Follower:
    """Follows the build of `subject` that began on a builder since buildx had noted only those `known`. Whoever started
    it calls `stop`, or `progress` once the build is over. Nothing here raises: there is `history.replay` besides."""

    notes: Path
    known: Collection[str]
    builder: str
    subject: history.Subject
    environment: Mapping[str, str]
    _reference: str | None = None
    _process: subprocess.Popen[bytes] | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _starting: threading.Lock = field(default_factory=threading.Lock)
    _told: Future[Progress | None] = field(init=False)

    def __post_init__(self) -> None:
        self._told = aside(self._follow)

    def progress(self, reference: str) -> Progress | None:
        """What happened in that build, `builder/node/id`, to its end; None where it is not known from here."""
        self._over.set()
        if self._reference != reference:
            self.stop()
            return None
        with suppress(Exception):
            return self._told.result(history.PATIENCE)
        return None

    def stop(self) -> None:
        """Never mind."""
        self._over.set()
        with self._starting:
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()

    def _follow(self) -> Progress | None:
        for _ in range(LOOKS):
            if self._over.wait(LOOK):
                return None
            self._reference = history.latest(self.known, self.notes, self.builder, self.subject)
            if self._reference is not None:
                break
        else:
            return None
        for pause in (*PAUSES, 0):
            progress = self._read(self._reference)
            if progress is not None or self._over.wait(pause):
                return progress
        return None

    def _read(self, reference: str) -> Progress | None:
        """One attempt."""
        with self._starting:
            if self._over.is_set():
                return None
            process = self._process = subprocess.Popen(
                history.logs_words(reference, self.environment),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                process_group=0,  # whoever interrupts us at a terminal means the build
            )
        progress = Progress()
        with process:
            for line in process.stderr or ():
                progress.feed(line.decode("utf-8", "replace"))
        return progress if process.returncode == 0 else None
