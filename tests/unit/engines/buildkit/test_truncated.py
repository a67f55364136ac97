"""The Dockerfiles that export what a failed build finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from layercache_ci.dockerfile.plan import BaseImage, Plan
from layercache_ci.engines.buildkit.truncated import Truncated, truncated
from tests.unit.engines.buildkit.plans import planned

STAGES = """FROM image AS Base
RUN base
FROM base AS good
COPY src /src
RUN good
FROM base AS bad
RUN bad 1
RUN bad 2
FROM base
COPY --from=good / /
COPY --from=bad / /
"""


def cut(plan: Plan, folder: Path, *unfinished: str) -> tuple[Truncated, ...]:
    """All links but those with one of these texts are finished."""
    steps = [step for index in plan.stages for step in plan.links(index)]
    finished = {step.key for step in steps} - {step.key for step in steps if step.text in unfinished}
    return truncated(plan, finished, (folder / "Dockerfile").read_bytes())


def lines(text: str, last: int) -> bytes:
    return "".join(text.splitlines(keepends=True)[:last]).encode()


def test_one_ends_before_what_failed_and_one_has_the_stage_that_is_whole(tmp_path: Path) -> None:
    plan = planned(tmp_path, STAGES)

    parts = cut(plan, tmp_path, "RUN bad 2", "COPY --from=good / /", "COPY --from=bad / /")

    assert parts == (Truncated(2, "bad", lines(STAGES, 7)), Truncated(1, "good", lines(STAGES, 5)))


def test_what_the_finished_steps_of_a_stage_stand_on_is_in_its_export(tmp_path: Path) -> None:
    """The last stage finished what copies from `good`, on `base`: only `bad` is not below it."""
    plan = planned(tmp_path, STAGES)

    parts = cut(plan, tmp_path, "RUN bad 2", "COPY --from=bad / /")

    assert [(part.stage, part.target) for part in parts] == [(3, None), (2, "bad")]
    assert parts[0].dockerfile == lines(STAGES, 10)


def test_what_is_below_a_stage_without_finished_steps_is_exported_by_itself(tmp_path: Path) -> None:
    plan = planned(tmp_path, "FROM image AS a\nRUN a\nFROM a\nRUN b\n")

    assert cut(plan, tmp_path, "RUN b") == (Truncated(0, "a", b"FROM image AS a\nRUN a\n"),)
    assert cut(plan, tmp_path, "RUN a", "RUN b") == ()


def test_a_stage_that_copies_in_a_chain_covers_all_of_it(tmp_path: Path) -> None:
    text = "FROM image AS a\nRUN a\nFROM image AS b\nCOPY --from=a / /\nFROM image AS c\nCOPY --from=b / /\nRUN c\n"
    plan = planned(tmp_path, text)

    assert [part.stage for part in cut(plan, tmp_path, "RUN c")] == [2]


def test_instructions_without_a_vertex_stay_up_to_the_one_that_failed(tmp_path: Path) -> None:
    plan = planned(tmp_path, "FROM image\nRUN a\nENV A=1\n\n# why\nRUN b\nCMD x\n")

    assert cut(plan, tmp_path, "RUN b") == (Truncated(0, None, b"FROM image\nRUN a\nENV A=1\n\n# why\n"),)


def test_directives_and_arguments_above_the_stages_stay(tmp_path: Path) -> None:
    head = "# syntax=docker/dockerfile:1\n# escape=`\n\nARG TAG=1\nFROM image:$TAG\nRUN a `\n  # of it\n  && b\n"
    plan = planned(tmp_path, f"{head}RUN c\n")

    assert cut(plan, tmp_path, "RUN c") == (Truncated(0, None, head.encode()),)


def test_a_heredoc_is_cut_as_a_whole(tmp_path: Path) -> None:
    head = "FROM image\nRUN <<EOF\nFROM nothing\n  RUN b\nEOF\n"
    plan = planned(tmp_path, f"{head}COPY <<A <<B /x/\na\nA\nb\nB\nRUN c\n")
    (run, copy, _) = (step.text for step in plan.links(0))

    assert cut(plan, tmp_path, "RUN c")[0].dockerfile == f"{head}COPY <<A <<B /x/\na\nA\nb\nB\n".encode()
    assert cut(plan, tmp_path, copy, "RUN c")[0].dockerfile == head.encode()
    assert cut(plan, tmp_path, run, copy, "RUN c") == ()


@pytest.mark.parametrize("last", ["\r\n", ""])
def test_lines_end_as_they_do(tmp_path: Path, last: str) -> None:
    """A carriage return within a line ends none."""
    head = "FROM image AS a\r\nRUN a '\r'\r\n"
    (tmp_path / "Dockerfile").write_bytes(f"{head}FROM a\r\nRUN b{last}".encode())
    plan = planned(tmp_path, None)

    assert cut(plan, tmp_path, "RUN b") == (Truncated(0, "a", head.encode()),)


def test_triggers_of_the_base_image_are_there_with_its_from(tmp_path: Path) -> None:
    base = BaseImage("image", "id", triggers=("COPY src /1", "RUN 2"))
    plan = planned(tmp_path, "FROM image\nRUN a\n", images={"image": base})

    assert cut(plan, tmp_path, "RUN a") == (Truncated(0, None, b"FROM image\n"),)
    # of the triggers themselves there is no part that a Dockerfile could have
    assert cut(plan, tmp_path, "RUN 2", "RUN a") == ()


def test_a_stage_without_a_name_is_the_last_of_its_dockerfile(tmp_path: Path) -> None:
    plan = planned(tmp_path, "FROM image\nRUN a\nFROM image\nCOPY --from=0 / /\n")

    assert cut(plan, tmp_path, "COPY --from=0 / /") == (Truncated(0, None, b"FROM image\nRUN a\n"),)


def test_stages_that_the_target_does_not_need_are_not_exported(tmp_path: Path) -> None:
    plan = planned(tmp_path, STAGES, target="good")

    assert cut(plan, tmp_path, "RUN good") == (Truncated(1, "good", lines(STAGES, 4)),)


def test_the_keys_of_what_is_left_are_the_same(tmp_path: Path) -> None:
    plan = planned(tmp_path / "1", STAGES)
    (bad, _) = cut(plan, tmp_path / "1", "RUN bad 2", "COPY --from=good / /", "COPY --from=bad / /")

    again = planned(tmp_path / "2", bad.dockerfile.decode(), target=bad.target)

    assert again.chain(2) == plan.chain(2)[:3]
