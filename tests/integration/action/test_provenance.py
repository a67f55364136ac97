"""What an image that is pushed attests of how it was built, and that its steps are found again."""

from __future__ import annotations

import json
import secrets

import pytest

from tests.conftest import MakeEngine
from tests.integration.action.test_main import Site, site

__all__ = ["site"]


@pytest.mark.parametrize("site", ["remote"], indirect=True)
def test_in_a_public_repository_all_is_attested_and_every_step_hits(site: Site, make_engine: MakeEngine) -> None:
    (site.workspace / "Dockerfile").write_text(f"FROM {site.lab.busybox}\nARG WHO\nRUN echo $WHO > /who\n")
    name = f"{site.lab.registry}/{secrets.token_hex(8)}"  # not the folder's: its name may be none of an image
    surroundings = {
        "GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "7", "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "octo/app", "GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_NAME": "push",
    }  # fmt: skip
    hits = []
    for _ in range(2):
        engine = make_engine(site.kind)
        step = site.run(engine, surroundings, context=".", tags=name, push="true", wait="true", build_args="WHO=me")
        assert step.code == 0
        hits.append(step.outputs["cache-hit"])
        shown = engine.run("buildx", "imagetools", "inspect", name, "--format", "{{json .Provenance.SLSA}}").stdout
        assert '"WHO"' in shown or "build-arg:WHO" in shown
        told = json.dumps(json.loads(shown))
        assert "https://github.com/octo/app/actions/runs/7/attempts/1" in told
        assert "buildConfig" in told or "llbDefinition" in told

    assert hits == ["false", "true"]
