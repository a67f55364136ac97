from __future__ import annotations

import pytest

from layercache_ci.engines.fetched import demand_files
from layercache_ci.errors import PlanError
from layercache_ci.settings import BuildSettings

FETCHED = [
    (
        BuildSettings(context="https://me:pw@example.org/a.git"),
        r"the engine fetches the context 'https://example.org/a",
    ),
    (BuildSettings(context="-", file="https://example.org/D"), r"the engine fetches the context '-'; check it out"),
    (BuildSettings(context=".", file="https://example.org/D?signature=x"), r"^--file https://example\.org/D\?\.\.\.: "),
]


@pytest.mark.parametrize(("settings", "why"), FETCHED)
def test_what_the_engine_fetches_is_not_planned(settings: BuildSettings, why: str) -> None:
    with pytest.raises(PlanError, match=why):
        demand_files(settings)


def test_nor_is_a_dockerfile_that_comes_by_a_pipe() -> None:
    with pytest.raises(PlanError, match=r"^--file -: write the Dockerfile into a file"):
        demand_files(BuildSettings(context=".", file="-"))
    demand_files(BuildSettings(context="."))
