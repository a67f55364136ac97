"""`setup: true` as a workflow has it: act runs .github/workflows/setup.yml, whose own steps build."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.conftest import MakeEngine
from tests.e2e.test_action import STORES, rows, run_jobs
from tests.lab.lab import Lab

ENGINES: Final = ("buildah-rootless", "podman-4.3", "remote", "docker-classic")
IN_EVERY_RUN: Final = {("buildah-rootless", "github-v2"), ("docker-classic", "act")}
PAIRS = [
    pytest.param(engine, store, marks=() if (engine, store) in IN_EVERY_RUN else pytest.mark.all_rows)
    for engine in ENGINES
    for store in STORES
]


@pytest.mark.parametrize(("kind", "store"), PAIRS)
def test_what_the_first_jobs_steps_build_the_seconds_restore(
    lab: Lab, make_engine: MakeEngine, tmp_path: Path, kind: str, store: str
) -> None:
    ran = run_jobs("setup.yml", lab, make_engine(kind), store, f"{tmp_path.parent.name}-{tmp_path.name}")
    for job in ("cold", "warm"):
        assert ran.outputs(job, "setup") == {}
        assert ran.summary(job, "setup") == ""
        assert ran.result(job, "setup", "Post") == "success", ran.shown
    cold, warm = (ran.summary(job, "setup", "Post") for job in ("cold", "warm"))
    steps = rows(cold)["miss"]
    assert steps > 0
    assert rows(cold) == {"miss": steps}, ran.shown
    assert rows(warm) == {"hit": steps}, ran.shown
    assert " saved," in cold.splitlines()[0]
