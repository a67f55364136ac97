"""Which build of the builder's history was ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from layercache_ci.engines.buildkit.history import latest, references

CONTEXT = Path("/here/context")


def noted(notes: Path, name: str, context: str = str(CONTEXT)) -> None:
    """As buildx 0.29 does it."""
    path = notes / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"Target": "default", "LocalPath": context, "DockerfilePath": ""}))


def test_a_machine_on_which_nothing_was_built_has_no_references(tmp_path: Path) -> None:
    assert references(tmp_path / "refs") == frozenset()
    assert latest((), tmp_path / "refs", "b", CONTEXT) is None


def test_the_build_that_began_since_is_ours(tmp_path: Path) -> None:
    noted(tmp_path, "b/node0/old")
    before = references(tmp_path)
    assert before == {"b/node0/old"}
    noted(tmp_path, "b/node1/new")

    assert latest(before, tmp_path, "b", CONTEXT) == "b/node1/new"


@pytest.mark.parametrize("name", ["other/node0/1", "bb/node0/1"])
def test_a_build_on_another_builder_is_not(tmp_path: Path, name: str) -> None:
    noted(tmp_path, name)

    assert latest((), tmp_path, "b", CONTEXT) is None


def test_a_build_of_another_context_at_the_same_time_is_not(tmp_path: Path) -> None:
    noted(tmp_path, "b/node0/theirs", "/there")
    assert latest((), tmp_path, "b", CONTEXT) is None
    noted(tmp_path, "b/node0/ours")
    assert latest((), tmp_path, "b", CONTEXT) == "b/node0/ours"


def test_of_two_builds_of_one_context_nobody_knows_which_is_ours(tmp_path: Path) -> None:
    noted(tmp_path, "b/node0/1")
    noted(tmp_path, "b/node0/2")

    assert latest((), tmp_path, "b", CONTEXT) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"{}"])
def test_a_note_that_can_not_be_read_is_no_builds(tmp_path: Path, content: bytes) -> None:
    noted(tmp_path, "b/node0/1")
    (tmp_path / "b/node0/1").write_bytes(content)

    assert latest((), tmp_path, "b", CONTEXT) is None
