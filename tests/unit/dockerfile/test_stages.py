from __future__ import annotations

from pathlib import Path

import pytest

from layercache_ci.dockerfile.ignore import Family
from layercache_ci.dockerfile.parser import parse
from layercache_ci.dockerfile.stages import StageGraph, build_graph
from layercache_ci.errors import InputError, PlanError
from tests.unit.dockerfile.planning import plan_of

GRAPH = """ARG TAG=1
FROM image:$TAG AS Base
RUN true
FROM base AS left
RUN true
FROM scratch AS right
COPY --from=0 / /
FROM other
RUN --mount=type=bind,from=left,target=/x true
COPY --from=image:2 / /
"""


def graph(
    text: str, *, contexts: dict[str, str] | None = None, family: Family = "containers", **build_args: str
) -> StageGraph:
    return build_graph(
        parse(text.encode(), name="Dockerfile"),
        build_args=build_args,
        predefined={"TARGETARCH": "amd64"},
        contexts=contexts or {},
        platform="linux/amd64",
        family=family,
    )


def test_stages_are_found_by_name_in_any_case_by_number_or_as_the_last() -> None:
    found = graph(GRAPH)

    assert [stage.name for stage in found.stages] == ["base", "left", "right", "3"]
    assert [found.target(name).index for name in ("LEFT", "2", None)] == [1, 2, 3]
    with pytest.raises(InputError, match=r"--target: no stage is named 'nobody'; the Dockerfile has base, left"):
        found.target("nobody")


def test_to_buildkit_a_number_names_no_stage_and_a_name_the_last_that_has_it() -> None:
    found = graph("FROM a AS x\nFROM b AS X\nFROM x\n", family="buildkit")

    assert [found.target(name).index for name in ("x", "X", None, "")] == [1, 1, 2, 2]
    with pytest.raises(InputError, match=r"--target: no stage is named '1'"):
        found.target("1")


@pytest.mark.parametrize(("target", "needed"), [("base", {0}), ("left", {0, 1}), ("right", {0, 2}), (None, {0, 1, 3})])
def test_a_target_needs_what_it_builds_on_copies_from_and_mounts(target: str | None, needed: set[int]) -> None:
    found = graph(GRAPH)

    assert found.needed(found.target(target)) == needed


def test_names_in_from_are_expanded_with_the_arguments_before_the_first() -> None:
    assert graph(GRAPH).stages[0].base.name == "image:1"
    assert graph(GRAPH, TAG="2").stages[0].base.name == "image:2"
    assert graph("FROM image:$TARGETARCH\n").stages[0].base.name == "image:amd64"
    with pytest.raises(PlanError, match="line 2: FROM \\$NAME expands to nothing"):
        graph("ARG NAME\nFROM $NAME\n")


def test_a_name_means_a_context_then_an_earlier_stage_then_an_image() -> None:
    found = graph(GRAPH, contexts={"Base": "docker-image://elsewhere"})

    assert found.origin("base", before=3).kind == "context"
    assert found.origin("left", before=3).stage == 1
    assert found.origin("left", before=1).kind == "image"
    assert found.stages[1].base.kind == "context"


def test_a_later_stage_of_the_same_name_is_the_one_that_is_meant() -> None:
    found = graph("FROM a AS x\nFROM b AS x\nFROM x\n")

    assert found.stages[2].base.stage == 1


def test_no_program_is_asked_for_an_image_that_would_be_an_option_to_it(tmp_path: Path) -> None:
    for lines in ("ARG N=--root=/x\nFROM ${N}\nRUN a\n", "FROM b\nCOPY --from=--root=/x a b\n"):
        (tmp_path / "Dockerfile").write_text(lines)
        with pytest.raises(PlanError, match="'--root=/x' is no name of an image"):
            plan_of(tmp_path)
