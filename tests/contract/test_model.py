"""Any sequence of saves, damage, uses and collections, against a model of a few lines."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from layercache_ci.errors import BlobDamaged
from layercache_ci.store.model import Match, Scopes, StepRecord
from tests.contract.backends import BACKENDS, Backend, names
from tests.contract.samples import NAMESPACE, descriptor_of, put_blob, record, step

OWN, MAIN = Scopes(("own", "main"), "own"), Scopes(("main",), "main")

# A key stands for all that came before it, as real ones do: "ab" is b after a.
chains = st.text("ab", min_size=1, max_size=4).map(lambda word: [word[:end] for end in range(1, len(word) + 1)])
CONTENTS = {letter: letter.encode() * size for letter, size in zip("uvwxyz", range(1000, 7000, 1000), strict=True)}
contents = st.sampled_from(sorted(CONTENTS))
scopes = st.sampled_from([OWN, MAIN])


class StoreMachine(RuleBasedStateMachine):
    backend_type: ClassVar[type[Backend]]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.backend = self.backend_type(Path(self.folder.name))
        self.blobs: set[str] = set()
        """Names in CONTENTS."""
        self.pointers: dict[tuple[str, str], StepRecord] = {}
        """By scope and key ("/" for the stage's)."""
        self.used: dict[str, int] = {}
        """By the record's `created`, which names it."""
        self.clock = 0

    def teardown(self) -> None:
        self.folder.cleanup()

    def tick(self) -> int:
        self.backend.age(1)
        self.clock += 1
        return self.clock

    def holder(self, scope: str, key: str) -> StepRecord | None:
        found = self.pointers.get((scope, key))
        held = {descriptor_of(CONTENTS[data]).digest for data in self.blobs}
        if found and all(layer.blob.digest in held for step in found.chain[: len(key)] for layer in step.layers):
            return found
        return None

    def expected(self, scopes: Scopes, keys: list[str]) -> Match | None:
        places = ((scope, key) for key in reversed(keys) for scope in scopes.read)
        return next((Match(found, len(key)) for scope, key in places if (found := self.holder(scope, key))), None)

    @rule(
        scopes=scopes,
        keys=chains,
        layers=st.lists(contents, min_size=4, max_size=4),
        superseded=st.sets(chains.map(max)),
    )
    def save(self, scopes: Scopes, keys: list[str], layers: list[str], superseded: set[str]) -> None:
        now = self.tick()
        store = self.backend.open(scopes)
        chain = [step(key, [put_blob(store, CONTENTS[data])]) for key, data in zip(keys, layers, strict=False)]
        self.blobs.update(layers[: len(keys)])
        new = record(*chain, created=f"2026-01-01T00:00:{now:06}Z", stage="app")
        moved = [k for k in keys if k in superseded or not any(self.holder(scope, k) for scope in scopes.read)]
        assert store.put_record(new, supersede=frozenset(superseded)) == bool(moved)
        assert scopes.write is not None
        self.pointers |= {(scopes.write, key): new for key in moved}
        whole = next(found for scope in scopes.read if (found := self.holder(scope, keys[-1])))
        self.pointers[scopes.write, "/"] = whole
        self.used |= {new.created: now} if moved else {}
        self.used[whole.created] = now

    @rule(data=contents)
    def lose_blob(self, data: str) -> None:
        if data in self.blobs:
            self.backend.remove_blob(descriptor_of(CONTENTS[data]).digest)
            self.blobs.remove(data)

    @rule(data=contents, at=st.integers(0, 999))
    def read_damaged_blob(self, data: str, at: int) -> None:
        if data in self.blobs:
            self.backend.alter_blob(descriptor_of(CONTENTS[data]).digest, at)
            with self.backend.open().open_blob(descriptor_of(CONTENTS[data])) as blob, pytest.raises(BlobDamaged):
                blob.read()
            self.blobs.remove(data)

    @rule(scopes=scopes, keys=chains)
    def look_up(self, scopes: Scopes, keys: list[str]) -> None:
        now = self.tick()
        store = self.backend.open(scopes)
        found = store.lookup(NAMESPACE, keys)
        assert found == self.expected(scopes, keys)
        if found:
            store.touch(found.record, found.depth)
            places = [(scope, found.record.chain[found.depth - 1].key) for scope in scopes.read]
            self.used |= {self.pointers[place].created: now for place in places if place in self.pointers}

    @rule(share=st.floats(0, 1.2))
    def collect(self, share: float) -> None:
        self.backend.age(10_000)
        before = self.backend.open().stats().size
        limit = int(before * share)
        store = self.backend.open(max_size=limit)
        freed = store.collect()
        after = store.stats()
        assert after.size == before - freed
        assert after.size <= limit
        self.forget_what_is_gone()

    def forget_what_is_gone(self) -> None:
        known = {found.created for found in self.pointers.values()}
        left = {found.created for found in self.backend.open(Scopes(("own", "main"), None)).records()}
        assert left <= known
        assert all(self.used[gone] <= self.used[kept] for gone in known - left for kept in left)
        held = self.backend.open(Scopes((), None)).contains(descriptor_of(CONTENTS[data]).digest for data in self.blobs)
        self.blobs = {data for data in self.blobs if descriptor_of(CONTENTS[data]).digest in held}
        lost = {place for place, found in self.pointers.items() if found.created not in left}
        kept = {place: found for place, found in self.pointers.items() if place not in lost}
        self.pointers = dict(kept)
        for (scope, _), heir in sorted(kept.items(), key=lambda item: item[1].created):
            names = ("/", *(link.key for link in heir.chain))
            self.pointers |= {(scope, name): heir for name in names if (scope, name) in lost}

    @invariant()
    def the_newest_is_right(self) -> None:
        for scopes in (OWN, MAIN):
            places = [(scope, "/") for scope in scopes.read if (scope, "/") in self.pointers]
            expected = self.pointers[places[0]] if places else None
            assert self.backend.open(scopes).newest(NAMESPACE, "app") == expected


@pytest.mark.parametrize("name", names())
def test_a_store_is_its_model(name: str) -> None:
    machine = type("Machine", (StoreMachine,), {"backend_type": BACKENDS[name]})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=50, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
