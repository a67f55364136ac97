"""The history of a build that is read while it is made, with a `docker` that says what the test wants."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from layercache_ci.engines.buildkit.follow import Follower
from layercache_ci.engines.buildkit.history import Subject
from layercache_ci.settings import BuildSettings

CONTEXT = "/here/context"
SUBJECT = Subject.of(BuildSettings(context=CONTEXT), {})
REFERENCE = "b/node0/ours"
RAN = json.dumps(
    {
        "vertexes": [
            {
                "digest": "sha256:1",
                "name": "[2/2] RUN true",
                "inputs": ["sha256:0"],
                "started": "2026-01-01T00:00:00Z",
                "completed": "2026-01-01T00:00:01Z",
            }
        ]
    }
)
PATIENCE = 30.0


def docker(folder: Path, script: str) -> None:
    """What stands for docker: it notes each of its commands, then does as the script says."""
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\necho "$*" >>{folder}/asked\n{script}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def note(folder: Path, name: str = REFERENCE) -> None:
    """As buildx does when a build begins."""
    path = folder / "refs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"LocalPath": CONTEXT}))


def asked(folder: Path, times: int = 1) -> list[str]:
    """The commands, once there are so many."""
    end = time.monotonic() + PATIENCE
    log = folder / "asked"
    while time.monotonic() < end:
        lines = log.read_text().splitlines() if log.is_file() else []
        if len(lines) >= times:
            return lines
        time.sleep(0.01)
    raise AssertionError(f"docker was not asked {times} times")


@contextmanager
def following(folder: Path) -> Iterator[Follower]:
    follower = Follower(folder / "refs", frozenset({"b/node0/old"}), "b", SUBJECT, {"PATH": f"{folder}:/usr/bin:/bin"})
    try:
        yield follower
    finally:
        follower.stop()


def test_a_build_that_begins_is_followed_to_its_end(tmp_path: Path) -> None:
    docker(tmp_path, f"while ! test -e {tmp_path}/over; do sleep 0.01; done\necho '{RAN}' >&2")
    note(tmp_path, "b/node0/old")
    with following(tmp_path) as follower:
        note(tmp_path)
        assert asked(tmp_path) == ["buildx history logs --builder=b --progress=rawjson ours"]
        (tmp_path / "over").touch()

        told = follower.progress(REFERENCE)

    assert told is not None
    assert [(step.text, step.state) for step in told.steps()] == [("RUN true", "ran")]


def test_a_builder_that_does_not_know_the_build_yet_is_asked_again(tmp_path: Path) -> None:
    docker(tmp_path, f"test -e {tmp_path}/known || {{ touch {tmp_path}/known; exit 1; }}\necho '{RAN}' >&2")
    note(tmp_path)
    with following(tmp_path) as follower:
        asked(tmp_path, 2)
        told = follower.progress(REFERENCE)

    assert told is not None
    assert len(told.steps()) == 1


def test_of_a_builder_that_never_tells_nothing_is_known(tmp_path: Path) -> None:
    docker(tmp_path, "exit 1")
    note(tmp_path)
    with following(tmp_path) as follower:
        asked(tmp_path, 2)
        assert follower.progress(REFERENCE) is None


def test_another_build_than_ours_is_not_waited_for(tmp_path: Path) -> None:
    docker(tmp_path, "exec sleep 1000")
    note(tmp_path, "b/node0/theirs")
    with following(tmp_path) as follower:
        asked(tmp_path)
        assert follower.progress(REFERENCE) is None
        process = follower._process
        assert process is not None
        assert process.wait(PATIENCE) != 0


def test_a_build_that_nobody_noted_is_not_followed(tmp_path: Path) -> None:
    docker(tmp_path, "exit 0")
    with following(tmp_path) as follower:
        assert follower.progress(REFERENCE) is None

    assert not (tmp_path / "asked").exists()


def test_one_that_is_cut_off_tells_nothing(tmp_path: Path) -> None:
    docker(tmp_path, f"echo '{RAN}' >&2\nexec sleep 1000")
    note(tmp_path)
    with following(tmp_path) as follower:
        asked(tmp_path)
        follower.stop()
        assert follower.progress(REFERENCE) is None
