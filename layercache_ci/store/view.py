"""Which record serves which key: the same for every store that keeps pointers to records, each way of storing them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from layercache_ci.errors import BlobNotFound
from layercache_ci.layers.model import Descriptor
from layercache_ci.store.model import Match, Scopes, Step, StepRecord


@dataclass(slots=True)
class View:
    """What one call sees: it looks at each record and each blob once."""

    pointer: Callable[[str, str, Sequence[str]], str | None]
    """Scope, namespace, keys: the identity of the record that is to serve the last of the keys."""
    load: Callable[[str], StepRecord | None]
    """The record of an identity, None where it can't be read."""
    sizes: Callable[[Sequence[str]], Mapping[str, int]] | None
    """Bytes of those of the digests that are held whole; None: whether they are is not asked."""
    _records: dict[str, tuple[StepRecord, int] | None] = field(default_factory=dict, init=False)
    _held: dict[str, int | None] = field(default_factory=dict, init=False)

    def find(self, scopes: Iterable[str], namespace: str, chain: Sequence[str]) -> Match | None:
        """The deepest match; at equal depth the first of the scopes."""
        for depth in range(len(chain), 0, -1):
            for scope in scopes:
                identity = self.holder(scope, namespace, chain[:depth])
                known = self._load(identity) if identity else None
                if known is not None:
                    return Match(known[0], depth)
        return None

    def holder(self, scope: str, namespace: str, keys: Sequence[str]) -> str | None:
        """The identity of the record that serves the last of `keys` in that scope."""
        identity = self.pointer(scope, namespace, keys)
        known = self._load(identity) if identity else None
        if known is None:
            return None
        record, sound = known
        same = record.namespace == namespace and [step.key for step in record.chain[: len(keys)]] == list(keys)
        return identity if same and sound >= len(keys) else None

    def holders(self, scopes: Scopes, record: StepRecord, supersede: frozenset[str]) -> list[str | None]:
        """For each link the identity of the record that serves it and stays; None where the new one is to."""
        own = [scopes.write] if scopes.write else []
        seen = dict.fromkeys((*own, *scopes.read))
        keys = [step.key for step in record.chain]
        return [
            next(filter(None, (self.holder(scope, record.namespace, keys[:depth]) for scope in seen)), None)
            if keys[depth - 1] not in supersede
            else None
            for depth in range(1, len(keys) + 1)
        ]

    def demand(self, record: StepRecord) -> None:
        """Raises BlobNotFound where a blob of the record is not held."""
        wanted = blobs_of(record)
        self._ask(wanted)
        for descriptor in wanted:
            if self._held[descriptor.digest] != descriptor.size:
                raise BlobNotFound(f"{descriptor.digest}, which a step record names, is not in the store")

    def _load(self, identity: str) -> tuple[StepRecord, int] | None:
        if identity not in self._records:
            record = self.load(identity)
            self._records[identity] = None if record is None else (record, self._sound(record))
        return self._records[identity]

    def _sound(self, record: StepRecord) -> int:
        """How many of the first links have all their blobs."""
        if self.sizes is None:
            return len(record.chain)
        self._ask(blobs_of(record))
        for depth, step in enumerate(record.chain):
            if any(self._held[descriptor.digest] != descriptor.size for descriptor in _descriptors(step)):
                return depth
        return len(record.chain)

    def _ask(self, wanted: Iterable[Descriptor]) -> None:
        unknown = [descriptor.digest for descriptor in wanted if descriptor.digest not in self._held]
        if unknown and self.sizes is not None:
            self._held.update(dict.fromkeys(unknown))
            self._held.update(self.sizes(unknown))


def blobs_of(record: StepRecord, depth: int | None = None) -> list[Descriptor]:
    """What the record, or its first `depth` links, needs, each blob once."""
    named = (descriptor for step in record.chain[:depth] for descriptor in _descriptors(step))
    return list({descriptor.digest: descriptor for descriptor in named}.values())


def _descriptors(step: Step) -> Iterator[Descriptor]:
    for layer in step.layers:
        yield layer.blob
        if layer.tar_split is not None:
            yield layer.tar_split
