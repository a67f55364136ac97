"""What is restored, and what is then predicted: plans and records without an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from layercache_ci.dockerfile.plan import Plan
from layercache_ci.engines.containers.offer import Offer
from layercache_ci.engines.containers.predict import predict
from layercache_ci.engines.containers.restore import Selection, select
from layercache_ci.engines.lookup import Lookup
from layercache_ci.layers.model import ZSTD_LAYER, Descriptor, Layer
from layercache_ci.report.model import Reason
from layercache_ci.store.model import Match, Step, StepRecord
from tests.unit.dockerfile.planning import plan_of

OLD, NEW = (1, 28), (1, 43)
COPIES = "FROM base AS a\nCOPY file /file\nFROM base\nCOPY --from=a /file /file\nRUN true\n"
MOUNTS = "FROM base AS a\nCOPY file /file\nFROM base\nRUN --mount=from=a,target=/a cat /a/file\nRUN true\n"


def planned(folder: Path, dockerfile: str, **files: str) -> Plan:
    folder.mkdir()
    for name, content in {"Dockerfile": dockerfile, **files}.items():
        (folder / name).write_text(content)
    return plan_of(folder)


def record(plan: Plan, index: int, build: str = "1") -> StepRecord:
    """As a build would have saved it: each link with an image of its own, and a layer named after its key."""
    steps = plan.steps(index)
    links = [Step(plan.chain(index)[0], "FROM", "base", {"base": "base"}, engine=image(f"{build} base"))]
    for step in steps:
        layer = Layer(step.key, 1, Descriptor(ZSTD_LAYER, step.key, 1), None)
        found = Step(
            step.key, step.instruction.keyword, step.text, step.ingredients, (layer,), engine=image(build + step.key)
        )
        links.append(found)
    return StepRecord(plan.namespace, plan.stage_id(index), tuple(links), "2026-01-01T00:00:00Z", "test")


def image(name: str) -> dict[str, object]:
    empty: dict[str, object] = {"digest": "", "names": [], "layer": None, "created": "", "metadata": "", "big_data": {}}
    return {"image": {"id": name, **empty}}


def found(plan: Plan, records: dict[int, StepRecord]) -> Lookup:
    """What a store that holds these records as the newest of their stages answers."""
    lookup = Lookup(newest=records)
    for index, held in records.items():
        keys = [step.key for step in held.chain]
        depth = sum(1 for _ in zip_while(plan.chain(index), keys))
        if depth:
            lookup.matches[index] = Match(held, depth)
    return lookup


def zip_while(ours: tuple[str, ...], theirs: list[str]) -> list[str]:
    common: list[str] = []
    for our, their in zip(ours, theirs, strict=False):
        if our != their:
            break
        common.append(our)
    return common


def predictions(plan: Plan, selection: Selection, version: tuple[int, int]) -> list[list[str]]:
    depths = {index: selection.depth(plan.chain(index)) for index in plan.stages}
    said = predict(plan, depths, selection.offered, version=version)
    return [list(said[index]) for index in sorted(said)]


@pytest.mark.parametrize("dockerfile", [COPIES, MOUNTS])
@pytest.mark.parametrize("version", [OLD, NEW])
def test_all_that_is_held_hits(tmp_path: Path, dockerfile: str, version: tuple[int, int]) -> None:
    before = planned(tmp_path / "1", dockerfile, file="1")
    after = planned(tmp_path / "2", dockerfile, file="1")

    chosen = select(after, found(after, {index: record(before, index) for index in before.stages}))

    assert predictions(after, chosen, version) == [["hit"], ["hit", "hit"]]
    assert chosen.offered == {}


def test_a_mount_of_a_stage_that_hits_may_not_be_looked_up(tmp_path: Path) -> None:
    """By 1.33, Ubuntu 24.04's, it is not; by 1.39 it is."""
    plan = planned(tmp_path / "1", MOUNTS, file="1")
    chosen = select(plan, found(plan, {index: record(plan, index) for index in plan.stages}))

    said = [predictions(plan, chosen, version) for version in ((1, 33), (1, 38), (1, 39))]

    assert said == [[["hit"], ["unknown", "unknown"]]] * 2 + [[["hit"], ["hit", "hit"]]]


def test_what_is_copied_from_a_changed_stage_is_offered_and_unknown(tmp_path: Path) -> None:
    before = planned(tmp_path / "1", COPIES, file="1")
    after = planned(tmp_path / "2", COPIES, file="2")

    chosen = select(after, found(after, {index: record(before, index) for index in before.stages}))

    assert predictions(after, chosen, OLD) == [["miss"], ["unknown", "unknown"]]
    assert chosen.offered == {1: 3}
    assert {image.image.id for image in chosen.images} >= {"1" + step.key for step in before.steps(1)}


@pytest.mark.parametrize("version", [OLD, NEW])
def test_what_mounts_a_changed_stage_is_not_offered(tmp_path: Path, version: tuple[int, int]) -> None:
    """An old engine does not look at what is mounted: it would take the stale image."""
    before = planned(tmp_path / "1", MOUNTS, file="1")
    after = planned(tmp_path / "2", MOUNTS, file="2")

    chosen = select(after, found(after, {index: record(before, index) for index in before.stages}))

    assert predictions(after, chosen, version) == [["miss"], ["miss", "miss"]]
    assert [image.image.id for image in chosen.images] == ["1 base"]


def test_a_lineage_is_offered_no_further_than_the_engine_checks_it(tmp_path: Path) -> None:
    """Behind a COPY that may be the same stands one thing that differs and that the engine does not see."""
    text = COPIES.replace("RUN true", "RUN --mount=type=bind,source=mounted,target=/m cat /m")
    before = planned(tmp_path / "1", text, file="1", mounted="1")
    after = planned(tmp_path / "2", text, file="2", mounted="2")

    chosen = select(after, found(after, {index: record(before, index) for index in before.stages}))

    assert chosen.offered == {1: 2}
    assert "1" + before.steps(1)[1].key not in {image.image.id for image in chosen.images}


def test_nothing_is_offered_where_another_base_is_built_on(tmp_path: Path) -> None:
    before = planned(tmp_path / "1", COPIES, file="1")
    after = planned(tmp_path / "2", COPIES.replace("FROM base", "FROM other"), file="1")

    chosen = select(after, found(after, {index: record(before, index) for index in before.stages}))

    assert (chosen.images, chosen.offered) == ([], {})


def test_a_cold_build_misses(tmp_path: Path) -> None:
    plan = planned(tmp_path / "1", COPIES, file="1")

    assert predictions(plan, select(plan, Lookup()), NEW) == [["miss"], ["unknown", "unknown"]]


def test_one_image_stands_for_a_key(tmp_path: Path) -> None:
    """Two records of two builds hold the same first step: the engine must find one lineage only."""
    text = "FROM base AS a\nRUN true\nFROM a\nRUN true\n"
    plan = planned(tmp_path / "1", text)
    lookup = Lookup(matches={0: Match(record(plan, 0, "old"), 2), 1: Match(record(plan, 1, "new"), 3)})

    chosen = select(plan, lookup)

    assert [image.image.id[:3] for image in chosen.images] == ["new", "new", "new"]
    assert predictions(plan, chosen, OLD) == [["hit"], ["hit"]]


def test_a_damaged_layer_takes_all_on_it_away(tmp_path: Path) -> None:
    plan = planned(tmp_path / "1", "FROM base\nRUN true\nRUN true\nRUN true\n")
    chosen = select(plan, found(plan, {0: record(plan, 0)}))

    kept = chosen.without({plan.steps(0)[1].key: "gone"})

    assert predictions(plan, kept, OLD) == [["hit", "miss", "miss"]]
    assert len(kept.images) == 2


def offer_of(plan: Plan) -> Offer:
    held = {index: record(plan, index) for index in plan.stages}
    lookup = found(plan, held)
    return Offer(lookup, select(plan, lookup))


def test_what_needs_a_damaged_layer_is_lost(tmp_path: Path) -> None:
    plan = planned(tmp_path / "1", COPIES, file="1")
    whole, copied = offer_of(plan), plan.chain(0)[1]

    kept = whole.without({copied: "it is not what it was"})

    assert kept.lost == {copied: Reason("damaged", "it is not what it was")}
    assert kept.links == {key: link for key, link in whole.links.items() if key != copied}
    assert kept.predictions(plan, version=NEW) == {0: ["miss"], 1: ["unknown", "unknown"]}


def test_what_is_not_used_after_all_is_still_in_the_store(tmp_path: Path) -> None:
    plan = planned(tmp_path / "1", COPIES, file="1")
    whole, copied = offer_of(plan), plan.chain(0)[1]

    none = whole.without({copied: "it is not what it was"}).withdrawn("the disk is full")

    assert none.selection == Selection()
    assert none.left == none.links == {key: link for key, link in whole.links.items() if key != copied}
    assert {key: reason.code for key, reason in none.lost.items()} == {
        key: "damaged" if key == copied else "not-restored" for key in whole.links
    }
    assert none.predictions(plan, version=NEW)[0] == ["miss"]
