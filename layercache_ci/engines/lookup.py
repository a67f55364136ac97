"""What the store says of a plan: for each stage the record of the deepest step held, and the newest one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeVar

from layercache_ci.aside import aside
from layercache_ci.dockerfile.plan import Plan
from layercache_ci.engines.protocol import Saved
from layercache_ci.errors import CacheError, StoreUnavailable
from layercache_ci.store.model import RECENT, Match, StepRecord, Store

T = TypeVar("T")

AT_ONCE: Final = 8


@dataclass(slots=True)
class Lookup:
    """What the store answered. `matches` are by stage, `images` by the key of an image that a `--from` names. Where a
    stage's whole chain is held, `newest` is the record that holds it: another one could add nothing to it, and a
    distant store is spared the question."""

    matches: dict[int, Match] = field(default_factory=dict)
    newest: dict[int, StepRecord] = field(default_factory=dict)
    images: dict[str, Match] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    asked: float = field(default_factory=time.monotonic)

    def answer(self, asked: Future[T]) -> T | None:
        """None where it is a fault; what several came to is said once."""
        try:
            return asked.result()
        except CacheError as error:
            if str(error) not in self.warnings:
                self.warnings.append(str(error))
            return None

    @property
    def recent(self) -> bool:
        """Whether a save may go by it."""
        return time.monotonic() - self.asked < RECENT

    def keep(self, store: Store, saved: Saved) -> Saved:
        """After a save: what was used is the last that a size limit removes, and the store is brought within its limit.
        What is saved stays saved where that fails: it is a warning more."""
        faults: list[str] = []
        try:
            for match in (*self.matches.values(), *self.images.values()):
                store.touch(match.record, match.depth)
        except (CacheError, OSError) as error:
            faults.append(f"what was used may be the first that the store removes: {error}")
        try:
            store.collect()
        except (CacheError, OSError) as error:
            faults.append(f"the store may grow past its size limit: {error}")
        return replace(saved, warnings=(*saved.warnings, *faults)) if faults else saved


def look_up(plan: Plan, store: Store) -> Lookup:
    """Ask the store about every stage and image of the plan, all at once: a distant one takes its time for each answer.
    A fault is a warning and no match. One that can't be reached takes minutes to show it, and is left alone then."""
    found = Lookup()
    asking = _UntilLost()
    # aside, not by an executor: whoever is asked to end does not wait for a store that is away
    stages = {index: aside(partial(asking.ask, partial(_ask, store, plan, index))) for index in plan.stages}
    images = {key: aside(partial(asking.ask, partial(store.lookup, plan.namespace, (key,)))) for _, key in plan.images}
    for index, stage in stages.items():
        match, newest = found.answer(stage) or (None, None)
        if match is not None:
            found.matches[index] = match
        if newest is not None:
            found.newest[index] = newest
    for key, image in images.items():
        match = found.answer(image)
        if match is not None:
            found.images[key] = match
    return found


class _UntilLost:
    """Asks, AT_ONCE questions at most, until the store is unavailable to one of those who ask; that is the others'
    answer, too."""

    def __init__(self) -> None:
        self._gate = threading.Semaphore(AT_ONCE)
        self._error: StoreUnavailable | None = None

    def ask(self, question: Callable[[], T]) -> T:
        with self._gate:
            if self._error is not None:
                raise StoreUnavailable(str(self._error))
            try:
                return question()
            except StoreUnavailable as error:
                self._error = self._error or error
                raise


def _ask(store: Store, plan: Plan, index: int) -> tuple[Match | None, StepRecord | None]:
    """Of a stage the deepest match and the newest record."""
    chain = plan.chain(index)
    match = store.lookup(plan.namespace, chain)
    whole = match is not None and match.depth == len(chain)
    return match, match.record if match and whole else store.newest(plan.namespace, plan.stage_id(index))
