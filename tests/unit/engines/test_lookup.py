"""What is asked of a store before a build, and what is made of its answers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from layercache_ci.dockerfile.plan import Plan
from layercache_ci.engines.lookup import AT_ONCE, Lookup, look_up
from layercache_ci.engines.protocol import Saved
from layercache_ci.errors import StoreUnavailable
from layercache_ci.store.local import LocalStore
from layercache_ci.store.model import Match, Step, StepRecord
from layercache_ci.store.serial import identity, to_json
from tests.unit.dockerfile.planning import plan_of
from tests.waiting import SECONDS

TEXT = "FROM base AS a\nRUN touch /a\nFROM base\nCOPY --from=a /a /a\nCOPY file /file\n"


class Asked(LocalStore):
    """A store that notes for which stages it is asked for the newest record."""

    stages: list[str]

    def newest(self, namespace: str, stage: str) -> StepRecord | None:
        self.stages.append(stage)
        return super().newest(namespace, stage)


def planned(folder: Path, file: str) -> Plan:
    folder.mkdir()
    (folder / "Dockerfile").write_text(TEXT)
    (folder / "file").write_text(file)
    return plan_of(folder)


def opened(folder: Path, *plans: Plan) -> Asked:
    """With a record of each stage, as builds of these plans left them one after the other."""
    store = Asked(folder)
    store.stages = []
    for number, plan in enumerate(plans):
        for index in plan.stages:
            keys = plan.chain(index)
            steps = tuple(Step(key, "RUN", key, {}) for key in keys)
            store.put_record(StepRecord(plan.namespace, plan.stage_id(index), steps, f"2026-01-0{number + 1}", "test"))
    return store


def test_a_stage_that_is_held_whole_is_asked_for_once(tmp_path: Path) -> None:
    plan = planned(tmp_path / "1", "1")
    store = opened(tmp_path / "store", plan)

    found = look_up(plan, store)

    assert store.stages == []
    assert {index: match.depth for index, match in found.matches.items()} == {0: 2, 1: 3}
    assert found.newest == {index: match.record for index, match in found.matches.items()}


def test_of_a_stage_that_changed_the_newest_record_is_asked_for_too(tmp_path: Path) -> None:
    """A build before the last one went as far with it; the last one explains the miss."""
    before, last, now = (planned(tmp_path / name, name) for name in ("1", "2", "3"))
    store = opened(tmp_path / "store", before, last)

    found = look_up(now, store)

    assert store.stages == [now.stage_id(1)]
    assert found.matches[1].depth == 2
    assert [step.key for step in found.newest[1].chain] == list(last.chain(1))


def test_what_is_not_there_is_no_match(tmp_path: Path) -> None:
    plan = planned(tmp_path / "1", "1")
    store = opened(tmp_path / "store")

    found = look_up(plan, store)

    assert (found.matches, found.newest, found.warnings) == ({}, {}, [])
    assert sorted(store.stages) == sorted([plan.stage_id(0), plan.stage_id(1)])


def test_a_fault_is_a_warning_and_no_match(tmp_path: Path) -> None:
    plan = planned(tmp_path / "1", "1")
    (tmp_path / "store").write_text("no folder")

    found = look_up(plan, opened(tmp_path / "store"))

    assert (found.matches, found.newest) == ({}, {})
    assert len(found.warnings) == 1, "for two stages"


def test_one_record_that_can_not_be_read_is_a_miss_for_itself(tmp_path: Path) -> None:
    """It is a folder in a file's place: root may read what it likes."""
    plan = planned(tmp_path / "1", "1")
    store = opened(tmp_path / "store", plan)
    bad = store.newest(plan.namespace, plan.stage_id(0))
    assert bad is not None
    file = tmp_path / "store/lc1/records" / identity(to_json(bad))
    file.unlink()
    file.mkdir()

    found = look_up(plan, store)

    assert (set(found.matches), found.warnings) == ({1}, [])


class Patient(LocalStore):
    """A store that answers nobody before so many have asked."""

    asked: threading.Barrier

    def lookup(self, namespace: str, chain: Sequence[str]) -> Match | None:
        self.asked.wait(60)
        return super().lookup(namespace, chain)


def test_all_stages_are_asked_for_at_once(tmp_path: Path) -> None:
    plan = planned(tmp_path / "1", "1")
    opened(tmp_path / "store", plan)
    store = Patient(tmp_path / "store")
    store.asked = threading.Barrier(2)

    assert {index: match.depth for index, match in look_up(plan, store).matches.items()} == {0: 2, 1: 3}


class Away(LocalStore):
    """A store that can't be reached, which shows when as many have asked as are let ask at once."""

    asked: threading.Barrier
    questions: list[str]

    def lookup(self, namespace: str, chain: Sequence[str]) -> Match | None:
        self.questions.append(f"{namespace} {chain}")
        self.asked.wait(60)
        raise StoreUnavailable(f"no answer to question {len(self.questions)}")


def test_a_store_that_is_away_is_not_asked_for_every_stage(tmp_path: Path) -> None:
    text = "".join(f"FROM base AS s{number}\nRUN touch /{number}\n" for number in range(3 * AT_ONCE))
    copies = "".join(f"COPY --from=s{number} /{number} /\n" for number in range(3 * AT_ONCE))
    (tmp_path / "Dockerfile").write_text(f"{text}FROM base\n{copies}")
    plan = plan_of(tmp_path)
    assert len(plan.stages) > 3 * AT_ONCE
    store = Away(tmp_path / "store")
    store.asked, store.questions = threading.Barrier(AT_ONCE), []

    found = look_up(plan, store)

    assert found.warnings == [f"no answer to question {AT_ONCE}"]
    assert len(store.questions) == AT_ONCE
    assert (found.matches, found.newest) == ({}, {})


class Rigid(LocalStore):
    """A store whose records can't be made young again."""

    collected = 0

    def touch(self, record: StepRecord, depth: int) -> None:
        raise StoreUnavailable(f"{depth} links of {record.stage}")

    def collect(self) -> int:
        self.collected += 1
        return 0


class Hanging(LocalStore):
    """It doesn't answer, and whoever runs the build loses patience."""

    answers: threading.Event
    first: threading.Lock

    def lookup(self, namespace: str, chain: Sequence[str]) -> Match | None:
        del namespace, chain
        if self.first.acquire(blocking=False):
            os.kill(os.getpid(), signal.SIGINT)
        self.answers.wait(SECONDS)
        return None


def test_whoever_is_asked_to_end_does_not_wait_for_a_store_that_is_away(tmp_path: Path) -> None:
    plan = planned(tmp_path / "1", "1")
    store = Hanging(tmp_path / "store")
    store.answers, store.first = threading.Event(), threading.Lock()
    before = set(threading.enumerate())

    with pytest.raises(KeyboardInterrupt):
        look_up(plan, store)

    assert not store.answers.is_set()
    assert all(thread.daemon for thread in set(threading.enumerate()) - before)
    store.answers.set()


def test_a_store_is_tidied_up_though_what_was_used_can_not_be_made_young(tmp_path: Path) -> None:
    store = Rigid(tmp_path)
    found = Lookup({0: Match(StepRecord("n", "stage", (), "2026-01-01", "test"), 2)})
    saved = found.keep(store, Saved())
    assert saved.warnings == ("what was used may be the first that the store removes: 2 links of stage",)
    assert store.collected == 1


class Full(LocalStore):
    """A store that can't be tidied up."""

    def collect(self) -> int:
        raise StoreUnavailable("no")


def test_what_is_saved_stays_saved_where_the_store_can_not_be_tidied_up(tmp_path: Path) -> None:
    saved = Lookup().keep(Full(tmp_path), Saved(records=2, size=7, warnings=("one",)))
    assert saved == Saved(records=2, size=7, warnings=("one", "the store may grow past its size limit: no"))
