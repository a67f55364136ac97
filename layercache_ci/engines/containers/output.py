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
IMAGE: Final = re.compile(r"(?:\[[^\]]+\] )?--> ([0-9a-f]{11,64})")
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

    @property
    def finished(self) -> bool:
        """FROM leaves no image of its own; every other finished step names one."""
        return self.number == 1 or self.image is not None

    @property
    def hit(self) -> bool:
        """Said by the engine twice: the cached image is also the one that the step ended with."""
        return self.cached is not None and (self.image is None or self.cached.startswith(self.image))


class OutputReader:
    """Feed it the lines of one build, in order."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.steps: list[SeenStep] = []
        self.final_image: str | None = None
        self._clock = clock
        self._fresh = False

    def feed(self, line: str) -> None:
        """One line without its end."""
        match = STEP.fullmatch(line)
        if match and self._is_due(match):
            self._begin(match)
            return
        fresh, self._fresh = self._fresh, False
        if not self.steps:
            return
        current = self.steps[-1]
        if fresh and (cached := CACHED.fullmatch(line)):
            current.cached = cached[1]
        elif image := IMAGE.fullmatch(line):
            current.image, current.ended = image[1], self._clock()
        elif final := FINAL.fullmatch(line):
            self.final_image = final[1]

    def feed_all(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.feed(line)

    def _is_due(self, match: re.Match[str]) -> bool:
        stage, step, steps = int(match["stage"] or 1), int(match["step"]), int(match["steps"])
        if not self.steps:
            return step == 1
        last = self.steps[-1]
        if stage == last.stage:
            return step == last.number + 1 and steps == last.of
        return step == 1 and stage > last.stage and last.number == last.of

    def _begin(self, match: re.Match[str]) -> None:
        now = self._clock()
        if self.steps and self.steps[-1].ended is None:
            self.steps[-1].ended = now
        self.steps.append(
            SeenStep(int(match["stage"] or 1), int(match["step"]), int(match["steps"]), match["text"], started=now)
        )
        self._fresh = True
