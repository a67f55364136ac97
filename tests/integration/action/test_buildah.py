"""A workflow of redhat-actions/buildah-build: its inputs, what it leaves, and its outputs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.conftest import MakeEngine
from tests.integration.action.test_main import HOSTED, Site, site
from tests.lab.engine import Engine

__all__ = ["site"]
STAGES = """\
FROM {base} AS base
RUN echo base >/base
FROM base AS prod
RUN echo prod >/prod
FROM base AS test
RUN echo test >/test
"""


def digest(engine: Engine, name: str) -> str:
    """Which Buildah tells once for each name of the image."""
    return engine.run("images", "--format", "{{.Digest}}", name).stdout.split()[0]


def ids(engine: Engine, *names: str) -> set[str]:
    return {found for name in names for found in engine.run("images", "--quiet", "--no-trunc", name).stdout.split()}


@pytest.mark.parametrize("site", ["buildah-1.28", "podman-sid"], indirect=True)
def test_what_extra_args_say_of_the_image_is_cached_as_if_inputs_said_it(site: Site, make_engine: MakeEngine) -> None:
    """It is the only way there to name a stage."""
    (site.workspace / "Containerfile").write_text(STAGES.format(base=site.lab.busybox))
    # with _, which comes through the lab's shells
    extra = {"INPUT_EXTRA_ARGS": "--target prod\n-t app:extra --label=who=me --ulimit nofile=100"}
    for hit in ("false", "true"):
        engine = make_engine(site.kind)
        step = site.run(engine, extra, image="app", tags="v1 v2", containerfiles="./Containerfile", wait="true")
        assert (step.code, step.outputs["cache-hit"]) == (0, hit)
        assert "echo prod" in step.log
        assert "echo test" not in step.log
        # the stage's own step, and that of what it is made from
        assert int(step.outputs["total-steps"]) >= len(("base", "prod"))
        assert len(ids(engine, *(f"localhost/app:{tag}" for tag in ("v1", "v2", "extra")))) == 1
        names = [step.outputs[name] for name in ("image", "tags", "image-with-tag")]
        assert names == ["app", "v1 v2", "app:v1"]
        assert step.outputs["digest"] == digest(engine, "localhost/app:v1")


@pytest.mark.parametrize("site", ["buildah-1.28", "podman-sid"], indirect=True)
@pytest.mark.parametrize("job", ["cold", "warm"])
def test_what_is_told_of_a_list_is_the_lists(site: Site, make_engine: MakeEngine, job: str) -> None:
    """Not one architecture's, as a signature or an attestation of that would be of no use to the others."""
    engine = make_engine(site.kind)
    (site.workspace / "Containerfile").write_text("FROM scratch\nCOPY app.txt /\n")
    inputs = {"image": f"{engine.registry}/app", "containerfiles": "Containerfile", "archs": "amd64, arm64"}
    if job == "warm":
        site.run(engine, **inputs, tags="v0", wait="true")
        engine = make_engine(site.kind)
    step = site.run(engine, HOSTED, **inputs, tags="v1 v2", wait="true")
    assert (step.code, step.outputs["image-with-tag"]) == (0, f"{engine.registry}/app:v1")
    assert (step.outputs["hit-steps"], step.outputs["total-steps"]) == ("2" if job == "warm" else "0", "2")
    engine = replace(engine, environment={**engine.environment, **step.exported})
    assert step.outputs["digest"] == digest(engine, f"{engine.registry}/app:v1")
    assert step.outputs["imageid"] == step.outputs["digest"]
    names = ",".join(f"{engine.registry}/app:{tag}" for tag in ("v1", "v2"))
    metadata = json.loads(step.outputs["metadata"])
    assert metadata == {"containerimage.digest": step.outputs["digest"], "image.name": names}

    pushed = site.run(engine, {"INPUT_TLS_VERIFY": "false"}, **inputs, tags="v3", wait="true", push="true").outputs
    there = f"docker://{engine.registry}/app@{pushed['digest']}"
    raw = engine.run("inspect", "--raw", "--tls-verify=false", there, program="skopeo").stdout
    assert len(json.loads(raw)["manifests"]) == 2


@pytest.mark.parametrize("site", ["buildah-1.28"], indirect=True)
def test_what_is_put_together_of_several_containerfiles_is_known_again(site: Site, make_engine: MakeEngine) -> None:
    """Although it lies in a folder of the step's own: else nothing could be said of what changed."""
    (site.workspace / "a").write_text(f"FROM {site.lab.busybox}\nCOPY app.txt /\n")
    for text in ("one", "two"):
        (site.workspace / "b").write_text(f"RUN echo {text} >/b\n")
        step = site.run(make_engine(site.kind), image="app", containerfiles="a\nb", wait="true")
    assert (step.code, step.outputs["hit-steps"], step.outputs["total-steps"]) == (0, "1", "2")
    assert "the instruction changed" in step.summary
