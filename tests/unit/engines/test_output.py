from __future__ import annotations

from itertools import count

from layercache_ci.engines.containers.output import OutputReader

A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)


def read(*lines: str) -> OutputReader:
    ticks = count()
    reader = OutputReader(lambda: float(next(ticks)))
    reader.feed_all(lines)
    return reader


def outcomes(reader: OutputReader) -> list[tuple[int, int, bool, str | None]]:
    return [(step.stage, step.number, step.hit, step.image) for step in reader.steps]


def test_one_stage_hit_then_miss() -> None:
    reader = read(
        "STEP 1/3: FROM scratch",
        "STEP 2/3: COPY a /",
        f"--> Using cache {A}",
        f"--> {A[:11]}",
        "STEP 3/3: RUN make",
        "gcc -c a.c",
        "COMMIT app",
        f"--> {B[:11]}",
        "Successfully tagged localhost/app:latest",
        B,
    )
    assert outcomes(reader) == [(1, 1, False, None), (1, 2, True, A[:11]), (1, 3, False, B[:11])]
    assert reader.final_image == B


def test_a_stage_that_waits_for_another_gets_its_lines_afterwards() -> None:
    """Buildah runs one stage at a time, but begins them in any order: seen in 1.28 without --jobs."""
    reader = read(
        "[2/2] STEP 1/3: FROM scratch",
        "[2/2] STEP 2/3: COPY --from=0 /x /x",
        "[1/2] STEP 1/2: FROM scratch AS one",
        "[1/2] STEP 2/2: COPY x /x",
        f"--> Using cache {A}",
        f"--> {A[:11]}",
        f"--> Using cache {B}",
        f"--> {B[:11]}",
        "[2/2] STEP 3/3: LABEL a=b",
        "[2/2] COMMIT app",
        f"--> {C[:11]}",
    )
    assert outcomes(reader) == [
        (2, 1, False, None),
        (2, 2, True, B[:11]),
        (1, 1, False, None),
        (1, 2, True, A[:11]),
        (2, 3, False, C[:11]),
    ]


def test_a_waiting_step_that_misses_is_told_from_the_stage_it_waited_for() -> None:
    reader = read(
        "[2/2] STEP 1/2: FROM scratch",
        "[2/2] STEP 2/2: COPY --from=0 /x /x",
        "[1/2] STEP 1/2: FROM scratch",
        "[1/2] STEP 2/2: COPY x /x",
        f"--> {A[:11]}",
        "[2/2] COMMIT app",
        f"--> {B[:11]}",
    )
    assert outcomes(reader)[1] == (2, 2, False, B[:11])
    assert outcomes(reader)[3] == (1, 2, False, A[:11])


def test_of_two_waiting_stages_the_next_step_line_tells_which_went_on() -> None:
    waiting = (
        "[2/3] STEP 1/3: FROM scratch",
        "[2/3] STEP 2/3: COPY --from=0 /x /x",
        "[3/3] STEP 1/3: FROM scratch",
        "[3/3] STEP 2/3: COPY --from=0 /x /y",
        "[1/3] STEP 1/2: FROM scratch",
        "[1/3] STEP 2/2: COPY x /x",
        f"--> {A[:11]}",
    )
    reader = read(
        *waiting,
        f"--> Using cache {B}",
        f"--> {B[:11]}",
        "[3/3] STEP 3/3: LABEL a=b",
        f"--> {C[:11]}",
        f"--> {D[:11]}",
        "[2/3] STEP 3/3: LABEL a=b",
    )
    found = {(step.stage, step.number): (step.hit, step.image) for step in reader.steps}
    assert found[3, 2] == (True, B[:11])
    assert found[2, 2] == (False, D[:11])
    assert found[3, 3] == (False, C[:11])


def test_what_a_run_prints_is_not_taken_for_the_engine() -> None:
    reader = read(
        "STEP 1/3: FROM scratch",
        "STEP 2/3: RUN evil",
        "hello",
        f"--> Using cache {A}",
        "STEP 9/9: RUN nothing",
        "STEP 2/3: RUN again",
        f"--> {B[:11]}",
        "STEP 3/3: LABEL a=b",
        f"--> {C[:11]}",
    )
    assert outcomes(reader) == [(1, 1, False, None), (1, 2, False, B[:11]), (1, 3, False, C[:11])]


def test_a_run_that_does_not_end_its_line_leaves_an_image_too() -> None:
    reader = read("STEP 1/3: FROM scratch", "STEP 2/3: RUN printf 1", f"1--> {A[:11]}", "STEP 3/3: RUN printf --",
                  "--COMMIT app", f"--> {B[:11]}", B)  # fmt: skip
    assert outcomes(reader) == [(1, 1, False, None), (1, 2, False, A[:11]), (1, 3, False, B[:11])]


def test_a_cache_line_for_another_image_than_the_step_left_is_no_hit() -> None:
    reader = read("STEP 1/2: FROM scratch", "STEP 2/2: RUN evil", f"--> Using cache {A}", f"--> {B[:11]}")
    assert outcomes(reader)[1] == (1, 2, False, B[:11])


def test_a_platform_prefix_is_not_a_stage() -> None:
    reader = read("[linux/arm64] [2/2] STEP 1/1: FROM scratch", "[linux/arm64] [1/2] STEP 1/1: FROM scratch")
    assert [step.stage for step in reader.steps] == [2, 1]
