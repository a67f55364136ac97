"""Which compressed form a layer has in a registry. Podman and Buildah keep that in a database of their own
(github.com/containers/image, pkg/blobinfocache/sqlite; since Buildah 1.32), which a runner loses with its disk: a push
then compresses each layer that was not pulled there, and uploads it, only to find that the registry has it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import asdict, astuple, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from layercache_ci import __version__
from layercache_ci.aside import aside
from layercache_ci.dockerfile.plan import Plan, digest
from layercache_ci.engines.containers.whole import full_name
from layercache_ci.engines.protocol import Saved
from layercache_ci.errors import CacheError
from layercache_ci.settings import Machine
from layercache_ci.store.model import Step, StepRecord, Store

SINCE: Final = (1, 32)
"""The Buildah from which on it is SQLite; before, it is a format that nothing but Go reads."""
FILE: Final = "blob-info-cache-v1.sqlite"
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
COMPRESSORS: Final = ("gzip", "zstd")
"""Forms that any registry's client may be given; of others (zstd:chunked) the engine knows more than stands here."""
MOST: Final = 1000
"""Forms that are kept of an image; one has 127 layers at most."""
LOCK_SECONDS: Final = 5.0
TABLES: Final = """
CREATE TABLE IF NOT EXISTS DigestUncompressedPairs(
    anyDigest TEXT PRIMARY KEY NOT NULL, uncompressedDigest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS DigestCompressors(digest TEXT PRIMARY KEY NOT NULL, compressor TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS KnownLocations(
    transport TEXT NOT NULL, scope TEXT NOT NULL, digest TEXT NOT NULL, location TEXT NOT NULL,
    time TIMESTAMP NOT NULL, PRIMARY KEY (transport, scope, digest, location))
"""
"""The engine makes the rest of its tables and indices where they are not there."""


@dataclass(frozen=True, slots=True, order=True)
class Form:
    """A layer as a registry has it: the blob `digest`, compressed by `compressor`, in the repository `location` (named
    in full) of the registry `scope`."""

    diff_id: str
    digest: str
    compressor: str
    scope: str
    location: str


@dataclass(frozen=True, slots=True)
class Database:
    """The engine's own. Every fault is a CacheError: the engine can do without what is in it."""

    path: Path

    @classmethod
    def of(cls, machine: Machine) -> Database:
        """By the rule of the engines (pkg/blobinfocache, blobInfoCacheDir)."""
        given = machine.environment
        home = Path(given.get("HOME") or "/root") / ".local/share"
        base = Path(given.get("XDG_DATA_HOME") or home) if machine.rootless else Path("/var/lib")
        return cls(base / "containers/cache" / FILE)

    def forms(self, diff_ids: Collection[str], repositories: Collection[str]) -> frozenset[Form]:
        """What is known of layers with these diff IDs in these repositories; nothing where there is no database."""
        if not self.path.exists():
            return frozenset()
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT uncompressedDigest, digest, compressor, scope, location FROM DigestUncompressedPairs "
                "JOIN DigestCompressors ON digest = anyDigest JOIN KnownLocations USING (digest) "
                "WHERE transport = 'docker'"
            )
            found = [Form(*row) for row in rows]
        return frozenset(
            form
            for form in found
            if form.diff_id in diff_ids and form.location in repositories and form.compressor in COMPRESSORS
        )

    def add(self, forms: Collection[Form]) -> None:
        """What the engine knows itself stays as it is. It asks the registry for a blob before it goes by this."""
        self._make_folder()
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S+00:00")
        with self._transaction() as connection:
            for table in TABLES.split(";"):
                connection.execute(table)
            for statement, values in (
                ("DigestUncompressedPairs VALUES (?, ?)", [(form.digest, form.diff_id) for form in forms]),
                ("DigestCompressors VALUES (?, ?)", [(form.digest, form.compressor) for form in forms]),
                (
                    "KnownLocations VALUES ('docker', ?, ?, ?, ?)",
                    [(form.scope, form.digest, form.location, now) for form in forms],
                ),
            ):
                connection.executemany(f"INSERT OR IGNORE INTO {statement}", values)

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CacheError(f"{self.path.parent}: {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One at a time, as the engine has it; all of it or nothing."""
        try:
            connection = sqlite3.connect(self.path, timeout=LOCK_SECONDS, isolation_level=None)
            with closing(connection), connection:
                connection.execute("BEGIN EXCLUSIVE")
                yield connection
        except sqlite3.Error as error:
            raise CacheError(f"{self.path}: {error}") from error


@dataclass(frozen=True, slots=True)
class Pushed:
    """The forms that the layers of one image had when it was pushed, kept in the store as a record of its own.
    `image` tells images apart across builds; `tags` are the names that it is pushed by."""

    namespace: str
    image: str
    tags: tuple[str, ...]

    @property
    def stage(self) -> str:
        return digest("pushed", self.image)

    @property
    def repositories(self) -> frozenset[str]:
        """Those that are in a registry, named in full."""
        names = (full_name(tag).rpartition(":")[0] for tag in self.tags)
        return frozenset(name for name in names if not name.startswith("localhost/"))

    def restore(self, database: Database, store: Store) -> frozenset[Form]:
        """Tell the engine what was saved, which is returned. Raises CacheError."""
        record = store.newest(self.namespace, self.stage)
        if record is None:
            return frozenset()
        forms = frozenset(_forms(record.chain[0].engine.get("forms")))
        database.add(forms)
        store.touch(record, 1)
        return forms

    def save(
        self, database: Database, store: Store, diff_ids: Collection[str], known: frozenset[Form] = frozenset()
    ) -> int:
        """Keep what the engine knows of these layers by now, where that is more than is `known` to the store already.
        How many records that made: 0 or 1. Raises CacheError."""
        forms = sorted(database.forms(diff_ids, self.repositories))[:MOST]
        if not set(forms) - known:
            return 0
        values = [asdict(form) for form in forms]
        key = digest("pushed", self.namespace, self.image, *map(repr, forms))
        step = Step(key, "push", "the layers of an image in its registry", {}, engine={"forms": values})
        created = datetime.now(UTC).isoformat(timespec="seconds")
        record = StepRecord(self.namespace, self.stage, (step,), created, f"layercache {__version__}")
        return int(store.put_record(record))


@dataclass(slots=True)
class Pushes:
    """What becomes of that in one build, of which `layers` are the image's diff IDs. What the engine is told it is told
    beside the build."""

    pushed: Pushed
    database: Database
    store: Store
    layers: tuple[str, ...] = ()
    _told: Future[frozenset[Form]] = field(init=False)
    _known: frozenset[Form] = frozenset()

    def __post_init__(self) -> None:
        self._told = aside(lambda: self.pushed.restore(self.database, self.store))

    def told(self) -> Iterator[str]:
        """Wait until the engine has been told; a warning where it was not."""
        try:
            self._known = self._told.result()
        except CacheError as error:
            yield f"layers that the registry has may be pushed once more: {error}"

    def keep(self, saved: Saved) -> Saved:
        """After the push, and with what else was saved."""
        try:
            records = self.pushed.save(self.database, self.store, self.layers, self._known)
        except CacheError as error:
            return replace(saved, warnings=(*saved.warnings, f"the next push may be a slow one: {error}"))
        return replace(saved, records=saved.records + records)


def begin(plan: Plan, store: Store, names: Sequence[str], machine: Machine) -> Pushes | None:
    """None where the image goes to no registry by its names, or those of a list that it is in."""
    pushed = Pushed(plan.namespace, plan.stage_id(plan.target), tuple(names))
    return Pushes(pushed, Database.of(machine), store) if pushed.repositories else None


def _forms(values: Any) -> Iterator[Form]:
    """Those of a record that are what they should be."""
    for value in values if isinstance(values, list) else ():
        try:
            form = Form(**value)
        except TypeError:
            continue
        if not all(isinstance(text, str) for text in astuple(form)):
            continue
        if DIGEST.fullmatch(form.diff_id) and DIGEST.fullmatch(form.digest) and form.compressor in COMPRESSORS:
            yield form
