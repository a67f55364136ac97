"""Keeping a local store under its size limit.

What no record names goes first, then the least recently used records with what only they name. Blobs of the last
minutes stay: the save that brought them, or asked for them, may be about to name them in a record. All this happens
under the writers' lock, so a record that is published names blobs that are there.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from layercache_ci.store.blobs import BLOBS, GRACE, SIDECAR
from layercache_ci.store.folder import Folder, remove
from layercache_ci.store.model import StepRecord
from layercache_ci.store.pointers import RECORDS, SCOPES, names, read_record, scope_pointers, write_pointer


@dataclass(frozen=True, slots=True)
class _Held:
    """A record or a blob (with its sidecar) on the disk: bytes, and when it was last used or asked for."""

    size: int
    used: float


@dataclass(frozen=True, slots=True)
class _Record:
    held: _Held
    created: str
    names: frozenset[str]
    blobs: frozenset[str]


@dataclass(slots=True)
class _Plan:
    """What is there, and what is to go so that no more than `limit` bytes stay."""

    limit: int
    now: float
    records: dict[str, _Record]
    blobs: dict[str, _Held]
    total: int
    uses: Counter[str]
    gone_records: set[str] = field(default_factory=set)
    gone_blobs: list[str] = field(default_factory=list)

    def make(self) -> None:
        unnamed = [name for name in self.blobs if not self.uses[name]]
        for name in sorted(unnamed, key=lambda name: self.blobs[name].used):
            self._drop_blob(name)
        while self.total > self.limit and self._drop_records():
            pass

    def _drop_records(self) -> bool:
        """One round, which may leave records that a second one can drop: whether any was dropped."""
        before = len(self.gone_records)
        left = self.records.keys() - self.gone_records
        for identity in sorted(left, key=lambda identity: self.records[identity].held.used):
            if self.total > self.limit:
                self._drop_record(identity)
        return len(self.gone_records) > before

    def _drop_blob(self, name: str) -> None:
        if self.total > self.limit and not self._young(name):
            self.gone_blobs.append(name)
            self.total -= self.blobs[name].size

    def _drop_record(self, identity: str) -> None:
        """Unless that frees nothing yet, since what it alone names is young: it would be lost for nothing."""
        record = self.records[identity]
        alone = [name for name in record.blobs if name in self.blobs and self.uses[name] == 1]
        if alone and all(map(self._young, alone)):
            return
        self.gone_records.add(identity)
        self.total -= record.held.size
        self.uses.subtract(record.blobs)
        for name in sorted(alone):
            self._drop_blob(name)

    def _young(self, name: str) -> bool:
        return self.now - self.blobs[name].used < GRACE


def collect(folder: Folder, limit: int) -> int:
    """Bring the store under `limit` bytes; bytes freed. Nothing is looked at where the counted size is under it."""
    now = time.time()
    with folder.faults():
        folder.clean(now)
        if not folder.path(".").is_dir():
            return 0
        known = folder.size()
        if known is not None and known <= limit:
            return 0
        with folder.lock():
            return _collect(folder, limit, now)


def _collect(folder: Folder, limit: int, now: float) -> int:
    pointers = {scope: dict(scope_pointers(folder, scope)) for scope in _scopes(folder)}
    pointed = {identity for named in pointers.values() for identity in named.values()}
    files = dict(_files(folder, RECORDS))
    records = {
        identity: _Record(held, record.created, names(record), _blobs(record))
        for identity, held in files.items()
        if identity in pointed and (record := read_record(folder, identity)) is not None
    }
    blobs = dict(_files(folder, BLOBS))
    before = sum(held.size for held in (*files.values(), *blobs.values()))
    useless = files.keys() - records.keys()
    total = before - sum(files[identity].size for identity in useless)
    uses = Counter(name for record in records.values() for name in record.blobs)
    plan = _Plan(limit, now, records, blobs, total, uses)
    plan.make()
    kept = {identity: record for identity, record in records.items() if identity not in plan.gone_records}
    for scope, named in pointers.items():
        _repoint(folder, scope, named, kept)
    for identity in useless | plan.gone_records:
        remove(folder.path(f"{RECORDS}/{identity}"))
    for name in plan.gone_blobs:
        remove(folder.path(f"{BLOBS}/{name}"))
        remove(folder.path(f"{BLOBS}/{name}{SIDECAR}"))
    folder.set_size(plan.total)
    return before - plan.total


def _repoint(folder: Folder, scope: str, named: dict[str, str | None], kept: dict[str, _Record]) -> None:
    """Pointers to records that go get another record of their scope that serves as well, the newest, or go too."""
    lost = {name for name, identity in named.items() if identity not in kept}
    mine = {identity for identity in named.values() if identity in kept}
    heirs: dict[str, str] = {}
    for identity in sorted(mine, key=lambda identity: kept[identity].created):
        heirs.update(dict.fromkeys(lost & kept[identity].names, identity))
    for name in lost:
        if name in heirs:
            write_pointer(folder, scope, name, heirs[name])
        else:
            remove(folder.path(f"{SCOPES}/{scope}/{name}"))


def _scopes(folder: Folder) -> Iterable[str]:
    with suppress(FileNotFoundError):
        return [path.name for path in folder.path(SCOPES).iterdir()]
    return ()


def _files(folder: Folder, name: str) -> Iterator[tuple[str, _Held]]:
    """Each record, or each blob with its sidecar, by its name."""
    sizes: defaultdict[str, int] = defaultdict(int)
    used: defaultdict[str, float] = defaultdict(float)
    with suppress(FileNotFoundError), os.scandir(folder.path(name)) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                whole = entry.name.removesuffix(SIDECAR)
                sizes[whole] += status.st_size
                used[whole] = max(used[whole], status.st_mtime)
    return ((whole, _Held(sizes[whole], used[whole])) for whole in sizes)


def _blobs(record: StepRecord) -> frozenset[str]:
    """The names of the files that it needs."""
    layers = [layer for step in record.chain for layer in step.layers]
    descriptors = [layer.blob for layer in layers] + [layer.tar_split for layer in layers if layer.tar_split]
    return frozenset(descriptor.digest.removeprefix("sha256:") for descriptor in descriptors)
