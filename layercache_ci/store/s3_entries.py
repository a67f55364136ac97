"""How a record is found on S3: by the names of empty objects, so that one listing answers for a whole chain.

    scopes/<scope>/chains/<tags>/<stamp>-<claims>-<identity>   an *entry*: a record that serves steps of that chain
    scopes/<scope>/stages/<name>                               the identity of the stage's newest record

The *tags* are those of the steps' keys, in order: 16 hex digits of the first, 6 of each other. A chain longer than
SEGMENT has an entry for each SEGMENT of its keys (a key stands for all that came before it, so the first one of a
segment suffices to find it). The *claims* are a bit per step: the entry written last that claims a step serves it.
Nothing but the stage's newest is ever changed, so writers need no lock and no conditional request.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from layercache_ci.store.folder import folder_name
from layercache_ci.store.pointers import stage_name, step_name
from layercache_ci.store.s3_connection import Connection, Object

SCOPES: Final = "scopes/"
CHAINS: Final = "chains/"
STAGES: Final = "stages/"
SEGMENT: Final = 40
"""Steps in an entry: no part of its name has more than the 255 bytes that servers on a file system allow."""

_FIRST: Final = 16
_OTHER: Final = 6
_ENTRY: Final = re.compile(
    r"scopes/(?P<scope>[^/]+)/chains/(?P<tags>[0-9a-f]{16,})/"
    r"(?P<stamp>[0-9a-f]{16})-(?P<claims>[0-9a-f]{10})-(?P<identity>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Entry:
    scope: str
    """As a folder name."""
    tags: str
    stamp: int
    """Microseconds since the epoch, more where an entry of that scope had as many."""
    claims: int
    identity: str

    @property
    def name(self) -> str:
        return f"{SCOPES}{self.scope}/{CHAINS}{self.tags}/{self.stamp:016x}-{self.claims:010x}-{self.identity}"

    @classmethod
    def parse(cls, name: str) -> Entry | None:
        found = _ENTRY.fullmatch(name)
        if found is None:
            return None
        return cls(found["scope"], found["tags"], int(found["stamp"], 16), int(found["claims"], 16), found["identity"])

    def serves(self, place: str) -> bool:
        """Unless one written later does."""
        step = (len(place) - _FIRST) // _OTHER
        return bool(self.claims >> step & 1) and self.tags.startswith(place)

    def claimed(self) -> Iterable[str]:
        """The places that it claims: the tags up to each of them."""
        steps = (len(self.tags) - _FIRST) // _OTHER + 1
        return (self.tags[: _width(step + 1)] for step in range(steps) if self.claims >> step & 1)


def serving(entries: Iterable[Entry], place: str) -> Entry | None:
    """The one that serves that place of its scope."""
    return max((entry for entry in entries if entry.serves(place)), key=lambda entry: entry.stamp, default=None)


def places(namespace: str, keys: Sequence[str]) -> list[str]:
    """For each key where in a scope the step is: the tags of its segment up to it."""
    found: list[str] = []
    for index, key in enumerate(keys):
        tag = step_name(namespace, key)
        found.append(tag[:_FIRST] if index % SEGMENT == 0 else found[-1] + tag[:_OTHER])
    return found


def entries_for(
    scope: str, record_places: Sequence[str], claimed: Collection[str], identity: str, stamp: int
) -> list[Entry]:
    """The entries of a record that is to serve the places of `claimed`, one for each segment that has any."""
    found = []
    for start in range(0, len(record_places), SEGMENT):
        segment = record_places[start : start + SEGMENT]
        claims = sum(1 << step for step, place in enumerate(segment) if place in claimed)
        if claims:
            found.append(Entry(scope, segment[-1], stamp, claims, identity))
    return found


def find(connection: Connection, scope: str, chain_places: Sequence[str]) -> list[Entry]:
    """The entries of a scope that may serve a step of that chain: one request for each SEGMENT of it, some more where
    a scope has more than a page of chains with the same beginning."""
    folder = f"{SCOPES}{folder_name(scope)}/{CHAINS}"
    segments = (chain_places[start : start + SEGMENT] for start in range(0, len(chain_places), SEGMENT))
    return parsed(listed for segment in segments for listed in _narrowed(connection, folder, segment))


def parsed(objects: Iterable[Object]) -> list[Entry]:
    return [entry for listed in objects if (entry := Entry.parse(listed.name))]


def stage_place(scope: str, namespace: str, stage: str) -> str:
    """The name of the object that holds the identity of the stage's newest record."""
    return f"{SCOPES}{folder_name(scope)}/{STAGES}{stage_name(namespace, stage)}"


def pointers(entries: Iterable[Entry]) -> dict[str, str]:
    """Which record serves each claimed place of a scope."""
    return {
        place: entry.identity for entry in sorted(entries, key=lambda entry: entry.stamp) for place in entry.claimed()
    }


def _narrowed(connection: Connection, folder: str, segment: Sequence[str]) -> Iterable[Object]:
    """The first page of chains that begin as this one does; where there are more, of those that go on as it does."""
    seen: dict[Object, None] = {}
    # more than a page passes through `low`, nothing through `high`
    low, step, high = -1, 0, len(segment)
    while low < step < high:
        page = connection.page(folder + segment[step])
        seen.update(dict.fromkeys(page.objects))
        if page.complete and page.objects:
            break
        low, high = (low, step) if page.complete else (step, high)
        step = (low + high) // 2
    return seen


def _width(steps: int) -> int:
    return _FIRST + _OTHER * (steps - 1)
