"""The engine at work on a build: started, followed, run once more where that is needed, and what came of it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from layercache_ci.aside import aside
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.delivery import deliver
from layercache_ci.engines.buildkit.export import Export
from layercache_ci.engines.buildkit.exporter import Exporter
from layercache_ci.engines.buildkit.keep import Keeper
from layercache_ci.engines.buildkit.load import Pull
from layercache_ci.engines.buildkit.part import Part
from layercache_ci.engines.buildkit.progress import SeenStep
from layercache_ci.engines.buildkit.restore import Selection
from layercache_ci.engines.buildkit.result import is_pushed
from layercache_ci.engines.buildkit.run import EngineRun
from layercache_ci.engines.buildkit.session import Reached
from layercache_ci.engines.process import Running
from layercache_ci.engines.protocol import Saved
from layercache_ci.errors import CacheError
from layercache_ci.settings import BuildSettings
from layercache_ci.store import Store

MAYBE_ZSTD: Final = (
    "the image leaves the builder with the layers that were restored in zstd as they are, which Docker before 23 can't "
    "read: it has too many for this builder to have them in gzip besides; name a compression in its output to decide"
)


@dataclass(slots=True)
class Work:
    """On one build. `builder` is the user's, and `reached` the one at work, None where it builds without us; of what is
    not planned there are no `parts`. `cache_from` is what it reads of what is `offered`. `folder` is for what is
    exported, None where nothing is to be saved. What the cache can't do is added to `warnings`."""

    engine: EngineRun
    settings: BuildSettings
    builder: Builder
    parts: tuple[Part, ...]
    reached: Reached | None
    cache_from: tuple[str, ...]
    offered: Selection
    folder: Path | None
    warnings: list[str]
    code: int = 0
    """The engine's own, of the last that was run."""
    served: Mapping[str, int] = field(default_factory=dict)
    """Bytes of each blob that were restored."""
    _steps: tuple[SeenStep, ...] = ()
    _along: Export | None = None
    """What a build exported by itself, before another had to bring its result into the daemon."""
    _closed: threading.Event = field(default_factory=threading.Event)

    def run(self, sink: BinaryIO | None) -> int:
        """Run the engine, its output going to `sink` as it comes; its exit code. A build that failed after it asked for
        something that could not be given is run once more without the cache. Raises EngineError."""
        running = self.engine.start(self.settings, self.reached, self.cache_from)
        code = ended = running.follow(on_line=None, sink=sink)
        if self.engine.told is not None and self.engine.told.long:
            self.warnings.append(MAYBE_ZSTD)
        pull = self.engine.pull
        if pull is not None and not running.interrupted:
            code, ended = self._deliver(pull, running, code, sink)
        if self.reached is not None and self.cache_from:
            faults = self.reached.transport.faults()
            if code and not faults and not running.interrupted:
                gone = self.engine.asked_for_what_is_gone(self.settings, self.reached)
                faults = () if gone is None else (gone,)
            self.warnings += [f"from the cache: {fault}" for fault in faults]
            self.served = self._of_the_cache(self.reached.transport.served(), pulled=pull is not None)
            if code and faults and not running.interrupted:
                self.warnings.append("the build failed on a damaged cache and was run again without it")
                self._steps, self._along = (), None
                for part in self.parts:
                    part.seen = None
                again = self.engine.start_again(self.settings, self.reached)
                code = ended = again.follow(on_line=None, sink=sink)
        self.code = ended
        waits = self.settings.wait and not self.engine.exports and not self.engine.foreseen
        if ended == 0 and waits and self._along is None:
            self._export_aside()
        try:
            self._look_back()
        except Exception as error:  # noqa: BLE001 - the build is over, however it went
            self.warnings.append(f"what came of each step is not known: {error or type(error).__name__}")
        return code

    def save(self, store: Store, *, workers: int, anew: bool) -> Saved:
        """Export the finished steps of all parts and ship what is new; `anew` says that nothing was to be restored.
        Anything that goes wrong is a warning in the result."""
        return Saved.of([self._save(part, store, workers=workers, anew=anew) for part in self.parts])

    def _save(self, part: Part, store: Store, *, workers: int, anew: bool) -> Saved:
        exporter, told = self.exporter(part), self.engine.told
        if exporter is None:
            return Saved(complete=False)
        keeper = Keeper(
            part,
            store,
            exporter,
            self._exported,
            workers,
            ended_well=self.code == 0,
            pushed=is_pushed(self.settings),
            forced=told is not None and told.forced,
            anew=anew,
        )
        try:
            return keeper.keep()
        except (CacheError, OSError) as error:
            return Saved.failed(error)

    def close(self) -> None:
        """Give up what is still on its way."""
        self._closed.set()
        for export in (part.export for part in self.parts if part.export is not None):
            export.exception()  # it needs the registry to its end

    def _deliver(self, pull: Pull, running: Running, code: int, sink: BinaryIO | None) -> tuple[int, int]:
        """Into the daemon, by a pull or else by a tarball: the exit code of it all, and that of the engine."""
        delivered = deliver(
            pull,
            self.engine,
            self.settings,
            running,
            code,
            cache_from=self.cache_from,
            built=self._remember,
            sink=sink,
        )
        if delivered.fault is not None:
            self.warnings.append(f"the image went into the daemon as a tarball: {delivered.fault}")
        return delivered.code, delivered.ended

    def _remember(self) -> None:
        """What is known of a build and what it exported, before another one shows only what that one left."""
        with suppress(Exception):
            self._look_back()
        self._along = self._exported()

    def _of_the_cache(self, served: Mapping[str, int], *, pulled: bool) -> Mapping[str, int]:
        """Bytes of each blob that were restored, of those that were read of us: engine and daemon may both have read a
        layer, and a daemon that `pulled` also what was built anew."""
        sizes = {each.digest: each.size for each in self.offered.blobs}
        others = 0 if pulled else sys.maxsize
        return {digest: min(count, sizes.get(digest, others)) for digest, count in served.items()}

    def _look_back(self) -> None:
        """Learn from the builder what came of each step, once."""
        if self.reached is None or all(part.seen is not None for part in self.parts):
            return
        for part in self.parts:
            part.seen = None if self.code == 0 else {}
        progress = self.engine.look_back(self.settings, self.reached, ended_well=self.code == 0)
        if progress is not None:
            self._steps = progress.steps()
            for part in self.parts:
                part.look_back(self._steps)
            self.warnings += [f"{name} could not be read: {error}" for name, error in progress.import_errors().items()]

    def _export_aside(self) -> None:
        """What the build left, while its history is read; one part after the other."""
        before: Future[Export] | None = None
        for part in self.parts:
            if exporter := self.exporter(part):
                before = part.export = aside(partial(_after, before, exporter.whole))

    def exporter(self, part: Part) -> Exporter | None:
        """None where nothing is to be saved."""
        if self.reached is None or self.folder is None:
            return None
        return Exporter(
            part.settings(self.settings),
            self.reached,
            self.cache_from,
            self.folder,
            stands_in=self.reached.builder != self.builder,
            form=self.engine.form(self.settings, self.reached),
            first=self.parts.index(part) * len(part.plan.graph.stages),
            given_up=self._closed.is_set,
        )

    def _exported(self) -> Export | None:
        """What a build that ended well has exported itself, where it did."""
        if self._along is None and self.code == 0 and self.engine.exports:
            exporter = self.exporter(self.parts[0]) if self.parts else None
            return None if exporter is None else exporter.along(self.engine.metadata_file, self._steps)
        return self._along


def _after(before: Future[Export] | None, export: Callable[[], Export]) -> Export:
    if before is not None:
        before.exception()
    return export()
