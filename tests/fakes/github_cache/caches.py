"""The entries of one repository's cache, as the service keeps them: immutable, by key, version and scope."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LONGEST_KEY = 512
MOST_KEYS = 10


class AlreadyExists(Exception):
    """An entry of that key, version and scope is there, or is reserved."""


class BadKey(Exception):
    """The service takes no such key."""


@dataclass(slots=True)
class Entry:
    id: int
    key: str
    version: str
    scope: str
    path: Path
    created: float
    accessed: float
    size: int | None = None
    """None while it is only reserved: nobody finds it, and nobody else can have its key."""
    visible_after: int = 0
    """Searches that still miss it: what was just saved is found a little later."""


@dataclass(slots=True)
class Caches:
    """Entries in `folder`. `quota` is in bytes: beyond it what was used longest ago is evicted."""

    folder: Path
    quota: int | None = None
    stale_lookups: int = 0
    entries: dict[int, Entry] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def reserve(self, key: str, version: str, scope: str) -> Entry:
        if not key or len(key) > LONGEST_KEY or "," in key:
            raise BadKey(key)
        with self._lock:
            if any((e.key, e.version, e.scope) == (key, version, scope) for e in self.entries.values()):
                raise AlreadyExists(key)
            number = next(self._ids)
            now = time.time()
            entry = Entry(number, key, version, scope, self.folder / f"entry-{number}", created=now, accessed=now)
            self.entries[number] = entry
            return entry

    def reserved(self, key: str, version: str, scope: str) -> Entry | None:
        with self._lock:
            same = (e for e in self.entries.values() if (e.key, e.version, e.scope) == (key, version, scope))
            return next((entry for entry in same if entry.size is None), None)

    def finalize(self, entry: Entry) -> None:
        with self._lock:
            entry.size = entry.path.stat().st_size
            entry.created = entry.accessed = time.time()
            entry.visible_after = self.stale_lookups
            self._evict()

    def find(self, keys: Sequence[str], version: str, scopes: Iterable[str]) -> Entry | None:
        """Scope by scope, in each key by key: the very key, else the newest that begins with it."""
        if len(keys) > MOST_KEYS or any(len(key) > LONGEST_KEY or "," in key for key in keys):
            raise BadKey(",".join(keys))
        with self._lock:
            complete = [e for e in self.entries.values() if e.size is not None and e.version == version]
            stale = {e.id for e in complete if e.visible_after > 0}
            for entry in complete:
                entry.visible_after = max(0, entry.visible_after - 1)
            for scope in scopes:
                mine = [e for e in complete if e.scope == scope and e.id not in stale]
                for key in keys:
                    exact = [e for e in mine if e.key == key]
                    found = exact or [e for e in mine if e.key.startswith(key)]
                    if found:
                        newest = max(found, key=lambda e: (e.created, e.id))
                        newest.accessed = time.time()
                        return newest
            return None

    def complete(self) -> list[Entry]:
        with self._lock:
            return [entry for entry in self.entries.values() if entry.size is not None]

    def remove(self, entry: Entry) -> None:
        with self._lock:
            self.entries.pop(entry.id, None)
            entry.path.unlink(missing_ok=True)

    def _evict(self) -> None:
        complete = sorted(self.complete(), key=lambda e: e.accessed)
        total = sum(entry.size or 0 for entry in complete)
        for entry in complete:
            if self.quota is None or total <= self.quota:
                return
            total -= entry.size or 0
            self.remove(entry)
