"""Builds for several platforms with Podman and Buildah: what is planned together, apart, or not at all."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from layercache_ci.dockerfile.plan import BaseImage, Plan
from layercache_ci.engines.containers.apart import are_mixed, demand_unseen
from layercache_ci.engines.containers.build import Build
from layercache_ci.engines.containers.engine import Engine
from layercache_ci.engines.containers.images import Resolver
from layercache_ci.engines.containers.manifest_list import without_list
from layercache_ci.engines.containers.storage import Storage
from layercache_ci.errors import PlanError
from layercache_ci.settings import BuildSettings, Machine
from tests.unit.dockerfile.planning import plan_of
from tests.unit.engines.test_run_again import FOLLOWED

BEFORE, SINCE = "1.40.1", "1.41.0"


def engine(folder: Path, version: str) -> Engine:
    return Engine("buildah", "/buildah", version, version, folder / "graph", folder / "run", "overlay")


def plan(folder: Path, base: str) -> Plan:
    """On an image with that identity, or on scratch."""
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {base}\nENV A=1\n")
    return plan_of(folder, images={} if base == "scratch" else {base: BaseImage(base, base)})


@pytest.mark.parametrize(
    ("bases", "platforms", "version", "mixed"),
    [
        (("one", "two"), ("linux/amd64", "linux/arm64"), BEFORE, False),
        (("one", "one"), ("linux/amd64", "linux/arm64"), BEFORE, True),
        (("scratch", "scratch"), ("linux/amd64", "linux/arm64"), BEFORE, True),
        (("scratch", "scratch"), ("linux/amd64", "linux/arm64"), SINCE, False),
        (("scratch", "scratch"), ("linux/arm/v7", "linux/arm/v6"), SINCE, True),
        (("one", "two"), ("linux/arm/v7", "linux/arm/v6"), SINCE, False),
    ],
)
def test_what_begins_alike_is_mixed_up_until_platforms_are_compared(
    tmp_path: Path, bases: tuple[str, str], platforms: tuple[str, str], version: str, *, mixed: bool
) -> None:
    """And since then where they differ in the variant only."""
    plans = {
        platform: plan(tmp_path / str(index), base)
        for index, (base, platform) in enumerate(zip(bases, platforms, strict=True))
    }
    assert are_mixed(plans, engine(tmp_path, version)) is mixed


@pytest.mark.parametrize("registry", ["the same", "another", "none"])
def test_what_the_registry_has_is_not_needed_of_the_users(tmp_path: Path, registry: str) -> None:
    """What is built apart does not see what is there, and would fail without an image that is only there."""
    plans = {"linux/amd64": plan(tmp_path / "context", "base")}
    skopeo = tmp_path / "skopeo"
    digest = "sha256:base" if registry == "the same" else "sha256:other"
    answer = json.dumps({"config": {"digest": digest}, "layers": []})
    skopeo.write_text("#!/bin/sh\n" + ("exit 1" if registry == "none" else f"echo '{answer}'"))
    skopeo.chmod(0o755)
    resolver = Resolver(("false",), {"PATH": f"{tmp_path}:/bin"}, "missing", lambda _: None)
    demand_unseen(plans, Storage(tmp_path / "graph"), resolver)
    images = tmp_path / "graph/overlay-images"
    images.mkdir(parents=True)
    (images / "images.json").write_text(json.dumps([{"id": "base"}]))
    seen = Storage(tmp_path / "graph")
    if registry == "the same":
        demand_unseen(plans, seen, resolver)
        return
    with pytest.raises(PlanError, match=r"^base is in the engine's storage only.* build one platform at a time"):
        demand_unseen(plans, seen, resolver)


@pytest.mark.parametrize(
    ("options", "name", "rest"),
    [
        (("--manifest=all", "--format=docker"), "all", ("--format=docker",)),
        (("--format", "docker", "--manifest", "all"), "all", ("--format", "docker")),
        (("--format=docker",), None, ("--format=docker",)),
    ],
)
def test_the_list_is_taken_out_of_the_options(
    options: tuple[str, ...], name: str | None, rest: tuple[str, ...]
) -> None:
    """Its name often has the commit in it, and what changes with each build must be in no key."""
    settings, found = without_list(BuildSettings(context=".", engine_options=options))
    assert (found, settings.engine_options) == (name, rest)


def test_what_is_not_planned_keeps_no_layers_of_several(tmp_path: Path) -> None:
    """An old engine would take those of one for those of another."""
    machine = Machine({"PATH": "/usr/bin:/bin"}, uid=0, cpus=1, terminal=False)
    one = BuildSettings(context=".", platform="linux/amd64", engine_options=("--manifest=all",))
    several = replace(one, platform="linux/amd64,linux/arm64")
    given = [Build(settings, machine, engine(tmp_path, BEFORE), None).parts[0].settings for settings in (one, several)]
    assert [settings.engine_options for settings in given] == [
        ("--manifest=all",),
        ("--manifest=all", "--layers=false"),
    ]


def test_a_signal_ends_the_build_whichever_platform_it_comes_to(tmp_path: Path) -> None:
    program = tmp_path / "buildah"
    program.write_text(f"#!/bin/sh\necho run >>{tmp_path}/runs\ntrap : TERM; {FOLLOWED}; kill -TERM $PPID; sleep 0.2\n")
    program.chmod(0o755)
    machine = Machine({"PATH": "/usr/bin:/bin"}, uid=0, cpus=1, terminal=False)
    made = replace(engine(tmp_path, SINCE), executable=str(program))
    build = Build(BuildSettings(context="."), machine, made, None)
    build.parts = tuple(replace(build.parts[0], platform=platform) for platform in ("linux/amd64", "linux/arm64"))

    assert build.run(None) == 128 + signal.SIGTERM

    assert (tmp_path / "runs").read_text() == "run\n"
