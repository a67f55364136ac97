"""The engine's own process: started while we still plan where that can be, and looked back on once it is over."""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from layercache_ci.aside import aside
from layercache_ci.engines.buildkit import history
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.client_config import buildx_folder
from layercache_ci.engines.buildkit.command import build_words
from layercache_ci.engines.buildkit.exporter import may_export, should_export
from layercache_ci.engines.buildkit.follow import Follower
from layercache_ci.engines.buildkit.forms import (
    Form,
    Held,
    Notes,
    Restored,
    Told,
    held_after,
    in_gzip,
    keeps_notes,
    tell,
)
from layercache_ci.engines.buildkit.load import Pull, pull_of
from layercache_ci.engines.buildkit.metadata import ALL_OF_IT
from layercache_ci.engines.buildkit.planning import asked_platforms
from layercache_ci.engines.buildkit.progress import Progress
from layercache_ci.engines.buildkit.session import Reached, Session
from layercache_ci.engines.buildkit.transport import REPOSITORY, Transport
from layercache_ci.engines.process import Running, launch
from layercache_ci.errors import CacheError
from layercache_ci.settings import BuildSettings, Machine

OF_OURS: Final = re.compile(rf"http://[^/\s]+:\d+/v2/{REPOSITORY}/blobs/")
"""A layer in a registry of ours, in an error of BuildKit's."""


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
    saves: bool = True
    """Whether what is built is to be saved."""
    foreseen: bool = False
    """Whether nothing will be built, as far as we know."""
    restored: Restored | None = None
    """What is restored of the target, as soon as that is known."""
    told: Told | None = None
    """How the engine that was started last was told to compress; None where it builds without us."""
    _known: frozenset[str] = field(init=False)
    """The builds that buildx had noted before."""
    _early: Future[Early | None] | None = None
    pull: Pull | None = None
    """How the daemon gets the result of the engine that was started last, where it is not sent a tarball."""
    _launching: threading.Lock = field(default_factory=threading.Lock)
    """An engine is either started before `stop`, and ended by it, or not at all."""
    _unfollowed: Running | None = None
    _stopped: bool = False
    _decided: threading.Event = field(default_factory=threading.Event)
    _admitted: bool = False
    _follower: Follower | None = None
    _exports_to: Transport | None = None
    """As its first export; kept here since who plans may give up what the engine at work was told."""
    _held: Held = Held.NOTHING
    """What the builder may have had of our doing before, or by what other builds do meanwhile."""
    _mark: str = field(default_factory=lambda: secrets.token_hex(8))
    """By which our notes are known."""

    def __post_init__(self) -> None:
        self._known = history.references(self._notes)

    @property
    def exports(self) -> bool:
        """Whether the engine that was started last was told to export its cache itself once its result is in place."""
        return self._exports_to is not None

    @property
    def exported(self) -> str | None:
        """The digest of that export's manifest, where it came to one."""
        with suppress(CacheError):
            return None if self._exports_to is None else self._exports_to.exported(0).digest
        return None

    @property
    def metadata(self) -> Mapping[str, object]:
        """What buildx wrote down of the build; nothing where it failed."""
        with suppress(OSError, ValueError):
            value = json.loads(b"" if self.metadata_file is None else self.metadata_file.read_bytes())
            if isinstance(value, dict):
                return value
        return {}

    def start_early(self, settings: BuildSettings, session: Session) -> None:
        """Start the engine aside, once it is admitted: it has its own things to do before it asks what was restored.
        Not where it has to wait; what is wrong then shows when the plan is made."""
        self._early = aside(partial(self._launch_early, settings, session))

    def admit(self) -> None:
        """There will be a plan, as far as that is known before a registry is asked: a build without one exports
        nothing."""
        self._admitted = True
        self._decided.set()

    def start(self, settings: BuildSettings, reached: Reached | None, cache_from: tuple[str, ...]) -> Running:
        """The engine at work, `reached` being None where it builds without us. Raises EngineError."""
        self._decided.set()  # what was not admitted by now has not been started
        with self._launching:
            # to boot a builder takes minutes: who will not use it does not wait for it, nor for an engine on it
            self._stopped |= self._unfollowed is None and (reached is None or not self._admitted)
        early = None if self._early is None or self._stopped else self._early.result()
        self._early = None
        if early is None:
            return self._launch(settings, reached, cache_from)
        self.launched, self._unfollowed = early.launched, None
        if not cache_from:
            with suppress(CacheError):
                early.reached.transport.decline()
        return early.running

    def start_again(self, settings: BuildSettings, reached: Reached, cache_from: tuple[str, ...] = ()) -> Running:
        """Without a cache, or with this one, its result sent as a tarball. Raises EngineError."""
        self._read_no_more()
        self._known = history.references(self._notes)
        return self._launch(settings, reached, cache_from, again=True)

    def look_back(self, settings: BuildSettings, reached: Reached, *, ended_well: bool) -> Progress | None:
        """What came of each vertex; None where it failed before there was a build. Raises CacheError where the builder
        doesn't tell."""
        reference = self.metadata.get("buildx.build.ref")
        if not isinstance(reference, str):
            subject = history.Subject.of(settings, reached.environment)
            reference = history.latest(self._known, self._notes, reached.builder.name, subject)
        if reference is not None:
            followed = None if self._follower is None else self._follower.progress(reference)
            return followed or history.replay(reference, reached.environment)
        if ended_well:
            raise CacheError("buildx has no note of the build")
        return None

    def form(self, settings: BuildSettings, reached: Reached) -> Form:
        """Of an export beside that of the engine itself: an engine that was started early could not yet know."""
        return self._tell(settings, reached).export

    def failed_export(self, settings: BuildSettings, reached: Reached) -> str | None:
        """Why what was built could not be exported; None where it was not even built. Raises CacheError."""
        progress = self.look_back(settings, reached, ended_well=False)
        vertices = () if progress is None else progress.vertices.values()
        errors = (each.error for each in vertices if each.name.startswith("exporting to ") and each.state == "failed")
        return next(errors, None)

    def asked_for_what_is_gone(self, settings: BuildSettings, reached: Reached) -> str | None:
        """Why an engine failed that asked a registry of an earlier build of ours: a builder that is kept may do so for
        a layer which that build never read, when it is to be made gzip (moby/buildkit, cache/blobs.go,
        ensureCompression: what is below a layer keeps the source by which it came). Never raises."""
        with suppress(CacheError):
            progress = self.look_back(settings, reached, ended_well=False)
            vertices = () if progress is None else progress.vertices.values()
            errors = (each.error for each in vertices if each.state == "failed" and OF_OURS.search(each.error))
            return next(errors, None)
        return None

    def stop(self) -> None:
        """End an engine that nobody came to follow, and whoever reads its history."""
        self._read_no_more()
        with self._launching:
            self._stopped = True
        if self._unfollowed is not None:
            self._unfollowed.stop()

    def _read_no_more(self) -> None:
        if self._follower is not None:
            self._follower.stop()
        self._follower = None

    @property
    def _notes(self) -> Path:
        """Where buildx notes each build that it begins (docker/buildx, localstate)."""
        return buildx_folder(self.machine) / "refs"

    def _may_export(self, settings: BuildSettings, reached: Reached) -> bool:
        """Whether the engine may export its cache itself. Of a build for several platforms each has an export of its
        own."""
        several = len(asked_platforms(settings, self.machine)) > 1
        return self.saves and not several and may_export(settings, reached.builder)

    def _decide(self, settings: BuildSettings, reached: Reached) -> None:
        """Whether the engine's result is pulled into the daemon, and whether it exports its cache itself. A result that
        nobody read whole is in the builder for as long as its build is at work, and what was built upon it can't be
        exported any more afterwards."""
        able = self._may_export(settings, reached)
        if able or self.foreseen or not self.saves:
            self.pull = pull_of(settings, reached, self.builder)
        exports = able and not self.foreseen and should_export(settings, pulled=self.pull is not None)
        self._exports_to = reached.transport if exports else None

    def _tell(self, settings: BuildSettings, reached: Reached) -> Told:
        """How the engine is told to compress. What that leaves in the builder is noted."""
        builder = reached.builder
        stands_in = self.pull is None and builder.name != self.builder.name
        result = settings if self.pull is None else replace(settings, outputs=(), load=False)
        near, notes = reached.access is not None, Notes.of(self.machine, builder)
        self._held = notes.since(self._held, by=self._mark)
        told = tell(result, builder, self._held, self.restored, stands_in=stands_in, near=near)
        notes.write(held_after(told, self._held), by=self._mark)
        return replace(told, settings=told.settings if self.pull is None else settings)

    def _pushed(self) -> str | None:
        return None if self.pull is None or self.told is None else self.pull.output(self.told.export)

    def _may_start_early(self, settings: BuildSettings, reached: Reached) -> bool:
        """Whether nothing that the engine is told depends on what is restored."""
        driver = reached.builder.driver
        if in_gzip(settings, driver=driver, stands_in=False) == settings:
            return True
        along = self._may_export(settings, reached) and should_export(settings, pulled=False)
        return keeps_notes(reached.builder) and not along

    def _launch_early(self, settings: BuildSettings, session: Session) -> Early | None:
        early = None
        with suppress(Exception):
            reached = session.reached()
            cache_from = reached.transport.promise() if reached.builder == self.builder else ()
            self._decided.wait()
            if cache_from and self._admitted and self._may_start_early(settings, reached):
                with self._launching:
                    if not self._stopped:
                        self._unfollowed = self._run(settings, reached, cache_from)
                        early = Early(self._unfollowed, reached, time.monotonic())
        return early

    def _launch(
        self, settings: BuildSettings, reached: Reached | None, cache_from: tuple[str, ...], *, again: bool = False
    ) -> Running:
        self.launched = self.launched or time.monotonic()
        return self._run(settings, reached, cache_from, again=again)

    def _run(
        self, settings: BuildSettings, reached: Reached | None, cache_from: tuple[str, ...], *, again: bool = False
    ) -> Running:
        builder, environment = self.builder, self.machine.environment
        self.pull, self.told, self._exports_to = None, None, None
        cache_to: tuple[str, ...] = ()
        if reached is not None:
            builder, environment = reached.builder, reached.environment
            if not again:
                self._decide(settings, reached)
            self._held = Notes.of(self.machine, builder).read()
            self.told = self._tell(settings, reached)
            settings = self.told.settings
            if self.exports:
                environment = {**environment, **ALL_OF_IT}
                cache_to = (f"{reached.transport.cache_to(0, self.told.export)},ignore-error=true",)
        words = build_words(
            settings,
            builder=builder.name,
            environment=environment,
            cache_from=cache_from,
            cache_to=cache_to,
            metadata=self.metadata_file,
            stands_in=builder.name != self.builder.name,
            attests=builder.attests,
            pushed=self._pushed(),
        )
        running = launch(words, environment)
        if reached is not None:
            subject = history.Subject.of(settings, reached.environment)
            self._follower = Follower(self._notes, self._known, builder.name, subject, reached.environment)
        return running
