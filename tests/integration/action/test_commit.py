"""The commit that is built where no context is named, beside what git itself makes of it in another place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from layercache_ci.action.commit import export_commit
from layercache_ci.action.context import git_context
from layercache_ci.action.inputs import read_inputs, variable
from layercache_ci.action.request import Request, make_request
from layercache_ci.errors import CacheError, InputError
from layercache_ci.settings import Machine
from tests.lab.git import IDENTITY, commit_all, git
from tests.snapshot import snapshot

ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nowhere"}
ORIGIN = "https://github.com/octo/app.git"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A checkout of a commit, and what a job, its user and other jobs have left in it."""
    folder = tmp_path / "workspace"
    (folder / "sub").mkdir(parents=True)
    files = {
        "Dockerfile": "FROM scratch\nCOPY . /\n", "sub/Dockerfile": "FROM scratch\n", "large.bin": POINTER,
        "dos.txt": "one\ntwo\n", "left-out.txt": "not in an archive", ".gitattributes":
        "*.bin filter=lfs\ndos.txt text eol=crlf\nleft-out.txt export-ignore\n",
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("sub")
    (folder / "out").symlink_to("/")
    return folder


def commit(workspace: Path) -> str:
    """What is in the workspace, and then more that no commit has."""
    found = commit_all(workspace, origin=ORIGIN)
    git(workspace, "config", "filter.lfs.smudge", "echo smudged")
    git(workspace, "config", "core.autocrlf", "true")
    git(workspace, "config", "http.extraheader", "AUTHORIZATION: hush")
    (workspace / ".git/info").mkdir(exist_ok=True)
    (workspace / ".git/info/attributes").write_text("* text eol=crlf\n")
    (workspace / ".gitattributes").write_text("* -text\n")
    (workspace / "made.txt").write_text("by a step before")
    (workspace / "staged.txt").write_text("too")
    git(workspace, "add", "staged.txt")
    (workspace / "sub/Dockerfile").unlink()
    return found


def test_it_is_the_commit_and_nothing_else(workspace: Path, tmp_path: Path) -> None:
    found = commit(workspace)
    before, place = snapshot(workspace), tmp_path / "temp/context/app"
    umask = os.umask(0o077)
    try:
        export_commit(found, workspace, place, ORIGIN, ENVIRONMENT)
    finally:
        os.umask(umask)
    assert snapshot(workspace) == before

    assert sorted(found.name for found in place.iterdir()) == [
        ".gitattributes", "Dockerfile", "dos.txt", "large.bin", "left-out.txt", "link", "out", "run", "sub",
    ]  # fmt: skip
    assert (place / "dos.txt").read_bytes() == b"one\r\ntwo\r\n"
    assert (place / "large.bin").read_text() == POINTER
    assert (place / "Dockerfile").read_bytes() == b"FROM scratch\nCOPY . /\n"
    assert [found.name for found in (place / "sub").iterdir()] == ["Dockerfile"]
    modes = {name: (place / name).stat().st_mode & 0o777 for name in (".", "sub", "run", "Dockerfile")}
    assert modes == {".": 0o755, "sub": 0o755, "run": 0o755, "Dockerfile": 0o644}
    assert [str((place / name).readlink()) for name in ("link", "out")] == ["sub", "/"]


def test_buildx_finds_which_commit_it_is(workspace: Path, tmp_path: Path) -> None:
    found, place = commit(workspace), tmp_path / "context/app"
    export_commit(found, workspace, place, ORIGIN, ENVIRONMENT)
    assert git(place, "rev-parse", "HEAD") == found
    assert git(place, "remote", "get-url", "origin") == ORIGIN
    assert Path(git(place, "rev-parse", "--show-toplevel")) == place
    assert git(place, "status", "--porcelain") == ""
    assert "hush" not in (place.parent / ".git/config").read_text()


def test_a_worktree_a_hash_of_sha256_and_a_strangers_repository_do_too(workspace: Path, tmp_path: Path) -> None:
    git(workspace, "init", "--quiet", "--object-format=sha256", "--initial-branch=main")
    found = commit(workspace)
    assert len(found) == 64
    git(workspace, "worktree", "add", "--quiet", "--detach", str(tmp_path / "other"))
    for folder in (workspace, tmp_path / "other"):
        subprocess.run(["chown", "--recursive", "4321", folder], check=True)
    for number, folder in enumerate((workspace, tmp_path / "other")):
        place = tmp_path / f"context-{number}/app"
        export_commit(found, folder, place, ORIGIN, ENVIRONMENT)
        assert (place / "Dockerfile").is_file()


def _submodule(workspace: Path) -> str:
    inner = commit_all(workspace, origin=ORIGIN)
    git(workspace, "update-index", "--add", "--cacheinfo", f"160000,{inner},module")
    git(workspace, *IDENTITY, "commit", "--quiet", "--message=with a module")
    return git(workspace, "rev-parse", "HEAD")


def _partial(workspace: Path) -> str:
    found = commit_all(workspace, origin=ORIGIN)
    blob = git(workspace, "rev-parse", "HEAD:sub/Dockerfile")
    (workspace / ".git/objects" / blob[:2] / blob[2:]).unlink()
    return found


def _other(workspace: Path) -> str:
    commit_all(workspace, origin=ORIGIN)
    return "0" * 40


def _none(workspace: Path) -> str:
    found = commit_all(workspace, origin=ORIGIN)
    shutil.rmtree(workspace / ".git")
    return found


def _no_hash(workspace: Path) -> str:
    commit_all(workspace, origin=ORIGIN)
    return "HEAD"


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (_submodule, "the commit has submodules"),
        (_partial, "not all of the commit is here: "),
        (_other, "the repository in the workspace has no commit 0000"),
        (_none, "the workspace holds no git repository"),
        (_no_hash, "'HEAD' is no commit"),
    ],
)
def test_what_can_not_be_had_here_leaves_nothing(
    workspace: Path, tmp_path: Path, prepare: Callable[[Path], str], reason: str
) -> None:
    found = prepare(workspace)
    with pytest.raises(CacheError, match=f"^{reason}"):
        export_commit(found, workspace, tmp_path / "context/app", ORIGIN, ENVIRONMENT)
    assert not (tmp_path / "context").exists()


def test_nor_does_a_machine_without_git(workspace: Path, tmp_path: Path) -> None:
    found = commit(workspace)
    with pytest.raises(CacheError, match=r"^there is no git$"):
        export_commit(found, workspace, tmp_path / "context/app", ORIGIN, {"PATH": str(tmp_path)})
    assert not (tmp_path / "context").exists()


def request(workspace: Path, environment: dict[str, str], /, **values: str) -> Request:
    folder = workspace.parent / "temp"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    inputs = read_inputs({variable(name.replace("_", "-")): value for name, value in values.items()})
    machine = Machine({**ENVIRONMENT, **environment}, 0, 1, terminal=False)
    return make_request(inputs, machine, folder, engine="buildkit", workspace=workspace)


def run_of(found: str) -> dict[str, str]:
    return {"GITHUB_REPOSITORY": "octo/app", "GITHUB_REF": "refs/heads/main", "GITHUB_SHA": found}


def test_the_step_builds_it_by_any_name_of_it(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    run, place = run_of(commit(workspace)), workspace.parent / "temp/context/app"
    plain = request(workspace, run, github_token="tok")
    assert (plain.settings.context, plain.settings.file) == (str(place), None)
    assert (plain.notes, plain.foreseen) == ((), ())
    # as from build-push-action the Dockerfile has it, for what it adds from other repositories
    assert [word.partition(",")[0] for word in plain.settings.secrets] == ["id=GIT_AUTH_TOKEN.github.com"]
    named = request(
        workspace, run, context="{{defaultContext}}:/sub", file="Dockerfile", build_contexts="all={{ defaultContext }}"
    ).settings
    assert (named.context, named.file) == (f"{place}/sub", f"{place}/sub/Dockerfile")
    assert named.build_contexts == {"all": str(place)}
    mine = request(workspace, run, context=".", file="Dockerfile", github_token="tok").settings
    assert (mine.context, mine.file, mine.secrets) == (".", "Dockerfile", ())
    assert not place.exists()


def test_a_folder_or_dockerfile_that_the_commit_has_not(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    run = run_of(commit(workspace))
    (workspace / "Dockerfile.made").write_text("FROM scratch\n")
    for folder in ("none", "../../..", "link", "out/etc", "Dockerfile"):
        with pytest.raises(InputError, match=f"^context: '{folder}' is no folder of the commit {run['GITHUB_SHA']}"):
            request(workspace, run, context="{{defaultContext}}:" + folder)
    with pytest.raises(InputError, match=r"^file: 'Dockerfile.made' is no file of the commit \w+.*context: \."):
        request(workspace, run, file="Dockerfile.made")


def test_who_wants_its_git_folder_has_it_fetched(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    run = run_of(commit(workspace))
    kept = request(workspace, run, build_args="BUILDKIT_CONTEXT_KEEP_GIT_DIR=1")
    assert kept.settings.context == f"{ORIGIN}#{run['GITHUB_SHA']}"
    assert ["BUILDKIT_CONTEXT_KEEP_GIT_DIR" in note for note in kept.notes] == [True]
    not_kept = request(workspace, run, build_args="BUILDKIT_CONTEXT_KEEP_GIT_DIR=0")
    assert not not_kept.settings.remote_context


def test_of_a_pull_request_the_commit_of_the_run_or_of_its_head(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    head = commit_all(workspace, origin=ORIGIN)
    git(workspace, *IDENTITY, "commit", "--quiet", "--allow-empty", "--message=merged")
    run = {**run_of(git(workspace, "rev-parse", "HEAD")), "GITHUB_REF": "refs/pull/5/merge"}
    event = workspace.parent / "event.json"
    of_head = {**run, "DOCKER_DEFAULT_GIT_CONTEXT_PR_HEAD_REF": "true", "GITHUB_EVENT_PATH": str(event)}
    assert git_context(run) == f"{ORIGIN}#{run['GITHUB_SHA']}"
    assert git_context(of_head) == f"{ORIGIN}#refs/pull/5/head"
    assert "does not say which commit" in request(workspace, of_head).notes[0]
    event.write_text(json.dumps({"pull_request": {"head": {"sha": head}}}))
    assert git_context(of_head) == f"{ORIGIN}#{head}"
    place = request(workspace, of_head).settings.context
    assert git(Path(place), "rev-parse", "HEAD") == head
