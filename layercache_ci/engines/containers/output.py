"""What Buildah and Podman print while they build, read for the true outcome of each step.

Lines of theirs, on standard output (containers/buildah imagebuildah/stage_executor.go; seen in 1.28 to 1.43):

    [1/3] STEP 2/5: RUN make          the stage's number only where there is more than one stage
    --> Using cache <64 hex>          right after the STEP line: a hit
    --> <11 or 12 hex>                the image that the finished step left
    [1/3] COMMIT name                 what is committed last gets the names

A RUN prints to the same stream, so lines are taken for the engine's only where they are due: a STEP line must carry the
next number, and a step's image is the last one named before the next STEP line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

STEP: Final = re.compile(
    r"(?:\[(?P<platform>[a-z][a-z0-9]*/[^\] ]+)\] )?(?:\[(?P<stage>\d+)/(?P<stages>\d+)\] )?"
    r"STEP (?P<step>\d+)/(?P<steps>\d+): (?P<text>.*)"
)
CACHED: Final = re.compile(r"--> Using cache ([0-9a-f]{64})")
IMAGE: Final = re.compile(r".*?--> ([0-9a-f]{11,64})")
"""On the same line as what a RUN has printed last, where that did not end its line."""
COMMIT: Final = re.compile(r"(?:\[[^\]]+\] )?COMMIT .*")
FINAL: Final = re.compile(r"([0-9a-f]{64})")


@dataclass(slots=True)
class SeenStep:
    """One STEP line and what came of it. `stage` and `number` count from 1, as printed."""

    stage: int
    number: int
    of: int
    text: str
    started: float
    ended: float | None = None
    cached: str | None = None
    image: str | None = None
    printed: bool = False
    """Whether anything else came out while it ran."""

    @property
    def finished(self) -> bool:
        """FROM leaves no image of its own; every other finished step names one."""
        return self.number == 1 or self.image is not None

    @property
    def hit(self) -> bool:
        """Said by the engine twice: the cached image is also the one that the step ended with."""
        return self.cached is not None and (self.image is None or self.cached.startswith(self.image))


class OutputReader:
    """Feed it the lines of one build, in order.

    One stage runs at a time, but a stage that copies from one that has not run yet waits in the middle of a step while
    the other one runs: the lines that end the step then come after those of the other stage, without its number.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.steps: list[SeenStep] = []
        self.final_image: str | None = None
        self._clock = clock
        self._current: dict[int, SeenStep] = {}
        self._running: int | None = None
        self._waiting: list[int] = []
        self._pending: list[re.Match[str]] = []
        """Lines that end a step of one of several waiting stages: the next STEP line tells of which."""

    @property
    def by_stage(self) -> dict[int, list[SeenStep]]:
        """The steps by the index of their stage in the Dockerfile."""
        found: dict[int, list[SeenStep]] = {}
        for step in self.steps:
            found.setdefault(step.stage - 1, []).append(step)
        return found

    def feed(self, line: str) -> None:
        """One line without its end."""
        match = STEP.fullmatch(line)
        if match and self._is_due(match):
            self._begin(match)
            return
        found = CACHED.fullmatch(line) or IMAGE.fullmatch(line)
        if found:
            self._end(found)
        elif final := FINAL.fullmatch(line):
            self.final_image = final[1]
        elif self._running is not None and not COMMIT.fullmatch(line):
            self._current[self._running].printed = True

    def feed_all(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.feed(line)

    def _is_due(self, match: re.Match[str]) -> bool:
        stage, step, steps = int(match["stage"] or 1), int(match["step"]), int(match["steps"])
        last = self._current.get(stage)
        if last is None:
            return step == 1
        # triggers of the base image are counted only once FROM is done
        return step == last.number + 1 and (steps == last.of or (last.number == 1 and steps > last.of))

    def _begin(self, match: re.Match[str]) -> None:
        stage, number, of = int(match["stage"] or 1), int(match["step"]), int(match["steps"])
        self._settle(stage)
        running = self._running
        if running is not None and running != stage and not self._complete(running):
            self._waiting.append(running)
        if stage in self._waiting:
            self._waiting.remove(stage)
        now = self._clock()
        before = self._current.get(stage)
        if before is not None and before.ended is None:
            before.ended = now
        self._running = stage
        self._current[stage] = SeenStep(stage, number, of, match["text"], started=now)
        self.steps.append(self._current[stage])

    def _end(self, found: re.Match[str]) -> None:
        """A line that names the image of a step: of the running stage, or of one that waited for it."""
        if self._complete(self._running):
            self._running = None
        if self._running is None and len(self._waiting) == 1:
            self._running = self._waiting.pop()
        if self._running is None:
            self._pending.append(found)
        else:
            self._apply(self._current[self._running], found)

    def _settle(self, stage: int) -> None:
        """The lines that nobody could place belong to the stage that goes on, else to one that has come to its end."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        owners = [stage] if stage in self._waiting else [one for one in self._waiting if self._at_end(one)]
        if len(owners) == 1:
            for found in pending:
                self._apply(self._current[owners[0]], found)
            self._waiting.remove(owners[0])

    def _apply(self, step: SeenStep, found: re.Match[str]) -> None:
        if found.re is IMAGE:
            step.image, step.ended = found[1], self._clock()
        elif not step.printed:
            # a RUN may print such a line, but not before it is known to be no hit
            step.cached = found[1]

    def _at_end(self, stage: int) -> bool:
        return self._current[stage].number == self._current[stage].of

    def _complete(self, stage: int | None) -> bool:
        return stage is not None and self._at_end(stage) and self._current[stage].finished
