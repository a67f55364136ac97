"""Whose records a run reads and writes: by what the CI system says of it, and by what the user does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from layercache_ci.ci.scopes import Policy, scopes
from layercache_ci.settings import BuildSettings, Machine
from layercache_ci.store.model import Scopes

MAIN = "refs/heads/main"
REPOSITORY = {"full_name": "octo/repo", "default_branch": "main", "fork": False}
FORK = {"full_name": "mona/repo", "fork": True}


def pull_request(head: object, number: int = 7) -> dict[str, Any]:
    return {"repository": REPOSITORY, "pull_request": {"number": number, "head": {"repo": head}}}


def policy(environment: dict[str, str], **settings: Any) -> Policy:
    machine = Machine(environment, uid=0, cpus=2, terminal=False)
    return scopes(machine, BuildSettings(context=".", **settings))


@pytest.fixture
def event(tmp_path: Path) -> Path:
    return tmp_path / "event.json"


GITHUB = [
    ("push", {"GITHUB_REF": MAIN}, {"repository": REPOSITORY}, [MAIN], MAIN),
    ("push", {"GITHUB_REF": "refs/heads/x"}, {"repository": REPOSITORY}, ["refs/heads/x", MAIN], "refs/heads/x"),
    ("push", {"GITHUB_REF": "refs/tags/v1"}, {"repository": REPOSITORY}, ["refs/tags/v1", MAIN], "refs/tags/v1"),
    ("release", {"GITHUB_REF": "refs/tags/v1"}, {"repository": REPOSITORY}, ["refs/tags/v1", MAIN], "refs/tags/v1"),
    (
        "pull_request",
        {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_BASE_REF": "release"},
        pull_request(REPOSITORY),
        ["refs/pull/7/merge", "refs/heads/release", MAIN],
        "refs/pull/7/merge",
    ),
    (
        "pull_request",
        {"GITHUB_REF": MAIN, "GITHUB_BASE_REF": "main"},  # what is left of it once it is closed
        pull_request(REPOSITORY),
        ["refs/pull/7/merge", MAIN],
        "refs/pull/7/merge",
    ),
    (
        "pull_request",
        {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_BASE_REF": "main"},
        pull_request(FORK),
        ["refs/pull/7/merge", MAIN],
        None,
    ),
    (
        "pull_request",
        {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_BASE_REF": "main"},
        pull_request(None),  # the fork was removed
        ["refs/pull/7/merge", MAIN],
        None,
    ),
    (
        "pull_request_review",
        {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_BASE_REF": "main"},
        pull_request(FORK),
        ["refs/pull/7/merge", MAIN],
        None,
    ),
    (
        "pull_request",  # a repository that is a fork itself, and its own branch
        {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_BASE_REF": "main"},
        pull_request({**REPOSITORY, "fork": True}),
        ["refs/pull/7/merge", MAIN],
        "refs/pull/7/merge",
    ),
    ("pull_request_target", {"GITHUB_REF": MAIN, "GITHUB_BASE_REF": "main"}, pull_request(FORK), [MAIN], None),
    ("pull_request_target", {"GITHUB_REF": MAIN, "GITHUB_BASE_REF": "main"}, pull_request(REPOSITORY), [MAIN], None),
    ("issue_comment", {"GITHUB_REF": MAIN}, {"repository": REPOSITORY}, [MAIN], None),
    (
        "merge_group",
        {"GITHUB_REF": "refs/heads/gh-readonly-queue/next/pr-7"},
        {"repository": REPOSITORY, "merge_group": {"base_ref": "refs/heads/next"}},
        ["refs/heads/gh-readonly-queue/next/pr-7", "refs/heads/next", MAIN],
        "refs/heads/gh-readonly-queue/next/pr-7",
    ),
    (
        "workflow_run",
        {"GITHUB_REF": MAIN},
        {"repository": REPOSITORY, "workflow_run": {"head_repository": REPOSITORY}},
        [MAIN],
        MAIN,
    ),
    (
        "workflow_run",
        {"GITHUB_REF": MAIN},
        {"repository": REPOSITORY, "workflow_run": {"head_repository": FORK}},
        [MAIN],
        None,
    ),
    ("schedule", {"GITHUB_REF": MAIN}, {"schedule": "0 0 * * *"}, [MAIN], MAIN),
    (
        "workflow_dispatch",
        {"GITHUB_REF": "refs/heads/x"},
        {"repository": REPOSITORY},
        ["refs/heads/x", MAIN],
        "refs/heads/x",
    ),
]


@pytest.mark.parametrize(("name", "environment", "payload", "read", "write"), GITHUB)
def test_github(  # noqa: PLR0917 - a row of the table
    event: Path, name: str, environment: dict[str, str], payload: object, read: list[str], write: str | None
) -> None:
    event.write_text(json.dumps(payload))
    given = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(event), **environment}
    found = policy(given)
    assert found.scopes == Scopes(tuple(read), write)
    assert found.warnings == ()


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 5000])
@pytest.mark.parametrize(("name", "writes"), [("push", True), ("pull_request", False), ("workflow_run", False)])
def test_an_event_that_cannot_be_read_is_a_warning(event: Path, content: bytes | None, name: str, writes: bool) -> None:
    if content is not None:
        event.write_bytes(content)
    ref = "refs/pull/7/merge" if name == "pull_request" else "refs/heads/x"
    given = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": name,
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_REF": ref,
        "GITHUB_BASE_REF": "main" if name == "pull_request" else "",
    }
    found = policy(given)
    base = (MAIN,) if name == "pull_request" else ()
    assert found.scopes == Scopes((ref, *base), ref if writes else None)
    (warning,) = found.warnings
    assert "GITHUB_EVENT_PATH" in warning
    assert str(event) in warning


@pytest.mark.parametrize(
    "payload",
    [
        {"repository": None, "pull_request": []},
        {"repository": {"default_branch": 7}, "pull_request": {"head": 1}},
        {"pull_request": {"head": {"repo": {"full_name": None}}}},
    ],
)
def test_an_event_of_another_shape_is_nobodys_to_trust(event: Path, payload: object) -> None:
    event.write_text(json.dumps(payload))
    given = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_EVENT_PATH": str(event)}
    assert policy({**given, "GITHUB_REF": "refs/pull/7/merge"}).scopes == Scopes(("refs/pull/7/merge",), None)


def test_a_run_without_a_ref_saves_nothing_and_says_so(event: Path) -> None:
    event.write_text(json.dumps({"repository": REPOSITORY}))
    found = policy({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "release", "GITHUB_EVENT_PATH": str(event)})
    assert found.scopes == Scopes((MAIN,), None)
    (warning,) = found.warnings
    assert "--scope" in warning


GITLAB_REQUEST = {
    "GITLAB_CI": "true",
    "CI_COMMIT_REF_NAME": "x",
    "CI_DEFAULT_BRANCH": "main",
    "CI_MERGE_REQUEST_IID": "3",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "next",
    "CI_MERGE_REQUEST_PROJECT_ID": "1",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1",
}
OTHERS: list[tuple[dict[str, str], list[str], str | None]] = [
    ({}, ["default"], "default"),
    ({"CI": "true"}, ["default"], "default"),
    (
        {"GITLAB_CI": "true", "CI_COMMIT_REF_NAME": "x", "CI_DEFAULT_BRANCH": "main"},
        ["refs/heads/x", MAIN],
        "refs/heads/x",
    ),
    (
        {"GITLAB_CI": "true", "CI_COMMIT_REF_NAME": "v1", "CI_COMMIT_TAG": "v1", "CI_DEFAULT_BRANCH": "main"},
        ["refs/tags/v1", MAIN],
        "refs/tags/v1",
    ),
    (GITLAB_REQUEST, ["refs/merge-requests/3/head", "refs/heads/next", MAIN], "refs/merge-requests/3/head"),
    (
        {**GITLAB_REQUEST, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "2"},
        ["refs/merge-requests/3/head", "refs/heads/next", MAIN],
        None,
    ),
    (
        {"CI": "woodpecker", "CI_COMMIT_REF": MAIN, "CI_COMMIT_BRANCH": "main", "CI_REPO_DEFAULT_BRANCH": "main"},
        [MAIN],
        MAIN,
    ),
    (
        {
            "CI": "woodpecker",
            "CI_COMMIT_REF": "refs/pull/9/head",
            "CI_COMMIT_BRANCH": "next",
            "CI_COMMIT_TARGET_BRANCH": "next",
            "CI_REPO_DEFAULT_BRANCH": "main",
        },
        ["refs/pull/9/head", "refs/heads/next", MAIN],
        "refs/pull/9/head",
    ),
    (
        {
            "DRONE": "true",
            "DRONE_COMMIT_REF": "refs/pull/9/head",
            "DRONE_BRANCH": "main",
            "DRONE_TARGET_BRANCH": "main",
            "DRONE_REPO_BRANCH": "main",
        },
        ["refs/pull/9/head", MAIN],
        "refs/pull/9/head",
    ),
    ({"JENKINS_URL": "http://j", "GIT_BRANCH": "origin/x"}, ["refs/heads/x"], "refs/heads/x"),
    ({"JENKINS_URL": "http://j", "BRANCH_NAME": "v1", "TAG_NAME": "v1"}, ["refs/tags/v1"], "refs/tags/v1"),
    ({"JENKINS_URL": "http://j"}, ["default"], "default"),
    (
        {"JENKINS_URL": "http://j", "BRANCH_NAME": "PR-5", "CHANGE_ID": "5", "CHANGE_TARGET": "main"},
        ["refs/pull/5/merge", MAIN],
        "refs/pull/5/merge",
    ),
    (
        {"JENKINS_URL": "http://j", "CHANGE_ID": "5", "CHANGE_TARGET": "main", "CHANGE_FORK": "mona"},
        ["refs/pull/5/merge", MAIN],
        None,
    ),
]


@pytest.mark.parametrize(("environment", "read", "write"), OTHERS)
def test_other_systems(environment: dict[str, str], read: list[str], write: str | None) -> None:
    assert policy(environment).scopes == Scopes(tuple(read), write)


FORKED = {**GITLAB_REQUEST, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "2"}
OWN = "refs/merge-requests/3/head"


@pytest.mark.parametrize(
    ("environment", "settings", "read", "write"),
    [
        ({}, {"scope": "mine"}, ["mine"], "mine"),
        ({}, {"read_scopes": ("a", "b", "a")}, ["default", "a", "b"], "default"),
        (GITLAB_REQUEST, {"scope": "mine"}, ["mine", "refs/heads/next", MAIN], "mine"),
        (GITLAB_REQUEST, {"read_scopes": ("a",)}, [OWN, "a"], OWN),
        (GITLAB_REQUEST, {"mode": "read-only"}, [OWN, "refs/heads/next", MAIN], None),
        (GITLAB_REQUEST, {"mode": "off"}, [], None),
        (FORKED, {"scope": "mine"}, ["mine", "refs/heads/next", MAIN], None),
        (FORKED, {"mode": "read-write"}, [OWN, "refs/heads/next", MAIN], OWN),
        (FORKED, {"mode": "read-only"}, [OWN, "refs/heads/next", MAIN], None),
    ],
)
def test_what_the_user_says_comes_first(
    environment: dict[str, str], settings: dict[str, Any], read: list[str], write: str | None
) -> None:
    assert policy(environment, **settings).scopes == Scopes(tuple(read), write)
