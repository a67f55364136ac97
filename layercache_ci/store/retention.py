"""What goes when a store is to be kept small, whatever it is kept in.

What was not used for too long goes in any case. For the size limit, what no record names goes first, then the least
recently used records with what only they name. Blobs of the last minutes stay: the save that brought them, or asked for
them, may be about to name them in a record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from layercache_ci.store.model import Holding, Removed, Retention, StepRecord
from layercache_ci.store.view import blobs_of


@dataclass(frozen=True, slots=True)
class Held:
    """A record or a blob (with its block digests): its bytes, and when it was last used or asked for, in seconds."""

    size: int
    used: float


@dataclass(frozen=True, slots=True)
class Used:
    """A record that pointers lead to, or may: `names` are those of all that it could serve, `blobs` what it needs."""

    held: Held
    created: str
    names: frozenset[str]
    blobs: frozenset[str]


@dataclass(slots=True)
class Plan:
    """What is there, and what is to go by `rules`, whose size is the limit that the rest has to fit in."""

    rules: Retention
    now: float
    records: dict[str, Used]
    blobs: dict[str, Held]
    total: int
    grace: float
    uses: Counter[str] = field(init=False)
    gone_records: set[str] = field(default_factory=set)
    gone_blobs: list[str] = field(default_factory=list)

    def make(self) -> None:
        self.uses = Counter(name for record in self.records.values() for name in record.blobs)
        for identity in self._least_recently_used():
            if self._old(self.records[identity].held):
                self._drop_record(identity, wholly=True)
        unnamed = [name for name in self.blobs.keys() - set(self.gone_blobs) if not self.uses[name]]
        for name in sorted(unnamed, key=lambda name: self.blobs[name].used):
            self._drop_blob(name, wholly=self.rules.unreferenced or self._old(self.blobs[name]))
        while self._over() and self._drop_records():
            pass

    def removed(self, useless: Sequence[Held]) -> Removed:
        """All that goes; `useless` are records beside those of the plan that go in any case."""
        records = [*useless, *(self.records[identity].held for identity in self.gone_records)]
        size = sum(held.size for held in (*records, *(self.blobs[name] for name in self.gone_blobs)))
        return Removed(len(records), len(self.gone_blobs), size)

    def _drop_records(self) -> bool:
        """One round, which may leave records that a second one can drop: whether any was dropped."""
        before = len(self.gone_records)
        for identity in self._least_recently_used():
            if self._over():
                self._drop_record(identity)
        return len(self.gone_records) > before

    def _least_recently_used(self) -> list[str]:
        left = self.records.keys() - self.gone_records
        return sorted(left, key=lambda identity: self.records[identity].held.used)

    def _drop_blob(self, name: str, *, wholly: bool) -> None:
        """`wholly`: whether there is room for it or not."""
        if (wholly or self._over()) and not self._young(name):
            self.gone_blobs.append(name)
            self.total -= self.blobs[name].size

    def _drop_record(self, identity: str, *, wholly: bool = False) -> None:
        """Unless that frees nothing yet, since what it alone names is young: it would be lost for nothing."""
        record = self.records[identity]
        alone = [name for name in record.blobs if name in self.blobs and self.uses[name] == 1]
        if alone and all(map(self._young, alone)):
            return
        self.gone_records.add(identity)
        self.total -= record.held.size
        self.uses.subtract(record.blobs)
        for name in sorted(alone):
            self._drop_blob(name, wholly=wholly)

    def _over(self) -> bool:
        return self.rules.max_size is not None and self.total > self.rules.max_size

    def _old(self, held: Held) -> bool:
        """Never what was written within the time of grace."""
        return self.rules.max_age is not None and self.now - held.used >= max(self.rules.max_age, self.grace)

    def _young(self, name: str) -> bool:
        return self.now - self.blobs[name].used < self.grace


def heirs(named: Mapping[str, str | None], kept: Mapping[str, Used]) -> dict[str, str | None]:
    """For each pointer of a scope that leads to nothing kept another record of that scope which serves as well, the
    newest, or None."""
    lost = {name for name, identity in named.items() if identity not in kept}
    mine = {identity for identity in named.values() if identity in kept}
    found: dict[str, str | None] = dict.fromkeys(lost)
    for identity in sorted(filter(None, mine), key=lambda identity: kept[identity].created):
        found.update(dict.fromkeys(lost & kept[identity].names, identity))
    return found


def blob_names(record: StepRecord) -> frozenset[str]:
    """The hex digits of what the record needs."""
    return frozenset(descriptor.digest.removeprefix("sha256:") for descriptor in blobs_of(record))


def holding(scope: str, identity: str, record: StepRecord, held: Held) -> Holding:
    """`scope` as the store names its folder: the start of its name, made readable, and a hash of it."""
    return Holding(
        scope=scope.rpartition("-")[0] or scope,
        stage=record.stage,
        title=title(record),
        created=_seconds(record.created, held.used),
        used=held.used,
        parts={identity: held.size, **{blob.digest: blob.size for blob in blobs_of(record)}},
    )


def title(record: StepRecord) -> str:
    """The first and the last words of its chain."""
    texts = [step.text or step.instruction for step in (record.chain[0], record.chain[-1])] if record.chain else []
    return " … ".join(dict.fromkeys(texts))


def _seconds(text: str, default: float) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return default
