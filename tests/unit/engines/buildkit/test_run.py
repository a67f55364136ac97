"""How the engine is started, with a `docker` that notes what it was given."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from layercache_ci.aside import aside
from layercache_ci.engines.buildkit import run as run_module
from layercache_ci.engines.buildkit.build import prepare
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.exporter import may_export, should_export
from layercache_ci.engines.buildkit.forms import Form, Held, Notes, Restored
from layercache_ci.engines.buildkit.run import EngineRun
from layercache_ci.engines.buildkit.session import Reached
from layercache_ci.engines.buildkit.transport import Exported
from layercache_ci.registry.model import Access
from layercache_ci.settings import BuildSettings, Machine
from tests.waiting import SECONDS, until

SETTINGS = BuildSettings(context="/nowhere")
BUILDER = Builder(name="b", driver="remote", node="n", endpoint="unix:///s", version="v0.34.0", exports_cache=True)
CACHE_TO = "--cache-to=type=registry,ref=r:0,compression=zstd,ignore-error=true"


@dataclass
class Transport:
    """Of which only names are asked for, and what it is told is forgotten."""

    def cache_to(self, number: int, form: Form) -> str:
        return f"type=registry,ref=r:{number},{form.value}"

    def promise(self) -> tuple[str, ...]:
        return ("type=registry,ref=promised",)

    def decline(self) -> None: ...

    def exported(self, number: int) -> Exported:
        return Exported(f"manifest {number}".encode(), b"")

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"asked for {name}")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    program = tmp_path / "docker"
    program.write_text(f'#!/bin/sh\necho "$BUILDX_METADATA_PROVENANCE $*" >>{tmp_path}/asked\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
    return Machine(environment=environment, uid=0, cpus=1, terminal=False)


@pytest.fixture
def reached(machine: Machine) -> Reached:
    return Reached(
        BUILDER, Transport(), machine.environment, Access(("127.0.0.1:5000",), "user", "secret", Path("/r"), 1)
    )


def last_words(folder: Path) -> list[str]:
    return (folder / "asked").read_text().splitlines()[-1].split(" ")


def test_a_build_exports_its_cache_where_it_was_told_to(tmp_path: Path, machine: Machine, reached: Reached) -> None:
    run = EngineRun(machine, BUILDER, tmp_path / "metadata.json")
    assert run.start(SETTINGS, reached, ()).follow(on_line=lambda _: None, sink=None) == 0
    run.stop()

    provenance, *words = last_words(tmp_path)

    assert provenance == "max"
    assert [word for word in words if word.startswith("--cache-to")] == [CACHE_TO]


@pytest.mark.parametrize("saves", [True, False])
def test_one_that_runs_again_without_the_cache_does_not(
    tmp_path: Path, machine: Machine, reached: Reached, *, saves: bool
) -> None:
    """What it came of is exported afterwards."""
    run = EngineRun(machine, BUILDER, tmp_path / "metadata.json", saves=saves)
    run.start(SETTINGS, reached, ()).follow(on_line=lambda _: None, sink=None)
    assert run.exports is saves
    run.start_again(SETTINGS, reached).follow(on_line=lambda _: None, sink=None)
    run.stop()

    provenance, *words = last_words(tmp_path)

    assert provenance == ""
    assert not [word for word in words if word.startswith("--cache-to")]
    assert not run.exports


@pytest.mark.parametrize("without_us", [True, False], ids=["without us", "nothing to save"])
def test_nor_does_one_that_has_nothing_to_export(
    tmp_path: Path, machine: Machine, reached: Reached, *, without_us: bool
) -> None:
    run = EngineRun(machine, BUILDER, tmp_path / "metadata.json", foreseen=not without_us)
    run.start(SETTINGS, None if without_us else reached, ()).follow(on_line=lambda _: None, sink=None)
    run.stop()

    assert not [word for word in last_words(tmp_path) if word.startswith("--cache-to")]


@pytest.mark.parametrize(("user", "stand_in", "exports"), [("v0.11.6", "v0.34.0", True), ("v0.34.0", "v0.11.6", False)])
def test_it_is_the_builder_at_work_that_can_or_not(
    tmp_path: Path, machine: Machine, reached: Reached, user: str, stand_in: str, *, exports: bool
) -> None:
    run = EngineRun(machine, replace(BUILDER, version=user), tmp_path / "metadata.json")
    at_work = replace(reached, builder=replace(BUILDER, name="ours", version=stand_in))
    run.start(SETTINGS, at_work, ()).follow(on_line=lambda _: None, sink=None)
    run.stop()

    assert run.exports is exports


def test_who_wants_its_cache_may_have_the_build_export() -> None:
    assert may_export(SETTINGS, BUILDER)
    given = replace(SETTINGS, push=True, engine_options=("--provenance=max", "--cache-to", "type=inline"))
    assert may_export(given, BUILDER)
    assert may_export(replace(SETTINGS, metadata_file=Path("theirs.json")), BUILDER)


@pytest.mark.parametrize(
    ("waits", "pulled", "text", "should"),
    [
        (True, False, "COPY file /", True),
        (False, True, "COPY file /", True),
        (False, False, "COPY file /", False),
        (False, False, "COPY --link file /", True),
        (False, False, "COPY --link=true file /", True),
        (False, False, "RUN uv sync --link-mode=copy", False),
    ],
)
def test_who_waits_has_it_and_who_would_lose_what_lies_upon_layers_that_nobody_reads(
    tmp_path: Path, text: str, *, waits: bool, pulled: bool, should: bool
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM scratch\n{text}\n")

    assert should_export(replace(SETTINGS, context=str(tmp_path), wait=waits), pulled=pulled) is should


@pytest.mark.parametrize(
    "change",
    [
        {"no_cache": True},
        {"engine_options": ("--metadata-file", "theirs.json")},
        {"engine_options": ("--metadata-file=theirs.json",)},
        {"engine_options": ("--no-cache-filter=one",)},
        {"engine_options": ("--no-cache",)},
        {"engine_options": ("--check",)},
    ],
)
def test_who_does_not_may_not(change: dict[str, Any]) -> None:
    assert not may_export(replace(SETTINGS, **change), BUILDER)


@pytest.mark.parametrize(
    ("version", "may"), [("v0.11.6", False), ("0.9.0", False), ("v0.12.0", True), ("28.5.2", True)]
)
def test_a_builder_that_would_fail_with_the_export_is_not_told_to(version: str, *, may: bool) -> None:
    assert may_export(SETTINGS, replace(BUILDER, version=version)) is may


def builds_in(folder: Path) -> list[str]:
    return [line for line in (folder / "asked").read_text().splitlines() if "history" not in line]


class Begun:
    """A session whose builder was reached."""

    def __init__(self, reached: Reached) -> None:
        self._reached = reached

    def reached(self) -> Reached:
        return self._reached


@pytest.mark.parametrize("planned", [True, False])
def test_the_engine_starts_early_where_there_will_be_a_plan(
    tmp_path: Path, machine: Machine, reached: Reached, *, planned: bool
) -> None:
    """Else it starts when it is followed, and exports nothing, as nothing could be saved."""
    run = EngineRun(machine, BUILDER, tmp_path / "metadata.json")
    run.start_early(SETTINGS, Begun(reached))  # type: ignore[arg-type]
    if planned:
        run.admit()
    run.start(SETTINGS, reached if planned else None, ()).follow(on_line=lambda _: None, sink=None)
    run.stop()

    (asked,) = builds_in(tmp_path)
    assert run.exports == planned
    assert (CACHE_TO in asked, "--cache-from=type=registry,ref=promised" in asked) == (planned, planned)


def test_what_the_engine_exported_is_ours_though_the_plan_was_given_up(
    tmp_path: Path, machine: Machine, reached: Reached
) -> None:
    """Once it is at work, it is told nothing else: what it writes of our cache is not the user's to see."""
    theirs = tmp_path / "theirs.json"
    settings = replace(SETTINGS, metadata_file=theirs, store=f"local:{tmp_path}/store")
    build = prepare(settings, machine, BUILDER)
    run = build._run = EngineRun(machine, BUILDER, tmp_path / "metadata.json")
    run.start_early(settings, Begun(reached))  # type: ignore[arg-type]
    run.admit()
    until(lambda: run._unfollowed is not None)
    build.abandon("no plan")
    assert build.run(None) == 0
    digest = Transport().exported(0).digest
    (tmp_path / "metadata.json").write_text(json.dumps({"image.name": "a", "cache.manifest": {"digest": digest}}))

    build.finish()

    assert json.loads(theirs.read_text()) == {"image.name": "a"}
    run.stop()


class Booting(Begun):
    """One whose builder takes its time to boot."""

    def __init__(self, reached: Reached) -> None:
        super().__init__(reached)
        self.booted = threading.Event()

    def reached(self) -> Reached:
        assert self.booted.wait(SECONDS)
        return super().reached()


@pytest.mark.parametrize("admitted", [True, False])
def test_a_build_without_us_waits_for_no_builder(
    tmp_path: Path, machine: Machine, reached: Reached, monkeypatch: pytest.MonkeyPatch, *, admitted: bool
) -> None:
    """Nor is a second engine started once it has booted."""
    begun: list[Future[Any]] = []

    def noted(work: Callable[[], Any]) -> Future[Any]:
        begun.append(aside(work))
        return begun[-1]

    monkeypatch.setattr(run_module, "aside", noted)
    run, session = EngineRun(machine, BUILDER, tmp_path / "metadata.json"), Booting(reached)
    run.start_early(SETTINGS, session)  # type: ignore[arg-type]
    if admitted:
        run.admit()

    started = aside(lambda: run.start(SETTINGS, None, ())).result(SECONDS)
    session.booted.set()
    assert started.follow(on_line=lambda _: None, sink=None) == 0
    run.admit()  # whoever asked a registry for a base image may come late

    assert begun[0].result(SECONDS) is None
    assert len(builds_in(tmp_path)) == 1
    run.stop()


def outputs_in(words: list[str]) -> list[str]:
    return [word for word in words if word.startswith(("--output", "--push", "--load", "--cache-to"))]


ONLY_GZIP = "compression=gzip,force-compression=true"


@pytest.mark.parametrize(
    ("held", "zstd", "forced"),
    [(Held.NOTHING, False, False), (Held.NOTHING, True, True), (Held.ZSTD, False, True), (Held.BOTH, False, True)],
)
def test_a_push_is_told_by_what_is_restored_and_what_the_builder_may_hold(
    tmp_path: Path, machine: Machine, reached: Reached, held: Held, *, zstd: bool, forced: bool
) -> None:
    notes = Notes.of(machine, BUILDER)
    notes.write(held)
    run = EngineRun(machine, BUILDER, tmp_path / "metadata.json", restored=Restored(zstd, layers=4))
    run.start(replace(SETTINGS, push=True), reached, ()).follow(on_line=lambda _: None, sink=None)
    run.stop()

    only_gzip = [f"--output=type=image,push=true,{ONLY_GZIP}", CACHE_TO.replace("compression=zstd", ONLY_GZIP)]
    assert outputs_in(last_words(tmp_path)) == (only_gzip if forced else [CACHE_TO, "--push"])
    assert notes.read() is (Held.BOTH if forced else Held.ZSTD)


def test_an_engine_whose_image_leaves_starts_once_it_is_known_what_is_restored(
    tmp_path: Path, machine: Machine, reached: Reached
) -> None:
    run = EngineRun(machine, BUILDER, tmp_path / "metadata.json")
    run.start_early(replace(SETTINGS, push=True), Begun(reached))  # type: ignore[arg-type]
    run.admit()
    run.restored = Restored(zstd=True, layers=4)
    run.start(replace(SETTINGS, push=True), reached, ()).follow(on_line=lambda _: None, sink=None)
    run.stop()

    (asked,) = builds_in(tmp_path)
    assert f"--output=type=image,push=true,{ONLY_GZIP}" in asked


def test_one_that_started_early_exports_afterwards_as_is_known_by_then(
    tmp_path: Path, machine: Machine, reached: Reached
) -> None:
    """A container's builder of the user's is forced in any case."""
    settings = replace(SETTINGS, push=True, wait=False)
    builder = replace(BUILDER, driver="docker-container")
    at_work = replace(reached, builder=builder)
    run = EngineRun(machine, builder, tmp_path / "metadata.json")
    run.start_early(settings, Begun(at_work))  # type: ignore[arg-type]
    run.admit()
    run.start(settings, at_work, ("promised",)).follow(on_line=lambda _: None, sink=None)
    run.stop()

    (asked,) = builds_in(tmp_path)
    assert "--cache-from=type=registry,ref=promised" in asked
    assert f"--output=type=image,push=true,{ONLY_GZIP}" in asked
    assert Notes.of(machine, builder).read() is Held.BOTH
    run.restored = Restored(zstd=False, layers=4)
    assert run.form(settings, at_work) is Form.ZSTD
    assert Notes.of(machine, builder).read() is Held.ZSTD
    run.restored = Restored(zstd=True, layers=40)
    assert run.form(settings, at_work) is Form.ONLY_GZIP


def test_what_another_build_does_to_the_builder_meanwhile_is_not_forgotten(
    tmp_path: Path, machine: Machine, reached: Reached
) -> None:
    """One that pushes in gzip what was restored in zstd comes and goes while another that pushes nothing is at work: an
    export that forces no form would list all combinations of layers in two."""
    notes = Notes.of(machine, BUILDER)
    slow, pushes = (EngineRun(machine, BUILDER, tmp_path / "metadata.json") for _ in range(2))
    slow.start(SETTINGS, reached, ()).follow(on_line=None, sink=None)
    assert notes.read() is Held.ZSTD
    pushes.restored = Restored(zstd=True, layers=4)
    pushes.start(replace(SETTINGS, push=True), reached, ()).follow(on_line=None, sink=None)

    assert notes.read() is Held.BOTH
    assert slow.form(SETTINGS, reached) is Form.ONLY_GZIP
    assert notes.read() is Held.BOTH
    for run in (slow, pushes):
        run.stop()


@pytest.mark.parametrize(("option", "given"), [("--no-cache", True), ("--no-cache=false", False), ("--pull", False)])
def test_no_cache_is_meant_wherever_it_stands(tmp_path: Path, machine: Machine, option: str, *, given: bool) -> None:
    """Behind `--` too: nothing that would be restored could be a hit."""
    settings = replace(SETTINGS, engine_options=(option,), store=f"local:{tmp_path}/store")

    assert prepare(settings, machine, BUILDER).settings.no_cache is given
