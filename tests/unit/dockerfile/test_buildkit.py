"""Which change moves the key of which step, as BuildKit counts.

tests/oracle/test_llb.py shows that it does, for all that its frontend can say; here are the rules for people, and what
lies outside of the Dockerfile.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from layercache_ci.dockerfile.buildkit import Options, buildkit, seconds
from layercache_ci.dockerfile.plan import BaseImage, Plan
from layercache_ci.errors import PlanError
from tests.unit.dockerfile.planning import plan_of

FILES = {"one": "1", "two": "2", "folder/three": "3", "folder/four": "4"}


def planned(
    folder: Path,
    dockerfile: str,
    *,
    files: Mapping[str, str] = FILES,
    options: Options | None = None,
    contexts: Mapping[str, str] | None = None,
    images: Mapping[str, BaseImage] | None = None,
    **build_args: str,
) -> Plan:
    context = folder / f"context {len(list(folder.iterdir()))}"
    for name, content in files.items():
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(content)
    (context / "Dockerfile").write_text(dockerfile)
    dialect = buildkit(options or Options())
    return plan_of(context, build_args=build_args, contexts=contexts, images=images, dialect=dialect)


def moved(before: Plan, after: Plan) -> str:
    """A letter for each link of the target: `=` where the key is the same, else `!`."""
    keys = before.chain(before.target)
    return "".join("=" if key in keys else "!" for key in after.chain(after.target)[1:])


def compared(folder: Path, before: str, after: str) -> str:
    return moved(planned(folder, f"FROM image\n{before}\n"), planned(folder, f"FROM image\n{after}\n"))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param("RUN a\nLABEL x=1\nRUN b", "RUN a\nLABEL x=2\nRUN b", "==", id="a label"),
        pytest.param("RUN a\nENV X=1\nRUN b", "RUN a\nENV X=2\nRUN b", "=!", id="ENV, for the RUNs behind it"),
        pytest.param("ENV X=1\nCOPY one /", "ENV X=2\nCOPY one /", "=", id="ENV, for no COPY"),
        pytest.param("ENV X=1\nRUN a", "ARG X=1\nRUN a", "=", id="ARG or ENV"),
        pytest.param("ENV X=1 Y=2\nRUN a", "ENV Y=2 X=1\nRUN a", "!", id="the order of variables"),
        pytest.param("ARG X\nRUN a", "RUN a", "=", id="an ARG without a value"),
        pytest.param("USER root\nRUN a", "USER 0\nRUN a", "!", id="USER as it is written, for RUN"),
        pytest.param("USER root\nWORKDIR /w", "USER 0\nWORKDIR /w", "=", id="USER as it is meant, for WORKDIR"),
        pytest.param('SHELL ["sh"]\nRUN a', 'SHELL ["ash"]\nRUN a', "!", id="SHELL, for the shell form"),
        pytest.param('SHELL ["sh"]\nRUN ["a"]', 'SHELL ["ash"]\nRUN ["a"]', "=", id="SHELL, not for the other"),
        pytest.param("WORKDIR /\nRUN a", "RUN a", "=", id="WORKDIR / is no step"),
        pytest.param("WORKDIR /w\nCOPY one x", "WORKDIR /w\nCOPY one /w/x", "==", id="a destination is made absolute"),
        pytest.param("COPY one /x", "COPY two /x", "!", id="another source"),
        pytest.param("COPY folder /x", "COPY ./folder/ /x", "=", id="a source written otherwise"),
        pytest.param("COPY --chmod=0755 one /", "COPY --chmod=755 one /", "=", id="a mode written otherwise"),
        pytest.param("COPY --chown=root one /", "COPY --chown=0 one /", "=", id="an owner written otherwise"),
        pytest.param("COPY one /", "COPY --link one /", "!", id="--link"),
        pytest.param("COPY one /", "ADD --unpack=false one /", "=", id="ADD that unpacks nothing is COPY"),
        pytest.param("COPY one /", "ADD one /", "!", id="ADD"),
        pytest.param("RUN --network=none a", "RUN a", "!", id="the network mode"),
        pytest.param("RUN --mount=type=secret,id=a a", "RUN --mount=type=secret,id=b a", "!", id="the id of a secret"),
        pytest.param(
            "RUN --mount=type=cache,id=a,target=/c a",
            "RUN --mount=type=cache,id=b,target=/c a",
            "=",
            id="not that of a cache",
        ),
        pytest.param("RUN <<A\na\nA", "RUN <<B\na\nB", "=", id="the delimiter of a heredoc"),
        pytest.param("RUN <<A\n#!/x\nA", "RUN <<B\n#!/x\nB", "!", id="but of a script, which is a file of that name"),
    ],
)
def test_what_moves_a_key(tmp_path: Path, before: str, after: str, expected: str) -> None:
    assert compared(tmp_path, before, after) == expected


def test_steps_without_a_result_of_their_own_are_no_links(tmp_path: Path) -> None:
    plan = planned(tmp_path, "FROM image\nENV A=1\nRUN a\nUSER b\nWORKDIR /\nCMD c\n")

    assert [step.link for step in plan.steps(0)] == [False, True, False, False, False]
    assert [step.key for step in plan.steps(0)] == [plan.chain(0)[at] for at in (0, 1, 1, 1, 1)]
    assert [step.text for step in plan.links(0)] == ["RUN a"]


def test_build_arguments_count_where_they_are_declared(tmp_path: Path) -> None:
    dockerfile = "FROM image\nRUN a\nARG X=0\nRUN b\n"
    before = planned(tmp_path, dockerfile)

    assert moved(before, planned(tmp_path, dockerfile, X="1", UNUSED="1", http_proxy="p")) == "=!"
    assert "arg:X" in before.links(0)[1].ingredients
    assert "env:PATH" in before.links(0)[0].ingredients


def test_a_child_stage_inherits_arguments_but_an_env_wins_again(tmp_path: Path) -> None:
    dockerfile = "FROM image AS one\nENV A=env\nARG A=arg\nARG B\nFROM one\nRUN a\n"

    assert moved(planned(tmp_path, dockerfile), planned(tmp_path, dockerfile, A="other")) == "="
    assert moved(planned(tmp_path, dockerfile), planned(tmp_path, dockerfile, B="other")) == "!"


def test_files_count_by_name_mode_and_bytes(tmp_path: Path) -> None:
    dockerfile = "FROM image\nCOPY folder /x\n"
    before = planned(tmp_path, dockerfile)

    assert moved(before, planned(tmp_path, dockerfile, files={**FILES, "one": "changed"})) == "="
    changed = planned(tmp_path, dockerfile, files={**FILES, "folder/four": "changed"})
    assert moved(before, changed) == "!"
    assert moved(before, planned(tmp_path, dockerfile, files={**FILES, "folder/five": ""})) == "!"
    old, new = (plan.links(0)[0].ingredients for plan in (before, changed))
    assert {name for name in new if old.get(name) != new[name]} == {"tree", "file:folder/four"}


def test_options_count_for_run_only(tmp_path: Path) -> None:
    dockerfile = "FROM image\nCOPY one /\nRUN a\n"
    before = planned(tmp_path, dockerfile)

    for options in (Options(network="host"), Options(shm_size=1), Options(run={"hostname": "x"})):
        assert moved(before, planned(tmp_path, dockerfile, options=options)) == "=!"


def test_the_time_of_source_date_epoch_counts_for_workdir(tmp_path: Path) -> None:
    dockerfile = "FROM image\nCOPY one /\nWORKDIR /w\n"
    before = planned(tmp_path, dockerfile)

    assert moved(before, planned(tmp_path, dockerfile, options=Options(epoch=1))) == "=!"
    assert moved(before, planned(tmp_path, f"ARG SOURCE_DATE_EPOCH=1\n{dockerfile}")) == "=!"
    assert (seconds("07"), seconds("context")) == (7, None)
    with pytest.raises(PlanError, match="SOURCE_DATE_EPOCH='stage' is known to the engine only"):
        seconds("stage")


def test_triggers_of_stages_and_images_are_steps_of_what_builds_on_them(tmp_path: Path) -> None:
    images = {"fires": BaseImage("fires", "id", triggers=("RUN of the image",))}
    plan = planned(tmp_path, "FROM fires AS one\nONBUILD RUN of the stage\nFROM one\nRUN own\n", images=images)

    assert [step.text for step in plan.links(1)] == ["RUN of the image", "RUN of the stage", "RUN own"]
    assert plan.stages[1].steps[0].instruction.start_line == 3


def test_a_trigger_may_need_a_stage_that_nothing_else_does(tmp_path: Path) -> None:
    images = {"fires": BaseImage("fires", "id", triggers=("COPY --from=assets /a /",))}
    plan = planned(tmp_path, "FROM image AS assets\nRUN a\nFROM fires\n", images=images)

    assert sorted(plan.stages) == [0, 1]
    assert plan.links(1)[0].origins == (0,)


def test_a_number_is_a_stage_in_copy_only(tmp_path: Path) -> None:
    plan = planned(tmp_path, "FROM image\nRUN a\nFROM image\nCOPY --from=0 / /\nRUN --mount=from=0,target=/m b\n")

    assert [step.origins for step in plan.links(1)] == [(0,), ()]
    assert [image.reference for image, _ in plan.images] == ["0"]


def test_a_named_context_takes_the_place_of_an_image_in_every_spelling_and_of_a_stage(tmp_path: Path) -> None:
    dockerfile = "FROM docker.io/library/image:latest AS one\nRUN a\nFROM other\nCOPY --from=one /x /\n"
    named = planned(tmp_path, dockerfile, contexts={"image": "docker-image://another"})
    assert named.stages[0].base is not None
    assert named.stages[0].base.reference == "another"

    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "x").write_text("")
    (folder / ".dockerignore").write_text("y")
    replaced = planned(tmp_path, dockerfile, contexts={"one": str(folder)})
    assert sorted(replaced.stages) == [1]
    (folder / "y").write_text("ignored")
    assert moved(replaced, planned(tmp_path, dockerfile, contexts={"one": str(folder)})) == "="
    (folder / "x").write_text("changed")
    assert moved(replaced, planned(tmp_path, dockerfile, contexts={"one": str(folder)})) == "!"


@pytest.mark.parametrize(
    ("line", "foreseeable"),
    [
        ("ADD https://example.org/a /", False),
        (f"ADD --checksum=sha256:{'0' * 64} https://example.org/a /", True),
        ("ADD https://example.org/a.git /", False),
        ("ADD git@example.org:a /", False),
        ("COPY --from=elsewhere /a /", False),
        ("RUN --mount=from=elsewhere,target=/m a", False),
        ("COPY --from=image /a /", True),
    ],
)
def test_what_only_the_build_will_see_can_not_be_foreseen(tmp_path: Path, line: str, foreseeable: bool) -> None:
    plan = planned(tmp_path, f"FROM image\n{line}\n", contexts={"elsewhere": "https://example.org/a.git"})

    assert [step.foreseeable for step in plan.links(0)] == [foreseeable]


def test_stages_whose_cache_is_to_be_ignored(tmp_path: Path) -> None:
    dockerfile = "FROM image AS one\nWORKDIR /w\nRUN a\nFROM one\nRUN b\n"
    named = planned(tmp_path, dockerfile, options=Options(no_cache=frozenset({"one"})))
    every = planned(tmp_path, dockerfile, options=Options(no_cache=frozenset()))

    assert [step.forced for step in named.links(1)] == [False, True, False]
    assert [step.forced for step in every.links(1)] == [False, True, True]


def test_a_base_image_brings_its_configuration(tmp_path: Path) -> None:
    dockerfile = "FROM base\nCOPY one x\nRUN a\n"

    def on(**config: object) -> Plan:
        return planned(tmp_path, dockerfile, images={"base": BaseImage("base", "id", **config)})  # type: ignore[arg-type]

    before = on()
    assert moved(before, on(working_dir="/w")) == "!!"
    assert [moved(before, on(**{name: value})) for name, value in (("user", "u"), ("shell", ("x",)))] == ["=!", "=!"]
    assert moved(on(environment={"A": "1"}), on(environment={"A": "2"})) == "=!"
