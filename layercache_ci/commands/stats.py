"""`layercache stats`: what a store holds, in which scope, how old, and what takes the most room."""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Final

from layercache_ci.ci.choice import choose
from layercache_ci.commands.options import configure_store, with_store
from layercache_ci.errors import CacheError
from layercache_ci.report.text import shorten, size
from layercache_ci.settings import BuildSettings, Machine
from layercache_ci.store.model import Holding, Store, StoreStats

LARGEST: Final = 10
FAILED: Final = 1


@dataclass(slots=True)
class _Sum:
    """Of some records: each blob counts once."""

    records: int = 0
    oldest: float | None = None
    newest: float | None = None
    used: float | None = None
    title: str = ""
    parts: dict[str, int] = field(default_factory=dict)

    def add(self, holding: Holding) -> None:
        self.records += 1
        self.oldest = min(self.oldest or holding.created, holding.created)
        if self.newest is None or holding.created >= self.newest:
            self.newest, self.title = holding.created, holding.title or self.title
        self.used = max(self.used or holding.used, holding.used)
        self.parts.update(holding.parts)


@dataclass(frozen=True, slots=True)
class Group:
    """A scope or a stage. Times are RFC 3339, in UTC; bytes that two groups share count in both."""

    name: str
    records: int
    size: int
    oldest: str
    """When its oldest record was made."""
    newest: str
    used: str
    """When it was last used."""


def configure(parser: argparse.ArgumentParser) -> None:
    configure_store(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(arguments: argparse.Namespace) -> int:
    """0, or 1 where the store can't be read."""
    machine = Machine.read()
    chosen = choose(with_store(BuildSettings(context="."), arguments, machine), machine)
    store = chosen.open(machine.environment)
    try:
        held = store.stats()
        scopes, stages = _groups(store)
    except CacheError as error:
        print(f"layercache: {error}", file=sys.stderr)
        return FAILED
    if arguments.json:
        document = {
            "version": 1,
            "store": store.location,
            "records": held.records,
            "blobs": held.blobs,
            "size": held.size,
            "scopes": [asdict(group) for group in scopes],
            "largest_stages": [asdict(group) for group in stages],
        }
        print(json.dumps(document, indent=1))
    else:
        print("\n".join(_lines(store.location, held, scopes, stages)))
    return 0


def _groups(store: Store) -> tuple[list[Group], list[Group]]:
    """The scopes by size, and the largest stages."""
    scopes: defaultdict[str, _Sum] = defaultdict(_Sum)
    stages: defaultdict[str, _Sum] = defaultdict(_Sum)
    for holding in store.inventory():
        scopes[holding.scope].add(holding)
        stages[holding.stage].add(holding)
    by_size = sorted((_group(name, found) for name, found in scopes.items()), key=lambda group: -group.size)
    # Records of one stage may be in several scopes, and builds of one may have changed its words: its newest name it.
    named = (_group(found.title or name, found) for name, found in stages.items())
    return by_size, sorted(named, key=lambda group: -group.size)[:LARGEST]


def _group(name: str, found: _Sum) -> Group:
    return Group(
        name, found.records, sum(found.parts.values()), _time(found.oldest), _time(found.newest), _time(found.used)
    )


def _time(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds or 0.0, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _lines(location: str, held: StoreStats, scopes: list[Group], stages: list[Group]) -> Iterator[str]:
    yield f"{location}: {held.records} records, {held.blobs} blobs, {size(held.size)}"
    for title, groups in (("scope", scopes), ("largest stages", stages)):
        if groups:
            yield ""
            yield f"{'size':>9}  {'records':>7}  {'oldest':10}  {'newest':10}  {'last used':10}  {title}"
        for group in groups:
            days = "  ".join(time[:10] for time in (group.oldest, group.newest, group.used))
            yield f"{size(group.size):>9}  {group.records:>7}  {days}  {shorten(group.name)}"
