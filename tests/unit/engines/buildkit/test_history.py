"""Which build of the builder's history was ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from layercache_ci.engines.buildkit.history import Subject, latest, references
from layercache_ci.settings import BuildSettings

CONTEXT = "/here/context"
DOCKERFILE = f"{CONTEXT}/Dockerfile"
SUBJECT = Subject.of(BuildSettings(context=CONTEXT), {})


def noted(notes: Path, name: str, context: str = CONTEXT, dockerfile: str = DOCKERFILE) -> None:
    """As buildx 0.29 does it."""
    path = notes / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"Target": "default", "LocalPath": context, "DockerfilePath": dockerfile}))


def test_a_machine_on_which_nothing_was_built_has_no_references(tmp_path: Path) -> None:
    assert references(tmp_path / "refs") == frozenset()
    assert latest((), tmp_path / "refs", "b", SUBJECT) is None


def test_the_build_that_began_since_is_ours(tmp_path: Path) -> None:
    noted(tmp_path, "b/node0/old")
    before = references(tmp_path)
    assert before == {"b/node0/old"}
    noted(tmp_path, "b/node1/new")

    assert latest(before, tmp_path, "b", SUBJECT) == "b/node1/new"


@pytest.mark.parametrize("name", ["other/node0/1", "bb/node0/1"])
def test_a_build_on_another_builder_is_not(tmp_path: Path, name: str) -> None:
    noted(tmp_path, name)

    assert latest((), tmp_path, "b", SUBJECT) is None


def test_a_build_of_another_context_at_the_same_time_is_not(tmp_path: Path) -> None:
    noted(tmp_path, "b/node0/theirs", "/there")
    assert latest((), tmp_path, "b", SUBJECT) is None
    noted(tmp_path, "b/node0/ours")
    assert latest((), tmp_path, "b", SUBJECT) == "b/node0/ours"


def test_of_two_builds_of_one_context_nobody_knows_which_is_ours(tmp_path: Path) -> None:
    noted(tmp_path, "b/node0/1")
    noted(tmp_path, "b/node0/2")

    assert latest((), tmp_path, "b", SUBJECT) is None


def test_but_where_their_dockerfiles_are_two(tmp_path: Path) -> None:
    noted(tmp_path, "b/node0/theirs", dockerfile=f"{CONTEXT}/other.Dockerfile")
    noted(tmp_path, "b/node0/ours")

    assert latest((), tmp_path, "b", SUBJECT) == "b/node0/ours"


@pytest.mark.parametrize(
    ("called", "context", "local_path"),
    [
        ("real/sub", "..", "real"),
        ("real/sub", "../sub/./x/", "real/sub/x"),
        ("link", ".", "link"),
        ("link", "x", "link/x"),
        ("link", "..", ""),
        ("real/sub", "x/up/..", "real/sub/x"),
        ("", "x", "real/sub/x"),
        ("real", "x", "real/sub/x"),
    ],
    ids=["up", "up and down", "here by a link", "in a link", "up from a link", "a link up", "no PWD", "a wrong PWD"],
)
def test_a_folder_is_known_by_any_of_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called: str, context: str, local_path: str
) -> None:
    """buildx notes it with what $PWD calls the working folder, and takes each `..` off by its name: up from a link is
    where the link is, not where it leads."""
    (tmp_path / "real/sub/x").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/sub")
    (tmp_path / "real/sub/x/up").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path / "real/sub")
    noted(tmp_path / "notes", "b/node0/ours", str(tmp_path / local_path))
    subject = Subject.of(BuildSettings(context=context), {"PWD": str(tmp_path / called) if called else ""})

    assert latest((), tmp_path / "notes", "b", subject) == "b/node0/ours"


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"{}"])
def test_a_note_that_can_not_be_read_is_no_builds(tmp_path: Path, content: bytes) -> None:
    noted(tmp_path, "b/node0/1")
    (tmp_path / "b/node0/1").write_bytes(content)

    assert latest((), tmp_path, "b", SUBJECT) is None
