"""Keeping a store on S3 small, while others write to it.

There is no lock. What names something is listed before what is named, so nothing that was whole when we looked is taken
for unnamed; what was written or asked for within the time of grace stays, since a save in progress may be about to
name it. Pointers go before records, records before blobs. Should a save be overtaken all the same, its record is found
to lack a blob and is as deep as it can be.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from layercache_ci.store.model import Holding, Removed, Retention, StepRecord
from layercache_ci.store.pointers import stage_name
from layercache_ci.store.retention import Held, Plan, Used, blob_names, heirs, holding
from layercache_ci.store.s3_blobs import BLOBS
from layercache_ci.store.s3_connection import Connection, Object
from layercache_ci.store.s3_entries import SCOPES, STAGES, Entry, entries_for, parsed, places, pointers

RECORDS: Final = "records/"

GRACE: Final = 600.0
"""Seconds that a save may take from asking for a blob to naming it."""


@dataclass(frozen=True, slots=True)
class _Scope:
    """A scope's pointers: where they lead, by place, and by `stages/<name>` for stages."""

    folder: str
    entries: tuple[Entry, ...]
    stages: Mapping[str, str]

    def named(self) -> dict[str, str | None]:
        return {**pointers(self.entries), **self.stages}


def prune(
    connection: Connection, rules: Retention, patience: float, load: Callable[[str], StepRecord | None]
) -> Removed:
    """What was used is made young again only when it is older than `patience`, so everything may be younger than it
    looks by as much."""
    scopes = _scopes(connection)
    files = {listed.name.removeprefix(RECORDS): listed for listed in connection.objects(RECORDS)}
    blobs = list(connection.objects(BLOBS))
    before = sum(listed.size for listed in (*files.values(), *blobs))
    if rules == Retention(max_size=rules.max_size) and before <= (rules.max_size or 0):
        return Removed(0, 0, 0)
    now, grace = time.time(), patience + GRACE
    pointed = {identity for scope in scopes for identity in scope.named().values() if identity}
    chains: dict[str, list[str]] = {}

    def read(identity: str) -> Used | None:
        record = load(identity)
        if record is None:
            return None
        chains[identity] = places(record.namespace, [step.key for step in record.chain])
        names = frozenset((f"{STAGES}{stage_name(record.namespace, record.stage)}", *chains[identity]))
        return Used(_held((files[identity],)), record.created, names, blob_names(record))

    loaded = sorted(pointed & files.keys())
    records = {
        identity: used for identity, used in zip(loaded, connection.map(read, loaded), strict=True) if used is not None
    }
    useless = {
        identity for identity, listed in files.items() if identity not in records and now - listed.modified >= grace
    }
    by_hex = defaultdict(list)
    for listed in blobs:
        by_hex[listed.name.removeprefix(BLOBS).partition(".")[0]].append(listed)
    total = before - sum(files[identity].size for identity in useless)
    age = None if rules.max_age is None else rules.max_age + patience
    plan = Plan(
        replace(rules, max_age=age), now, records, {name: _held(parts) for name, parts in by_hex.items()}, total, grace
    )
    plan.make()
    removed = plan.removed([_held((files[identity],)) for identity in useless])
    if rules.dry_run:
        return removed
    kept = {identity: used for identity, used in records.items() if identity not in plan.gone_records}
    for scope in scopes:
        _repoint(connection, scope, kept, chains)
    connection.map(connection.delete, [RECORDS + identity for identity in useless | plan.gone_records])
    connection.map(connection.delete, [part.name for name in plan.gone_blobs for part in by_hex[name]])
    return removed


def inventory(connection: Connection, load: Callable[[str], StepRecord | None]) -> Iterator[Holding]:
    """What each scope's pointers lead to."""
    files = {listed.name.removeprefix(RECORDS): listed for listed in connection.objects(RECORDS)}
    for scope in _scopes(connection):
        there = sorted({identity for identity in scope.named().values() if identity in files})
        for identity, record in zip(there, connection.map(load, there), strict=True):
            if record is not None:
                yield holding(scope.folder, identity, record, _held((files[identity],)))


def _scopes(connection: Connection) -> list[_Scope]:
    """All there are, whoever may read them."""
    entries: defaultdict[str, list[Entry]] = defaultdict(list)
    stages: defaultdict[str, dict[str, str]] = defaultdict(dict)
    listed = list(connection.objects(SCOPES))
    for entry in parsed(listed):
        entries[entry.scope].append(entry)
    names = [found.name for found in listed if f"/{STAGES}" in found.name]
    for name, identity in zip(names, connection.map(connection.get, names), strict=True):
        scope, _, place = name.removeprefix(SCOPES).partition("/")
        stages[scope][place] = (identity or b"").decode("ascii", "replace")
    return [_Scope(scope, tuple(entries[scope]), stages[scope]) for scope in entries.keys() | stages.keys()]


def _repoint(connection: Connection, scope: _Scope, kept: Mapping[str, Used], chains: Mapping[str, list[str]]) -> None:
    """Pointers to records that go get another record of their scope that serves as well, the newest, or go too."""
    found = heirs(scope.named(), kept)
    inherited: defaultdict[str, set[str]] = defaultdict(set)
    for name, heir in found.items():
        if heir is not None:
            inherited[heir].add(name)
    stamp = max(time.time_ns() // 1000, *(entry.stamp + 1 for entry in scope.entries), 0)
    for heir, names in inherited.items():
        for entry in entries_for(scope.folder, chains[heir], names, heir, stamp):
            connection.put(entry.name, b"")
        for name in names & scope.stages.keys():
            connection.put(f"{SCOPES}{scope.folder}/{name}", heir.encode())
    gone = [entry.name for entry in scope.entries if entry.identity not in kept]
    gone += [f"{SCOPES}{scope.folder}/{name}" for name in scope.stages if name in found and found[name] is None]
    connection.map(connection.delete, gone)


def _held(parts: Iterable[Object]) -> Held:
    known = list(parts)
    return Held(sum(part.size for part in known), max(part.modified for part in known))
