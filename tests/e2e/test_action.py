"""The Action as a workflow runs it: act runs .github/workflows/e2e.yml on this machine, on each engine and store."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest

from tests.conftest import MakeEngine
from tests.contract import s3
from tests.fakes.github_cache import serve
from tests.lab.act import Ran, run_workflow
from tests.lab.engines import Engine
from tests.lab.git import commit_all, git
from tests.lab.lab import Lab
from tests.lab.paths import CHECKOUT
from tests.lab.s3 import ACCESS_KEY, BUCKET, SECRET_KEY

SCOPE: Final = "refs/heads/main"
ROW: Final = re.compile(r"^\| \d+ \| <code>.*</code> \| \S+ (hit|miss)\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run of the workflow keeps its cache: what the runner is given for it, and the repository's variables."""

    given: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    filled: Callable[[], bool] = lambda: True
    """Whether something was stored there."""


@contextlib.contextmanager
def act_cache(_name: str) -> Iterator[Place]:
    """act's own, which ends with its run: what it held is known by what was restored."""
    yield Place()


@contextlib.contextmanager
def github_v2(_name: str) -> Iterator[Place]:
    with serve() as server:
        given = server.environment(server.token((SCOPE,), SCOPE))
        yield Place(given, filled=lambda: bool(server.caches.complete()))


@contextlib.contextmanager
def minio(name: str) -> Iterator[Place]:
    prefix = f"action-{name}"

    def filled() -> bool:
        listed = s3.client("minio").list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/lc1/records/")
        return bool(listed.get("Contents"))

    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    yield Place(keys, {"E2E_STORE": f"s3://{BUCKET}/{prefix}", "E2E_S3_ENDPOINT": s3.server("minio").url}, filled)


ENGINES: Final = ("buildah-rootless", "buildah-1.28", "podman-rootless", "podman-4.3", "remote")
STORES: Final[Mapping[str, Callable[[str], contextlib.AbstractContextManager[Place]]]] = MappingProxyType(
    {"act": act_cache, "github-v2": github_v2, "minio": minio}
)
IN_EVERY_RUN: Final = {("buildah-rootless", "act"), ("podman-4.3", "github-v2"), ("remote", "minio")}
"""GitHub's runner is an ordinary user's."""
PAIRS = [
    pytest.param(engine, store, marks=() if (engine, store) in IN_EVERY_RUN else pytest.mark.all_rows)
    for engine in ENGINES
    for store in STORES
]


def repository(lab: Lab, owner: Path) -> Path:
    """What a checkout of this working tree holds, as a repository of its own on the branch main; it belongs to whom
    `owner` does."""
    folder = lab.scratch("repository-")
    listed = git(CHECKOUT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        source, target = CHECKOUT / name, folder / name
        if source.is_symlink() or source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    commit_all(folder, origin="https://github.com/octo/layercache-action.git")
    subprocess.run(["chown", "--recursive", f"--reference={owner}", folder], check=True)
    return folder


def runner(lab: Lab, engine: Engine) -> dict[str, str]:
    """The environment of a runner that has this engine, and Node where the machine has none."""
    return {**engine.environment, "PATH": f"{engine.environment['PATH']}{os.pathsep}{lab.paths.bin}"}


def run_jobs(
    workflow: str, lab: Lab, engine: Engine, store: str, name: str, *, pull_request: Mapping[str, Any] | None = None
) -> Ran:
    """Both jobs of a workflow of .github/workflows, which have to succeed and to leave something in the store."""
    checkout = repository(lab, engine.folder)
    with STORES[store](name) as place:
        ran = run_workflow(
            checkout / ".github/workflows" / workflow, checkout, runner(lab, engine),
            given={"RUNNER_ENVIRONMENT": "github-hosted", **place.given},
            variables={"E2E_BASE": lab.busybox, **place.variables}, matrix={"engine": engine.program},
            prefix=engine.prefix, pull_request=pull_request,
        )  # fmt: skip
        assert ran.code == 0, ran.shown
        assert place.filled(), ran.shown
    return ran


@pytest.mark.parametrize(("kind", "store"), PAIRS)
def test_the_second_job_restores_what_the_first_has_built(
    lab: Lab, make_engine: MakeEngine, tmp_path: Path, kind: str, store: str
) -> None:
    ran = run_jobs("e2e.yml", lab, make_engine(kind), store, f"{tmp_path.parent.name}-{tmp_path.name}")
    first, second = ran.outputs("cold", "build"), ran.outputs("warm", "build")
    assert (first["cache-hit"], first["hit-steps"]) == ("false", "0"), ran.shown
    assert second["cache-hit"] == "true", ran.shown
    assert second["hit-steps"] == second["total-steps"] == first["total-steps"]
    assert ("the image is in a storage of its own" in ran.shown) is (kind != "remote")
    assert int(second["bytes-restored"]) > 0
    steps = int(first["total-steps"])
    assert rows(ran.summary("cold", "build")) == {"miss": steps}, ran.shown
    assert rows(ran.summary("warm", "build")) == {"hit": steps}, ran.shown
    for job in ("cold", "warm"):
        assert ran.result(job, "build", "Post") == "success", ran.shown
    assert "saved" in ran.summary("cold", "build", "Post"), ran.shown


FORK: Final = {
    "number": 5,
    "repository": {"full_name": "octo/layercache-action", "default_branch": "main"},
    "pull_request": {
        "number": 5,
        "base": {"ref": "main"},
        "head": {"ref": "theirs", "repo": {"full_name": "stranger/layercache-action"}},
    },
}


@pytest.mark.parametrize("workflow", ["e2e.yml", "setup.yml"])
def test_a_forks_pull_request_passes_too(lab: Lab, make_engine: MakeEngine, tmp_path: Path, workflow: str) -> None:
    """Where nothing is written unless `mode` says so."""
    name = f"{tmp_path.parent.name}-{tmp_path.name}"
    ran = run_jobs(workflow, lab, make_engine("remote"), "act", name, pull_request=FORK)
    summary = ran.summary("warm", "build") or ran.summary("warm", "setup", "Post")
    assert set(rows(summary)) == {"hit"}, ran.shown


def rows(summary: str) -> Counter[str]:
    """By outcome the rows of the tables of steps."""
    return Counter(ROW.findall(summary))
