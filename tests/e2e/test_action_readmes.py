"""The Action in place of those it is made to replace: the `with:` blocks of their READMEs, and what came of them.

docker/build-push-action v6 and redhat-actions/buildah-build v2. Only the names of registries are the lab's.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from textwrap import indent
from typing import Any, Final

import pytest

from tests.conftest import MakeEngine
from tests.e2e.images import read_image
from tests.e2e.test_action import repository, runner
from tests.lab.act import Ran, run_workflow
from tests.lab.engines import Engine
from tests.lab.git import commit_all, serve_git
from tests.lab.lab import Lab

WORKFLOW: Final = """\
name: ci
on: [push]
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
"""
CHECKOUT: Final = "      - uses: actions/checkout@v6\n"
ACTION: Final = "org/layercache-action@v1"

GIT_CONTEXT: Final = """\
push: true
tags: user/app:latest
"""
SUBDIRECTORY: Final = """\
context: "{{defaultContext}}:mysubdir"
push: true
tags: user/app:latest
"""
AUTHENTICATED: Final = """\
push: true
tags: user/app:latest
secrets: |
  GIT_AUTH_TOKEN=${{ secrets.MYTOKEN }}
"""
PATH_CONTEXT: Final = """\
context: .
push: true
tags: user/app:latest
"""
CONTAINERFILES: Final = """\
image: my-new-image
tags: v1 ${{ github.sha }}
containerfiles: |
  ./Containerfile
build-args: |
  some_arg=some_value
"""
FROM_SCRATCH: Final = """\
base-image: docker.io/fabric8/java-alpine-openjdk11-jre
image: my-new-image
tags: v1
content: |
  target/spring-petclinic-2.3.0.BUILD-SNAPSHOT.jar
entrypoint: java -jar spring-petclinic-2.3.0.BUILD-SNAPSHOT.jar
port: 8080
"""


def application(lab: Lab, folder: Path) -> str:
    """A repository with something to build for each; its commit."""
    (folder / "mysubdir").mkdir(parents=True)
    for name in ("Dockerfile", "mysubdir/Dockerfile", "Containerfile"):
        (folder / name).write_text(
            f"FROM {lab.busybox}\nLABEL built.from={name}\nARG some_arg\nRUN echo $some_arg > /some-arg\nCOPY file /\n"
        )
    (folder / "file").write_text("whole")
    (folder / "mysubdir/file").write_text("part")
    return commit_all(folder, origin="https://github.com/octo/app.git")


def run(lab: Lab, engine: Engine, block: str, *, checkout: bool, sites: Path) -> Ran:
    """Runs a workflow with that block, for the repository octo/app.git below `sites`."""
    workflow = sites / "ci.yml"
    step = f"      - id: build\n        uses: {ACTION}\n        with:\n{indent(block, ' ' * 10)}"
    workflow.write_text(WORKFLOW + CHECKOUT * checkout + step.replace("user/app", f"{engine.registry}/user/app"))
    with serve_git(sites) as url:
        return run_workflow(
            workflow, sites / "octo/app.git", runner(lab, engine), given={"GITHUB_SERVER_URL": url},
            secrets={"MYTOKEN": "not-for-the-log"}, actions={ACTION: repository(lab, engine.folder)},
        )  # fmt: skip


def pushed(lab: Lab) -> dict[str, Any]:
    """The config of the image that the registry has."""
    argv = ["/usr/bin/skopeo", "inspect", "--config", "--tls-verify=false", f"docker://{lab.registry}/user/app:latest"]
    config: dict[str, Any] = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
    return config


@pytest.mark.parametrize(
    ("block", "checkout", "built_from"),
    [
        pytest.param(GIT_CONTEXT, False, "Dockerfile", id="git context"),
        pytest.param(GIT_CONTEXT, True, "Dockerfile", id="git context of a checkout"),
        pytest.param(SUBDIRECTORY, False, "mysubdir/Dockerfile", id="subdirectory"),
        pytest.param(SUBDIRECTORY, True, "mysubdir/Dockerfile", id="subdirectory of a checkout"),
        pytest.param(AUTHENTICATED, False, "Dockerfile", id="git token"),
        pytest.param(PATH_CONTEXT, True, "Dockerfile", id="path context"),
    ],
)
def test_build_push_action(lab: Lab, make_engine: MakeEngine, block: str, checkout: bool, built_from: str) -> None:
    sites = lab.scratch("sites-")
    application(lab, sites / "octo/app.git")
    ran = run(lab, make_engine("remote"), block, checkout=checkout, sites=sites)
    assert ran.code == 0, ran.shown
    assert pushed(lab)["config"]["Labels"]["built.from"] == built_from
    outputs = ran.outputs("build", "build")
    assert outputs["digest"].startswith("sha256:"), ran.shown
    assert outputs["imageid"].startswith("sha256:")
    assert json.loads(outputs["metadata"])["containerimage.digest"] == outputs["digest"]
    assert "not-for-the-log" not in ran.shown
    # what a checkout holds can be cached, also where git would be asked for it
    assert (outputs["total-steps"] != "0") == checkout


def test_buildah_build(lab: Lab, make_engine: MakeEngine) -> None:
    sites = lab.scratch("sites-")
    commit = application(lab, sites / "octo/app.git")
    engine = make_engine("buildah-1.28")
    ran = run(lab, engine, CONTAINERFILES, checkout=True, sites=sites)
    assert ran.code == 0, ran.shown
    outputs = ran.outputs("build", "build")
    assert (outputs["image"], outputs["tags"]) == ("my-new-image", f"v1 {commit}")
    assert outputs["image-with-tag"] == "my-new-image:v1"
    for tag in ("v1", commit):
        image = read_image(engine, f"localhost/my-new-image:{tag}")
        assert image.config["Labels"]["built.from"] == "Containerfile"


def test_buildah_build_without_a_containerfile_is_refused_by_name(lab: Lab, make_engine: MakeEngine) -> None:
    sites = lab.scratch("sites-")
    application(lab, sites / "octo/app.git")
    ran = run(lab, make_engine("buildah-1.28"), FROM_SCRATCH, checkout=True, sites=sites)
    assert ran.result("build", "build") == "failure", ran.shown
    errors = [event["arg"] for event in ran.of("build", "build") if event.get("command") == "error"]
    assert len(errors) == 1, ran.shown
    assert errors[0].startswith("base-image:")
