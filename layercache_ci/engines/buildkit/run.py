"""The engine's own process: started while we still plan where that can be, and looked back on once it is over."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from layercache_ci.aside import aside
from layercache_ci.engines.buildkit import history
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.client_config import buildx_folder
from layercache_ci.engines.buildkit.command import build_words
from layercache_ci.engines.buildkit.progress import Progress
from layercache_ci.engines.buildkit.session import Reached, Session
from layercache_ci.engines.process import Running, launch
from layercache_ci.errors import CacheError
from layercache_ci.settings import BuildSettings, Machine


@dataclass(frozen=True, slots=True)
class Early:
    """An engine that was started before the plan was made, at the time `launched` (monotonic, in seconds)."""

    running: Running
    reached: Reached
    launched: float


@dataclass(slots=True)
class EngineRun:
    """`builder` is the user's; `metadata_file` is what buildx writes of the build, where anything is asked of it."""

    machine: Machine
    builder: Builder
    metadata_file: Path | None
    launched: float | None = None
    _known: frozenset[str] = field(init=False)
    """The builds that buildx had noted before."""
    _early: Future[Early | None] | None = None
    _launching: threading.Lock = field(default_factory=threading.Lock)
    """An engine is either started before `stop`, and ended by it, or not at all."""
    _unfollowed: Running | None = None
    _stopped: bool = False

    def __post_init__(self) -> None:
        self._known = history.references(self._notes)

    @property
    def metadata(self) -> Mapping[str, object]:
        """What buildx wrote down of the build; nothing where it failed."""
        with suppress(OSError, ValueError):
            value = json.loads(b"" if self.metadata_file is None else self.metadata_file.read_bytes())
            if isinstance(value, dict):
                return value
        return {}

    def start_early(self, settings: BuildSettings, session: Session) -> None:
        """Start the engine aside: it has its own things to do before it asks what was restored. Not where it has to
        wait; what is wrong then shows when the plan is made."""
        self._early = aside(partial(self._launch_early, settings, session))

    def start(self, settings: BuildSettings, reached: Reached | None, cache_from: tuple[str, ...]) -> Running:
        """The engine at work, `reached` being None where it builds without us. Raises EngineError."""
        early = None if self._early is None else self._early.result()
        self._early = None
        if early is None:
            return self._launch(settings, reached, cache_from)
        self.launched, self._unfollowed = early.launched, None
        if not cache_from:
            with suppress(CacheError):
                early.reached.transport.decline()
        return early.running

    def start_again(self, settings: BuildSettings, reached: Reached) -> Running:
        """Without a cache. Raises EngineError."""
        self._known = history.references(self._notes)
        return self._launch(settings, reached, ())

    def look_back(self, settings: BuildSettings, reached: Reached, *, ended_well: bool) -> Progress | None:
        """What came of each vertex; None where it failed before there was a build. Raises CacheError where the builder
        doesn't tell."""
        reference = self.metadata.get("buildx.build.ref")
        if not isinstance(reference, str):
            context = Path(settings.context).absolute()
            reference = history.latest(self._known, self._notes, reached.builder.name, context)
        if reference is not None:
            return history.replay(reference, reached.environment)
        if ended_well:
            raise CacheError("buildx has no note of the build")
        return None

    def stop(self) -> None:
        """End an engine that nobody came to follow."""
        with self._launching:
            self._stopped = True
        if self._unfollowed is not None:
            self._unfollowed.stop()

    @property
    def _notes(self) -> Path:
        """Where buildx notes each build that it begins (docker/buildx, localstate)."""
        return buildx_folder(self.machine) / "refs"

    def _launch_early(self, settings: BuildSettings, session: Session) -> Early | None:
        early = None
        with suppress(Exception):
            reached = session.reached()
            cache_from = reached.transport.promise() if reached.builder == self.builder else ()
            if cache_from:
                with self._launching:
                    if not self._stopped:
                        self._unfollowed = self._run(settings, reached, cache_from)
                        early = Early(self._unfollowed, reached, time.monotonic())
        return early

    def _launch(self, settings: BuildSettings, reached: Reached | None, cache_from: tuple[str, ...]) -> Running:
        self.launched = self.launched or time.monotonic()
        return self._run(settings, reached, cache_from)

    def _run(self, settings: BuildSettings, reached: Reached | None, cache_from: tuple[str, ...]) -> Running:
        builder, environment = self.builder, self.machine.environment
        if reached is not None:
            builder, environment = reached.builder, reached.environment
        words = build_words(
            settings,
            builder=builder.name,
            environment=environment,
            cache_from=cache_from,
            metadata=self.metadata_file,
            stands_in=builder.name != self.builder.name,
            attests=builder.attests,
        )
        return launch(words, environment)
