"""Keeping a local store small.

All this happens under the writers' lock, so a record that is published names blobs that are there.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress

from layercache_ci.store.blobs import BLOBS, GRACE, SIDECAR
from layercache_ci.store.folder import Folder, remove
from layercache_ci.store.model import Holding, Removed, Retention
from layercache_ci.store.pointers import RECORDS, SCOPES, names, read_record, scope_pointers, write_pointer
from layercache_ci.store.retention import Held, Plan, Used, blob_names, heirs, holding


def collect(folder: Folder, limit: int) -> int:
    """Bring the store under `limit` bytes; bytes freed. Nothing is looked at where the counted size is under it."""
    with folder.faults():
        folder.clean(time.time())
        known = folder.size()
        if known is not None and known <= limit:
            return 0
    return prune(folder, Retention(max_size=limit)).size


def prune(folder: Folder, rules: Retention) -> Removed:
    with folder.faults():
        if not folder.path(".").is_dir():
            return Removed(0, 0, 0)
        if not rules.dry_run:
            folder.clean(time.time())
        with folder.lock():
            return _prune(folder, rules, time.time())


def _prune(folder: Folder, rules: Retention, now: float) -> Removed:
    pointers = {scope: dict(scope_pointers(folder, scope)) for scope in _scopes(folder)}
    pointed = {identity for named in pointers.values() for identity in named.values()}
    files = dict(_files(folder, RECORDS))
    records = {
        identity: Used(held, record.created, names(record), blob_names(record))
        for identity, held in files.items()
        if identity in pointed and (record := read_record(folder, identity)) is not None
    }
    blobs = dict(_files(folder, BLOBS))
    useless = files.keys() - records.keys()
    total = sum(held.size for held in (*(used.held for used in records.values()), *blobs.values()))
    plan = Plan(rules, now, records, blobs, total, GRACE)
    plan.make()
    removed = plan.removed([files[identity] for identity in useless])
    if rules.dry_run:
        return removed
    kept = {identity: record for identity, record in records.items() if identity not in plan.gone_records}
    for scope, named in pointers.items():
        _repoint(folder, scope, named, kept)
    for identity in useless | plan.gone_records:
        remove(folder.path(f"{RECORDS}/{identity}"))
    for name in plan.gone_blobs:
        remove(folder.path(f"{BLOBS}/{name}"))
        remove(folder.path(f"{BLOBS}/{name}{SIDECAR}"))
    folder.set_size(plan.total)
    return removed


def inventory(folder: Folder) -> Iterator[Holding]:
    """What each scope's pointers lead to."""
    for scope in _scopes(folder):
        for identity in {identity for _, identity in scope_pointers(folder, scope) if identity}:
            with folder.faults():
                record = read_record(folder, identity)
            if record is not None:
                with suppress(FileNotFoundError):
                    status = folder.path(f"{RECORDS}/{identity}").stat()
                    yield holding(scope, identity, record, Held(status.st_size, status.st_mtime))


def _repoint(folder: Folder, scope: str, named: dict[str, str | None], kept: dict[str, Used]) -> None:
    """Pointers to records that go get another record of their scope that serves as well, the newest, or go too."""
    for name, heir in heirs(named, kept).items():
        if heir is not None:
            write_pointer(folder, scope, name, heir)
        else:
            remove(folder.path(f"{SCOPES}/{scope}/{name}"))


def _scopes(folder: Folder) -> Iterable[str]:
    with suppress(FileNotFoundError):
        return [path.name for path in folder.path(SCOPES).iterdir()]
    return ()


def _files(folder: Folder, name: str) -> Iterator[tuple[str, Held]]:
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
    return ((whole, Held(sizes[whole], used[whole])) for whole in sizes)
