"""Whose vertices those are that BuildKit shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from layercache_ci.dockerfile.plan import BaseImage, Plan
from layercache_ci.engines.buildkit.progress import SeenStep
from layercache_ci.engines.buildkit.steps import seen_by_key
from tests.integration.buildkit.exports import FAILING, TWIN
from tests.unit.engines.buildkit.plans import keys, planned, recorded, vertex


def found(plan: Plan, *seen: SeenStep) -> dict[str, str]:
    """Digests of the vertices by the text of the instruction that they are taken for."""
    known = seen_by_key(plan, seen)
    return {text: known[key].digest for text, key in keys(plan).items() if key in known}


def test_a_single_stage_is_shown_without_its_name(tmp_path: Path) -> None:
    plan = planned(tmp_path, "FROM image AS alone\nRUN a\nENV A=1\nCOPY src /\n")

    seen = [vertex(None, 1, 3, text="FROM image"), vertex(None, 2, 3), vertex(None, 3, 3)]

    assert found(plan, *seen) == {"RUN a": "None 2", "COPY src /": "None 3"}


def test_a_stage_has_its_name_in_lower_case_or_its_index(tmp_path: Path) -> None:
    text = "FROM image AS Base\nRUN a\nFROM base\nRUN b\nFROM scratch\nCOPY --from=1 / /\nCOPY --from=Base / /x\n"
    plan = planned(tmp_path, text)

    seen = [vertex("base", 2, 2), vertex("stage-1", 1, 1), vertex("stage-2", 1, 2), vertex("stage-2", 2, 2)]

    assert found(plan, *seen) == {
        "RUN a": "base 2",
        "RUN b": "stage-1 1",
        "COPY --from=1 / /": "stage-2 1",
        "COPY --from=Base / /x": "stage-2 2",
    }


def test_equal_steps_of_two_stages_are_one_vertex(tmp_path: Path) -> None:
    text = "FROM image AS a\nRUN same\nFROM image AS b\nRUN same\nRUN b\nFROM a\nCOPY --from=b / /\n"
    plan = planned(tmp_path, text)
    (one,), (two, _) = plan.links(0), plan.links(1)

    known = seen_by_key(plan, [vertex("b", 2, 3), vertex("b", 3, 3)])

    assert one.key == two.key
    assert known[one.key].digest == "b 2"


def test_the_root_as_working_directory_is_counted_and_has_no_vertex(tmp_path: Path) -> None:
    plan = planned(tmp_path, "FROM image\nWORKDIR /\nRUN a\n")

    assert found(plan, vertex(None, 2, 3)) == {"RUN a": "None 2"}


def test_triggers_of_the_base_image_come_first(tmp_path: Path) -> None:
    base = BaseImage("image", "id", triggers=("COPY src /trigger", "ENV A=1"))
    plan = planned(tmp_path, "FROM image\nRUN a\n", images={"image": base})

    assert found(plan, vertex(None, 2, 2), vertex(None, 3, 2)) == {"COPY src /trigger": "None 2", "RUN a": "None 3"}


def test_triggers_of_a_stage_come_first_in_the_stage_on_it(tmp_path: Path) -> None:
    """As BuildKit 0.34 shows it: `[stage-1 1/3] ONBUILD COPY src /trigger`."""
    text = "FROM image AS x\nRUN a\nONBUILD COPY src /trigger\nFROM x\nWORKDIR /w\nRUN b\n"
    plan = planned(tmp_path, text)

    seen = [vertex("x", 2, 2), *(vertex("stage-1", number, 3) for number in (1, 2, 3))]

    assert found(plan, *seen) == {
        "RUN a": "x 2",
        "COPY src /trigger": "stage-1 1",
        "WORKDIR /w": "stage-1 2",
        "RUN b": "stage-1 3",
    }


def test_a_named_context_in_the_place_of_the_image_has_no_number(tmp_path: Path) -> None:
    """As BuildKit 0.34 shows it: `[1/2] RUN a`."""
    plan = planned(tmp_path, "FROM base\nRUN a\n", contexts={"base": "docker-image://other"})

    assert found(plan, vertex(None, 1, 2)) == {"RUN a": "None 1"}


def test_stages_of_one_name_are_told_apart_by_their_length(tmp_path: Path) -> None:
    text = "FROM image AS x\nRUN a\nFROM image AS x\nRUN b\nRUN c\nFROM x\nCOPY --from=0 / /\n"
    plan = planned(tmp_path, text)

    seen = [vertex("x", 2, 2, digest="a"), vertex("x", 2, 3, digest="b"), vertex("x", 3, 3, digest="c")]

    assert found(plan, *seen) == {"RUN a": "a", "RUN b": "b", "RUN c": "c"}


@pytest.mark.parametrize(("name", "dockerfile"), [("failed", FAILING), ("twin-cold", TWIN), ("twin-hit", TWIN)])
def test_every_step_of_a_real_build_is_found_under_its_own_text(tmp_path: Path, name: str, dockerfile: str) -> None:
    plan = planned(tmp_path, dockerfile.format(base="image", registry="registry"))
    known = seen_by_key(plan, recorded(name))
    planned_steps = [step for index in plan.stages for step in plan.links(index)]

    assert {step.key for step in planned_steps} == known.keys()
    for step in planned_steps:
        if step.instruction.keyword != "ADD":  # of another registry
            assert known[step.key].text == step.text
