"""The post step after a job that pushes in a step of its own, as users of redhat-actions/push-to-registry do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import MakeEngine
from tests.integration.action.test_main import SECONDS, Site, site
from tests.integration.action.test_post_engines import POST
from tests.lab.engine import Engine
from tests.lab.registry import logged

__all__ = ["site"]
DOCKERFILE = "FROM {base}\nRUN echo made >/made\n"
BLOBS = 3


def post(site: Site, engine: Engine, state: Mapping[str, str]) -> str:
    """The log of the step, which has the inputs of the main one."""
    environment = {
        **engine.environment,
        **{f"STATE_{name}": value for name, value in state.items()},
        "INPUT_STORE": f"local:{site.folder / 'store'}",
        "GITHUB_STEP_SUMMARY": str(site.folder / "STEP_SUMMARY"),
    }
    done = subprocess.run(
        [*engine.layercache[:-1], sys.executable, "-c", POST], env=environment, cwd=site.workspace,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("site", ["podman-sid"], indirect=True)
def test_a_later_steps_push_is_spared_what_an_earlier_jobs_found_out(
    site: Site, make_engine: MakeEngine, tmp_path: Path
) -> None:
    (site.workspace / "Dockerfile").write_text(DOCKERFILE.format(base=site.lab.busybox))
    sent, logs = [], []
    with logged(tmp_path / "registry") as registry:
        name = f"{registry.address}/app:1"
        for _ in range(2):
            engine, before = make_engine(site.kind), registry.uploads
            step = site.run(engine, tags=name)
            assert step.code == 0
            later = replace(engine, environment={**engine.environment, **step.exported})
            later.run("push", "--tls-verify=false", name)
            sent.append(registry.uploads - before)
            logs.append(post(site, engine, step.state))
    assert sent == [BLOBS, 0]
    assert not any("::warning" in log for log in logs)


@pytest.mark.parametrize("site", ["podman-sid"], indirect=True)
def test_so_is_that_of_a_list_by_the_step_itself(site: Site, make_engine: MakeEngine, tmp_path: Path) -> None:
    (site.workspace / "Containerfile").write_text(DOCKERFILE.format(base=site.lab.busybox))
    sent = []
    with logged(tmp_path / "registry") as registry:
        for _ in range(2):
            engine, before = make_engine(site.kind), registry.uploads
            inputs = {"image": f"{registry.address}/app", "tags": "1", "archs": "amd64, arm64", "push": "true"}
            step = site.run(engine, {"INPUT_TLS_VERIFY": "false"}, **inputs, containerfiles="Containerfile")
            assert step.code == 0
            sent.append(registry.uploads - before)
            assert "::warning" not in post(site, engine, step.state)
    assert sent[1] == 0 < sent[0]
