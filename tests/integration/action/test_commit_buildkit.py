"""The commit as BuildKit's own git source has it, beside ours; and what is attested of it."""

from __future__ import annotations

import json
import secrets
import tarfile
from pathlib import Path

import pytest

from layercache_ci.action.commit import export_commit
from tests.conftest import MakeEngine
from tests.integration.action.test_commit import ENVIRONMENT, ORIGIN, commit, workspace
from tests.integration.action.test_main import Site, site
from tests.lab.git import commit_all, serve_git

__all__ = ["site", "workspace"]


def members(archive: Path) -> dict[str, tuple[object, ...]]:
    """All that a tar has of each of its files but the time."""
    with tarfile.open(archive) as tar:
        return {
            found.name: (
                found.type, found.mode, found.uid, found.gid, found.linkname,
                file.read() if (file := tar.extractfile(found) if found.isreg() else None) else b"",
            )
            for found in tar
        }  # fmt: skip


def test_buildkit_makes_the_same_of_it(workspace: Path, make_engine: MakeEngine, tmp_path: Path) -> None:
    (workspace / "büro und mehr").write_text("x")
    (workspace / "deep/er").mkdir(parents=True)
    (workspace / "deep/er/file").write_text("$Id$\n")
    (workspace / "deep/.gitattributes").write_text("er/file ident\n")
    found, engine = commit(workspace), make_engine("remote")
    place = tmp_path / "context/app"
    export_commit(found, workspace, place, ORIGIN, ENVIRONMENT)
    with serve_git(tmp_path) as url:
        for name, context in (("ours", str(place)), ("git", f"{url}/workspace/.git#{found}")):
            engine.run("buildx", "build", f"--output=type=tar,dest={tmp_path}/{name}.tar", context)
    ours, theirs = members(tmp_path / "ours.tar"), members(tmp_path / "git.tar")
    assert {"büro und mehr", "deep/er/file", "large.bin", "dos.txt", "run", "link"} < ours.keys()
    assert "$Id: " in str(ours["deep/er/file"])
    assert ours == theirs


@pytest.mark.parametrize("site", ["remote"], indirect=True)
def test_the_provenance_says_which_commit_it_was(site: Site, make_engine: MakeEngine) -> None:
    (site.workspace / "Dockerfile").write_text(f"FROM {site.lab.busybox}\nCOPY app.txt /\n")
    found = commit_all(site.workspace, origin="https://elsewhere.example/fork.git")
    name = f"{site.lab.registry}/{secrets.token_hex(8)}"
    job = {"GITHUB_REPOSITORY": "octo/app", "GITHUB_REF": "refs/heads/main", "GITHUB_SHA": found}
    engine = make_engine(site.kind)
    assert site.run(engine, job, tags=name, push="true", wait="true", provenance="mode=max").code == 0
    shown = engine.run("buildx", "imagetools", "inspect", name, "--format", "{{json .Provenance.SLSA}}").stdout
    told = json.dumps(json.loads(shown))
    assert found in told
    assert ORIGIN in told


@pytest.mark.parametrize("site", ["remote"], indirect=True)
def test_the_jobs_token_goes_to_the_runs_own_host_only(site: Site, make_engine: MakeEngine, tmp_path: Path) -> None:
    (tmp_path / "other.git/x").mkdir(parents=True)
    (tmp_path / "other.git/x/file").write_text("theirs")
    commit_all(tmp_path / "other.git", origin=ORIGIN)
    heard: list[str] = []
    with serve_git(tmp_path, heard=heard) as elsewhere, serve_git(tmp_path, demands="tok") as ours:
        (tmp_path / "octo/app.git").mkdir(parents=True)
        (tmp_path / "octo/app.git/Dockerfile").write_text(
            f"FROM {site.lab.busybox}\nADD {ours}/other.git /a\nADD {elsewhere}/other.git /b\n"
            "RUN cat /a/x/file /b/x/file\n"
        )
        found = commit_all(tmp_path / "octo/app.git", origin=ORIGIN)
        job = {
            "GITHUB_REPOSITORY": "octo/app", "GITHUB_REF": "refs/heads/main", "GITHUB_SHA": found,
            "GITHUB_SERVER_URL": ours,
        }  # fmt: skip
        done = site.run(make_engine(site.kind), job, github_token="tok", context="{{defaultContext}}")
    assert done.code == 0, done.log
    assert set(heard) == {""}
