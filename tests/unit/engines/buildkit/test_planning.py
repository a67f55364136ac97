"""What settings, environment and options make of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from layercache_ci.dockerfile.plan import Plan, digest
from layercache_ci.dockerfile.platform import host_platform
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.planning import make_plan, make_plans
from layercache_ci.errors import InputError, PlanError
from layercache_ci.settings import BuildSettings, Machine
from tests.unit.dockerfile.planning import Images

DOCKERFILE = "FROM image\nCOPY file /\nRUN a\nWORKDIR /w\n"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "file").write_text("")
    return folder


def planned(
    context: Path, *options: str, environment: Mapping[str, str] | None = None, builds_for: str = "", **settings: Any
) -> Plan:
    machine = Machine({"HOME": str(context.parent), **(environment or {})}, 0, 1, terminal=False)
    given = BuildSettings(context=str(context), engine_options=options, **settings)
    return make_plan(given, machine, Images(), builds_for=builds_for)


def moved(before: Plan, after: Plan) -> str:
    return "".join("=" if key in before.chain(0) else "!" for key in after.chain(0)[1:])


def test_options_count_alike_before_and_behind_the_dashes(context: Path) -> None:
    before = planned(context)

    assert planned(context, network="host").chain(0) == planned(context, "--network", "host").chain(0)
    assert planned(context, shm_size="64m").chain(0) == planned(context, "--shm-size=65536k").chain(0)
    for option in ("--network=none", "--shm-size=1m", "--ulimit=nofile=5", "--cgroup-parent=p", "--add-host=a:1.2.3.4"):
        assert moved(before, planned(context, option)) == "=!!", option
    assert planned(context, "--network=default").chain(0) == before.chain(0)


def test_of_hosts_only_the_names_count_and_limits_as_they_are_meant(context: Path) -> None:
    assert planned(context, "--add-host=a:1.2.3.4").chain(0) == planned(context, "--add-host=a=5.6.7.8").chain(0)
    assert planned(context, "--ulimit=nofile=5").chain(0) == planned(context, "--ulimit=nofile=5:5").chain(0)
    pair = ("--ulimit=nofile=5", "--ulimit=core=1")
    assert planned(context, *pair).chain(0) == planned(context, *reversed(pair)).chain(0)


def test_what_changes_no_key_changes_nothing_and_what_nobody_knows_keeps_caches_apart(context: Path) -> None:
    before = planned(context)
    neutral = ("--tag", "x:y", "--provenance=false", "--allow", "network.host", "--load", "--label=a=b")
    short = ("-tx:y", "-t", "x:y", "-q", "-Dq", "-qtx:y", "-o=type=docker", "-otype=oci,dest=f", "-qo", "file")

    assert planned(context, *neutral) == planned(context, *short) == before
    for unknown in ("--brand-new=option", "-m4g", "-qm4g", "-X"):
        assert planned(context, unknown).namespace != before.namespace, unknown
    assert planned(context, cache_version="2").namespace != before.namespace
    assert planned(context, platform="linux/arm64").namespace.startswith("buildkit-linux-arm64-")


ARM = {"DOCKER_DEFAULT_PLATFORM": "linux/aarch64"}


@pytest.mark.parametrize(
    ("given", "build", "target"),
    [
        ({"environment": ARM}, None, "linux/arm64"),
        ({"environment": ARM, "platform": "linux/s390x"}, None, "linux/s390x"),
        (
            {"environment": {"DOCKER_DEFAULT_PLATFORM": ""}, "builds_for": "linux/riscv64"},
            "linux/riscv64",
            "linux/riscv64",
        ),
        ({"builds_for": "linux/riscv64"}, "linux/riscv64", "linux/riscv64"),
        ({"environment": ARM, "builds_for": "linux/riscv64"}, "linux/riscv64", "linux/arm64"),
        ({"platform": "local", "builds_for": "linux/riscv64"}, "linux/riscv64", None),
        ({}, None, None),
    ],
    ids=["variable", "option first", "empty", "builder", "variable before the builder", "ours", "this machine's"],
)
def test_the_platform_is_the_one_that_buildx_takes(
    context: Path, given: dict[str, Any], build: str | None, target: str | None
) -> None:
    (context / "Dockerfile").write_text(
        "FROM --platform=$BUILDPLATFORM image\nRUN a\nFROM image\nRUN b\nCOPY --from=0 /a /\n"
    )
    plan = planned(context, **given)

    here, there = build or host_platform(), target or host_platform()
    bases = [stage.base.identity for stage in plan.stages.values() if stage.base is not None]
    assert bases == [digest("image", here), digest("image", there)]
    assert plan.namespace.startswith(f"buildkit-{there.replace('/', '-')}-")


def test_the_frontend_keeps_caches_apart(context: Path) -> None:
    before = planned(context)
    given = planned(context, build_args={"BUILDKIT_SYNTAX": "docker/dockerfile:1"})
    (context / "Dockerfile").write_text(f"# syntax=docker/dockerfile:1\n{DOCKERFILE}")

    assert planned(context).namespace == given.namespace
    assert given.namespace != before.namespace


def test_the_environment_gives_the_time(context: Path) -> None:
    before = planned(context)
    timed = planned(context, environment={"SOURCE_DATE_EPOCH": "7"})

    assert moved(before, timed) == "==!"
    assert planned(context, build_args={"SOURCE_DATE_EPOCH": "07"}).chain(0) == timed.chain(0)
    assert planned(context, build_args={"SOURCE_DATE_EPOCH": "context"}).chain(0) == before.chain(0)


def test_arguments_of_buildkits_own(context: Path) -> None:
    (context / "Dockerfile").write_text(
        "FROM image AS last\nRUN --mount=type=cache,target=/c a\nARG TARGETSTAGE\nRUN b\n"
    )
    before = planned(context)

    assert moved(before, planned(context, build_args={"BUILDKIT_CACHE_MOUNT_NS": "x"})) == "!!"
    assert moved(before, planned(context, build_args={"BUILDKIT_SANDBOX_HOSTNAME": "x"})) == "!!"
    assert moved(before, planned(context, build_args={"TARGETSTAGE": "x"})) == "=!"
    assert moved(before, planned(context, target="last")) == "=="


def test_stages_whose_cache_is_ignored(context: Path) -> None:
    (context / "Dockerfile").write_text("FROM image AS one\nRUN a\nFROM one AS two\nRUN b\n")
    plan = planned(context, "--no-cache-filter", "One,three")

    assert [step.forced for step in plan.links(1)] == [True, False]


def test_the_dockerfile_is_buildkits(context: Path) -> None:
    (context / "Containerfile").write_text("FROM image\n")
    assert len(planned(context).chain(0)) == 4
    (context / "Dockerfile").rename(context / "dockerfile")
    assert len(planned(context).chain(0)) == 4
    assert len(planned(context, file=str(context / "Containerfile")).chain(0)) == 1


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ((), {"file": "-"}, "write the Dockerfile into a file"),
        (("--target", "x"), {}, "--target stands behind --"),
        (("-f", "other"), {}, "--file stands behind --"),
        (("-fother",), {}, "--file stands behind --"),
        (("-f=other",), {}, "--file stands behind --"),
        (("-qfother",), {}, "--file stands behind --"),
        (("--tag", "x", "-Df", "other"), {}, "--file stands behind --"),
        (("--print=outline",), {}, "--print builds nothing"),
        ((), {"build_args": {"SOURCE_DATE_EPOCH": "stage"}}, "write seconds"),
    ],
)
def test_what_can_not_be_planned_says_what_to_do(
    context: Path, options: tuple[str, ...], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(PlanError, match=message):
        planned(context, *options, **settings)


def test_a_context_that_the_engine_fetches_is_not_planned() -> None:
    here = Machine({}, 0, 1, terminal=False)
    with pytest.raises(PlanError, match=r"the engine fetches the context 'https://example\.org/a\.git'"):
        make_plan(BuildSettings(context="https://me:pw@example.org/a.git"), here, Images())
    file = BuildSettings(context=".", file="https://example.org/D?signature=x")
    with pytest.raises(PlanError, match=r"^--file https://example\.org/D\?\.\.\.: "):
        make_plan(file, here, Images())


def test_wrong_input_is_named(context: Path) -> None:
    with pytest.raises(InputError, match="--shm-size 'much'"):
        planned(context, shm_size="much")
    with pytest.raises(InputError, match="nowhere: No such file or directory; name the Dockerfile with --file"):
        planned(context, file=str(context / "nowhere"))


BUILDER = Builder(name="b", driver="docker-container", node="n", endpoint="", version="v0.34.0", exports_cache=True)


def plans(context: Path, builder: Builder = BUILDER, default: str = "", **settings: Any) -> dict[str, Plan]:
    machine = Machine({"HOME": str(context.parent), "DOCKER_DEFAULT_PLATFORM": default}, 0, 1, terminal=False)
    return make_plans(BuildSettings(context=str(context), **settings), machine, Images(), builder)


def test_several_platforms_have_a_plan_each_as_a_build_for_one_has(context: Path) -> None:
    several = plans(context, platform="linux/amd64,linux/aarch64,linux/x86_64")

    assert list(several) == ["linux/amd64", "linux/arm64"]
    for platform, plan in several.items():
        assert plan == planned(context, platform=platform)
    assert plans(context, default="linux/amd64,linux/arm64") == several
    assert plans(context, platform="linux/arm64", default="linux/amd64,linux/386") == {"": several["linux/arm64"]}


def test_a_platform_that_is_named_twice_is_one(context: Path) -> None:
    assert plans(context, platform=f"local,{host_platform()}") == {host_platform(): planned(context)}


@pytest.mark.parametrize(
    ("about", "message"),
    [({"nodes": 2}, "the builder b has several nodes"), ({"exports_cache": False}, "holds no images for several")],
)
def test_several_platforms_need_one_builder_that_holds_them(context: Path, about: dict[str, Any], message: str) -> None:
    builder = replace(BUILDER, **about)
    with pytest.raises(PlanError, match=message):
        plans(context, builder, platform="linux/amd64,linux/arm64")
    assert len(plans(context, builder, platform="linux/arm64")) == 1
