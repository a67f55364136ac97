"""Which entries serve a chain, by as few questions as may be."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from layercache_ci.errors import CacheError
from layercache_ci.store import serial
from layercache_ci.store.blobs import Blobs
from layercache_ci.store.github.entries import Entries
from layercache_ci.store.github.keys import chain_prefix, is_record_key, probes, stage_parts, stage_prefix
from layercache_ci.store.github.pack import Head
from layercache_ci.store.github.packed import PackedBlobs
from layercache_ci.store.model import RECENT, Match, StepRecord
from layercache_ci.store.view import blobs_of

QUESTIONS: Final = 4
"""The most that are asked about one chain."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry whose chain begins with the first `depth` of the keys that were asked for."""

    head: Head
    depth: int


class Finder:
    """`scopes` is how many the run reads; what waits in the `spool` is as good as there, for a reader."""

    def __init__(self, entries: Entries, blobs: PackedBlobs, spool: Blobs, *, scopes: int) -> None:
        self._entries = entries
        self._blobs = blobs
        self._spool = spool
        self._scopes = scopes
        self._heads: dict[str, Head] = {}
        self._answers: dict[tuple[str, ...], tuple[float, list[Candidate]]] = {}
        """What was said of a namespace and chain, and when."""
        self._pointers: dict[str, str] = {}
        """By the prefix of a stage's keys, the last that this run knows of; empty where there was none."""

    def match(self, namespace: str, chain: Sequence[str]) -> Match | None:
        candidates = self.candidates(namespace, chain)
        self._answers[namespace, *chain] = (time.monotonic(), candidates)
        deepest = max((candidate.depth for candidate in candidates), default=0)
        for depth in range(deepest, 0, -1):
            record = self.holder(candidates, depth, spooled=True)
            if record is not None:
                return Match(record, depth)
        return None

    def candidates(self, namespace: str, chain: Sequence[str]) -> list[Candidate]:
        """As found, each deeper than the one before. A scope is searched with all keys before the next one is, so that
        a shallow match in the first may hide a deeper one in another: then the deeper ones are asked for alone."""
        found: list[Candidate] = []
        low, high = 0, len(chain)
        while low < high and len(found) < QUESTIONS:
            asked = probes(low, high)
            answer = self._entries.find([chain_prefix(namespace, chain[:depth]) for depth in asked])
            head = self.load(answer.key) if answer else None
            if head is None:
                break
            depth = head.common(chain)
            if depth <= low:  # eight digits are equal where the keys are not
                break
            found.append(Candidate(head, depth))
            if self._scopes == 1:
                high = min((probe for probe in asked if probe > depth), default=high + 1) - 1
            low = depth
        return found

    def recent(self, namespace: str, chain: Sequence[str]) -> list[Candidate] | None:
        """What a `match` of the chain went by lately; None where it was not asked for, or too long ago."""
        asked, found = self._answers.get((namespace, *chain), (-RECENT, None))
        return found if time.monotonic() - asked < RECENT else None

    def others(self, namespace: str, chain: Sequence[str], found: Sequence[Candidate]) -> list[Candidate]:
        """What this run has besides, for other chains or as its own, that begins with links of this one."""
        named = {candidate.head.key for candidate in found}
        heads = [head for head in self.heads() if head.key not in named and head.records[0].namespace == namespace]
        return [Candidate(head, depth) for head in heads if (depth := head.common(chain))]

    def holder(self, candidates: Sequence[Candidate], depth: int, *, spooled: bool = False) -> StepRecord | None:
        """The record that serves that depth, as the first candidate says whose record has all its blobs there."""
        records = (found.head.server(depth) for found in candidates if found.depth >= depth)
        return next((record for record in records if self._sound(record, depth, spooled=spooled)), None)

    def newest(self, namespace: str, stage: str) -> StepRecord | None:
        key = self.ask_pointer(namespace, stage)
        if not key:
            return None
        record = self._by_identity(stage_parts(key)[1])
        if record is None:
            head = self.load(key)
            record = head.records[0] if head else None
        # One whose base is gone has nothing left to offer.
        return record if record and self._sound(record, 1, spooled=True) else None

    def ask_pointer(self, namespace: str, stage: str) -> str:
        """The key by which the stage's newest record is found; empty where there is none."""
        found = self._entries.find([stage_prefix(namespace, stage)])
        key = found.key if found else ""
        self.pointed(namespace, stage, key)
        return key

    def pointer(self, namespace: str, stage: str) -> str | None:
        """As `ask_pointer`, as far as this run knows; None where it never asked."""
        return self._pointers.get(stage_prefix(namespace, stage))

    def pointed(self, namespace: str, stage: str, key: str) -> None:
        self._pointers[stage_prefix(namespace, stage)] = key

    def load(self, key: str) -> Head | None:
        """The head of an entry, read anew; None where it can't be read."""
        try:
            head = self._entries.head(key)
        except CacheError:
            self._heads.pop(key, None)
            return None
        self.learn(head)
        return head

    def use(self, record: StepRecord, depth: int) -> None:
        """Let the service know that what the record names is in use, and what was saved as its own entry."""
        places = (self._blobs.place(blob.digest) for blob in blobs_of(record, depth))
        entries = {place.entry for place in places if place is not None}
        for key in sorted(entries | {head.key for head in self.heads() if record == head.records[0]}):
            self._entries.use(key)

    def learn(self, head: Head) -> None:
        self._heads[head.key] = head
        self._blobs.learn(head)

    def heads(self) -> list[Head]:
        """Those of chains that were read and not found damaged since."""
        return [head for head in tuple(self._heads.values()) if is_record_key(head.key)]

    def _by_identity(self, start: str) -> StepRecord | None:
        records = (record for head in self.heads() for record in head.records)
        return next((record for record in records if identity_of(record).startswith(start)), None)

    def _sound(self, record: StepRecord, depth: int, *, spooled: bool) -> bool:
        """Whether all blobs of the first links are there."""
        return all(
            ((place := self._blobs.place(blob.digest)) is not None and place.size == blob.size)
            or (spooled and self._spool.size(blob.digest) == blob.size)
            for blob in blobs_of(record, depth)
        )


def identity_of(record: StepRecord) -> str:
    return serial.identity(serial.to_json(record))
