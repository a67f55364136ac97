"""What is predicted of the steps of a plan, from how much of each stage's chain is held."""

from __future__ import annotations

from pathlib import Path

import pytest

from layercache_ci.dockerfile.buildkit import Options, buildkit
from layercache_ci.dockerfile.plan import Plan
from layercache_ci.engines.buildkit.predict import predict
from tests.unit.dockerfile.planning import plan_of

APP = """FROM image AS base
RUN install
FROM base AS builder
COPY requirements /
ENV A=1
RUN build
FROM base AS final
COPY --from=builder /out /out
LABEL a=b
COPY --link source /
RUN compile
FROM base AS other
RUN nobody needs this
"""
LETTERS = {"hit": "h", "miss": "m", "unknown": "u", "skipped": "-", None: "."}


def plan(
    folder: Path, dockerfile: str = APP, *, target: str | None = "final", no_cache: frozenset[str] | None = None
) -> Plan:
    folder.mkdir(exist_ok=True)
    for name in ("requirements", "source"):
        (folder / name).write_text(name)
    (folder / "Dockerfile").write_text(dockerfile)
    return plan_of(folder, target=target, dialect=buildkit(Options(no_cache=no_cache)))


def predicted(made: Plan, depths: dict[int, int], offered: dict[int, int] | None = None) -> str:
    found = predict(made, depths, offered or {})
    return " ".join("".join(LETTERS[state] for state in states) for _, states in sorted(found.items()))


@pytest.mark.parametrize(
    ("depths", "offered", "expected"),
    [
        pytest.param({}, {}, "m m.m m.mm", id="nothing held"),
        pytest.param({0: 2, 1: 4, 2: 5}, {}, "h h.h h.hh", id="all held"),
        pytest.param({2: 5}, {}, "h h.h h.hh", id="a held target stands for what it was made from"),
        pytest.param({2: 4}, {}, "h h.h h.hm", id="the deepest held step stands for those below"),
        pytest.param({0: 2}, {}, "h m.m m.um", id="a stage that must run, and nothing to compare with"),
        pytest.param({0: 2}, {2: 5}, "h m.m u.uu", id="a stage that must run, and files that may be the same"),
        pytest.param({1: 3, 2: 2}, {2: 3}, "h h.m u.mm", id="held as far as the copy"),
        pytest.param({2: 2}, {2: 5}, "h m.m u.uu", id="the beginning that stages share"),
    ],
)
def test_the_walk_from_the_target(
    tmp_path: Path, depths: dict[int, int], offered: dict[int, int], expected: str
) -> None:
    assert predicted(plan(tmp_path), depths, offered) == expected


def test_a_step_that_ignores_the_cache_runs_and_so_does_what_is_behind_it(tmp_path: Path) -> None:
    made = plan(tmp_path, no_cache=frozenset({"builder"}))

    assert predicted(made, {0: 2, 1: 4, 2: 5}) == "h m.m u.uu"


def test_the_content_behind_a_url_is_not_foreseen(tmp_path: Path) -> None:
    dockerfile = "FROM image AS base\nADD https://example.org/a /\nRUN a\nFROM image\nCOPY --from=base /a /\nRUN b\n"
    made = plan(tmp_path, dockerfile, target=None)

    assert predicted(made, {0: 3, 1: 3}) == "uu uu"
    assert predicted(made, {0: 3}) == "uu mm"


def test_a_step_that_two_stages_share_is_held_for_both(tmp_path: Path) -> None:
    stages = "FROM image AS one\nRUN a\nFROM image AS two\nRUN a\nRUN b\n"
    made = plan(tmp_path, f"{stages}FROM image\nCOPY --from=one / /\nCOPY --from=two / /\n", target=None)

    assert predicted(made, {1: 2}) == "h hm mm"
