"""A build on restored layers that can't begin, or whose result can't be brought, with an engine of a few lines."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from layercache_ci.engines.containers.build import Build
from layercache_ci.engines.containers.build_storage import BuildStorage
from layercache_ci.engines.containers.engine import Engine
from layercache_ci.engines.scratch import new_place
from layercache_ci.errors import EngineError
from layercache_ci.settings import BuildSettings, Machine

BUILDS = f"echo STEP 1/1: FROM scratch; echo {'0' * 64}"
ON_RESTORED = '[ -z "$CONTAINERS_STORAGE_CONF" ]'
"""Whether the storage is the user's."""
FOLLOWED = "until grep -q '^SigCgt:.*[4-7c-f]...$' /proc/$PPID/status; do sleep 0.01; done"
"""Whoever started the engine has a handler for SIGTERM by now."""


def build_of(folder: Path, script: str, *, keep_store: bool = False) -> Build:
    """A build for which something was restored."""
    program = folder / "engine"
    program.write_text(f'#!/bin/sh\necho "$CONTAINERS_STORAGE_CONF" >>{folder}/runs\n{script}\n')
    program.chmod(0o755)
    engine = Engine("buildah", str(program), "1.28.2", "1.28.2", folder / "graph", folder / "run", "overlay")
    machine = Machine({"PATH": "/usr/bin:/bin", "LAYERCACHE_SCRATCH": str(folder)}, uid=0, cpus=1, terminal=False)
    build = Build(BuildSettings(context=".", keep_store=keep_store), machine, engine, None)
    place = build.parts[0].place = new_place(machine.scratch)
    place.image_store.mkdir()
    return build


def runs(folder: Path) -> list[bool]:
    """Of each run of the engine, whether it was on what was restored."""
    return [line != "" for line in (folder / "runs").read_text().splitlines()]


def test_a_result_that_cant_be_found_is_built_again(tmp_path: Path) -> None:
    build = build_of(tmp_path, BUILDS)
    place = build.parts[0].place
    assert place is not None

    assert build.run(None) == 0

    assert runs(tmp_path) == [True, False]
    assert build.image_id == f"sha256:{'0' * 64}"
    [warning] = build.warnings
    assert "built again without what was restored: the result could not be brought into the storage" in warning
    assert not place.root.exists()
    assert not place.image_store.exists()


def test_one_that_stays_where_it_is_is_not(tmp_path: Path) -> None:
    build = build_of(tmp_path, BUILDS, keep_store=True)
    assert build.run(None) == 0
    assert (runs(tmp_path), build.warnings) == ([True], [])


def test_an_engine_that_cant_begin_on_it_begins_without(tmp_path: Path) -> None:
    """It may not like the file system where the build's own storage is."""
    build = build_of(tmp_path, f"{ON_RESTORED} || exit 125\n{BUILDS}")
    assert build.run(None) == 0
    assert runs(tmp_path) == [True, False]
    assert build.warnings == ["built again without what was restored: the engine did not begin on it"]


@pytest.mark.parametrize("code", [125, 9])
def test_the_exit_code_is_that_of_the_last(tmp_path: Path, code: int) -> None:
    assert build_of(tmp_path, f"{ON_RESTORED} || exit 125; exit {code}").run(None) == code
    assert runs(tmp_path) == [True, False]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (f"{BUILDS}; exit 3", 3),
        (f"{BUILDS}; exit 125", 125),
        ("exit 3", 3),
        ("kill -TERM $$", 143),
        (f"trap 'exit 125' TERM; {FOLLOWED}; kill -TERM $PPID; while :; do sleep 0.1; done", 125),
    ],
    ids=["a step", "amid a step", "a step that is not shown", "a signal", "a signal to us"],
)
def test_what_fails_otherwise_is_not_the_caches_fault(tmp_path: Path, script: str, code: int) -> None:
    build = build_of(tmp_path, script)
    assert build.run(None) == code
    assert (runs(tmp_path), build.warnings) == ([True], [])


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("restored", [False, True])
def test_what_is_to_be_built_apart_keeps_no_layers_in_the_users_storage(
    tmp_path: Path, *, apart: bool, restored: bool
) -> None:
    """Whatever it is there for: without a store, or a storage of its own that it did not begin in."""
    build = build_of(tmp_path, f'echo "$@" >>{tmp_path}/words; {ON_RESTORED} || exit 125\n{BUILDS}')
    [part] = build.parts
    part.apart = apart
    if not restored:
        part.abandon()

    assert build.run(None) == 0

    words = (tmp_path / "words").read_text().splitlines()
    assert ["--layers=false" in line.split() for line in words] == [False, apart][not restored :]


def test_what_can_not_be_shown_to_later_commands_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several platforms the last one's storage shows all; without that nobody would find what is there."""
    build = build_of(tmp_path, BUILDS, keep_store=True)
    [first] = build.parts
    second = replace(first, place=new_place(build.machine.scratch))
    build.parts = (first, second)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "the disk is full")

    monkeypatch.setattr(BuildStorage, "configure_for_all", fail)
    with pytest.raises(EngineError, match=r"the images can't be shown in one storage.*the disk is full"):
        build.finish()

    assert (build.later, build.kept, [part.kept for part in build.parts]) == ({}, (), [False, False])
