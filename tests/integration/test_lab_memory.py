"""Small engines lie in memory: while there is room, and no longer than the run that they are of."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab import memory
from tests.lab.lab import Lab
from tests.lab.memory import GIB, LEAST, SHARE, forget_abandoned, has_room, mount_memory, spare_memory
from tests.lab.removal import mounted_below, unmount_below

PLENTY = LEAST * SHARE


@pytest.fixture
def point(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "m"
    folder.mkdir()
    yield folder
    unmount_below(tmp_path)


def test_small_engines_lie_in_memory_while_half_of_it_is_free(
    lab: Lab, point: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "spare_memory", lambda: PLENTY)
    assert mount_memory(point, os.getpid())
    with_memory = replace(lab, memory=point)
    small, large = with_memory.small_engine("buildah-1.28"), with_memory.engine("buildah-1.28")
    with (point / "full").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, LEAST // 2 + 1)
    late = with_memory.small_engine("buildah-1.28")
    for engine in (small, large, late):
        engine.remove()

    assert [engine.folder.parent for engine in (small, large, late)] == [point, lab.folder, lab.folder]
    assert not has_room(point)


def test_what_another_run_left_goes_when_it_has_ended(point: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "spare_memory", lambda: PLENTY)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other:
        assert mount_memory(point, other.pid)
        forget_abandoned()
        during = mounted_below(point.parent)
        other.communicate()
    forget_abandoned()

    assert during == [str(point)]
    assert mounted_below(point.parent) == []


def test_a_machine_with_little_memory_keeps_it(point: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "spare_memory", lambda: PLENTY - SHARE)

    assert not mount_memory(point, os.getpid())
    assert mounted_below(point.parent) == []


@pytest.mark.parametrize(
    ("limits", "spare"),
    [
        ({}, 8 * GIB),
        ({"memory.max": "max", "memory.current": "7"}, 8 * GIB),
        ({"memory.max": str(5 * GIB), "memory.current": str(GIB)}, 4 * GIB),
        ({"memory.max": str(50 * GIB), "memory.current": str(GIB)}, 8 * GIB),
        ({"memory/memory.limit_in_bytes": str(3 * GIB), "memory/memory.usage_in_bytes": "0"}, 3 * GIB),
    ],
    ids=["no groups", "no limit", "limited", "a limit above what is there", "limited, version 1"],
)
def test_what_may_be_used_is_what_both_the_machine_and_the_group_have(
    tmp_path: Path, limits: dict[str, str], spare: int
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:       99999999 kB\nMemAvailable:    8388608 kB\n")
    for name, text in limits.items():
        file = tmp_path / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    assert spare_memory(tmp_path, tmp_path / "groups") == spare
