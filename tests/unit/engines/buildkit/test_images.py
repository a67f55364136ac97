"""What a reference means, with a `docker` that says what the test wants."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from layercache_ci.dockerfile.plan import BaseImage
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.images import Resolver, chain_id

PLATFORM = "linux/amd64"
DIFF_IDS = [f"sha256:{digit * 64}" for digit in "12"]
SHOWN = {"Env": ["B=1", "A=x=y", "B=2"], "WorkingDir": "/w", "User": "u"}
"""What buildx shows of CONFIG."""
CONFIG = {**SHOWN, "Shell": ["s"], "OnBuild": ["RUN a"]}
IMAGE = {
    "os": "linux", "architecture": "amd64", "config": SHOWN, "rootfs": {"type": "layers", "diff_ids": DIFF_IDS},
    "history": [{"created_by": "RUN /bin/sh -c make # buildkit"}],
}  # fmt: skip
SAYING = {**IMAGE, "history": [{"created_by": "SHELL [s]"}, {"created_by": "/bin/sh -c #(nop)  ONBUILD RUN a"}]}
LOCAL = [{"Os": "linux", "Architecture": "amd64", "Config": CONFIG, "RootFS": {"Layers": DIFF_IDS[:1]}}]
INDEX = {
    "manifests": [
        {"digest": "sha256:wrong", "platform": {"os": "linux", "architecture": "arm64"}},
        {"digest": "sha256:right", "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": "sha256:proof", "platform": {"os": "unknown", "architecture": "unknown"}},
    ]
}
RAW = "buildx imagetools inspect --builder=b --raw"
OF_DEFAULT = "--context default image inspect"
FORMAT = "buildx imagetools inspect --builder=b --format {{json .Image}}"


REMOTE = Builder(name="b", driver="remote", node="b0", endpoint="unix:///s", version="v0.34.0", exports_cache=True)
DOCKER = replace(REMOTE, driver="docker", endpoint="default")


def resolver(
    folder: Path,
    answers: Mapping[str, object],
    *,
    builder: Builder = REMOTE,
    pull: bool = False,
    known: bool = False,
) -> Resolver:
    """`answers` by the words of the command; any other fails."""
    cases = "\n".join(f"'{words}') echo '{json.dumps(value)}';;" for words, value in answers.items())
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}\n*) echo "not there" >&2; exit 1;;\nesac\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def remembered(reference: str) -> BaseImage | None:
        return BaseImage(reference, "remembered") if known else None

    return Resolver(builder, {"PATH": f"{folder}:/bin"}, remembered, pull)


def test_the_image_of_one_platform_is_chosen_from_an_index(tmp_path: Path) -> None:
    answers = {f"{RAW} host:5000/name:tag": INDEX, f"{FORMAT} host:5000/name@sha256:right": IMAGE}
    found = resolver(tmp_path, answers).resolve("host:5000/name:tag", PLATFORM)

    assert (found.identity, found.working_dir, found.user) == (chain_id(DIFF_IDS), "/w", "u")
    assert list(found.environment.items()) == [("A", "x=y"), ("B", "2")]


MANIFEST = {"config": {"digest": "sha256:config"}}


@pytest.mark.parametrize("image", [SAYING, {**IMAGE, "history": []}], ids=["by its history", "it has none"])
@pytest.mark.parametrize("index", [True, False])
def test_what_buildx_does_not_show_is_read_in_the_config_itself(
    tmp_path: Path, image: dict[str, object], *, index: bool
) -> None:
    answers: dict[str, object] = {f"{RAW} name@sha256:config": {"config": CONFIG}}
    if index:
        answers |= {f"{RAW} name": INDEX, f"{FORMAT} name@sha256:right": image, f"{RAW} name@sha256:right": MANIFEST}
    else:
        answers |= {f"{RAW} name": MANIFEST, f"{FORMAT} name": image}
    found = resolver(tmp_path, answers).resolve("name", PLATFORM)

    assert (found.identity, found.triggers, found.shell) == (chain_id(DIFF_IDS), ("RUN a",), ("s",))
    assert list(found.environment.items()) == [("A", "x=y"), ("B", "2")]


@pytest.mark.parametrize(("line", "known"), [("ONBUILD RUN a", False), ("SHELL [s]", True)])
def test_where_a_registry_does_not_give_it_triggers_are_not_passed_over(
    tmp_path: Path, line: str, *, known: bool
) -> None:
    image = {**IMAGE, "history": [{"created_by": line}]}
    found = resolver(tmp_path, {f"{RAW} name": MANIFEST, f"{FORMAT} name": image}).resolve("name", PLATFORM)

    assert found.identity == (chain_id(DIFF_IDS) if known else "")


@pytest.mark.parametrize(
    ("listed", "platform"),
    [
        (["386"], "linux/amd64"),
        (["386", "amd64"], "linux/amd64"),
        (["arm/v5", "arm/v6", "amd64"], "linux/arm/v7"),
        (["386", "amd64"], "linux/amd64/v2"),
        (["arm/v7"], "linux/arm64"),
    ],
)
def test_an_index_may_have_only_an_image_that_serves_too(tmp_path: Path, listed: list[str], platform: str) -> None:
    """As i386/debian has on amd64. The last that is listed here, but for amd64 on ARM, is the best."""
    best = [each for each in listed if platform.startswith("linux/arm") is each.startswith("arm")][-1]
    entries = [
        {
            "digest": f"sha256:{each}",
            "platform": dict(zip(("os", "architecture", "variant"), ("linux", *each.split("/")), strict=False)),
        }
        for each in listed
    ]
    answers = {f"{RAW} name": {"manifests": entries}, f"{FORMAT} name@sha256:{best}": IMAGE}

    assert resolver(tmp_path, answers).resolve("name", platform).identity == chain_id(DIFF_IDS)


def test_an_image_of_one_platform_is_taken_as_it_is(tmp_path: Path) -> None:
    answers = {f"{RAW} name": {"config": {}}, f"{FORMAT} name": IMAGE}

    assert resolver(tmp_path, answers).resolve("name", PLATFORM).identity == chain_id(DIFF_IDS)


def test_the_daemons_own_image_comes_first_unless_it_is_another_platforms_or_pull_is_asked(tmp_path: Path) -> None:
    answers = {f"{OF_DEFAULT} name": LOCAL, f"{RAW} name": {"config": {}}, f"{FORMAT} name": IMAGE}

    def chosen(platform: str = PLATFORM, *, pull: bool = False) -> str:
        return resolver(tmp_path, answers, builder=DOCKER, pull=pull).resolve("name", platform).identity

    assert chosen() == DIFF_IDS[0]
    assert chosen("linux/arm64") == chosen(pull=True) == chain_id(DIFF_IDS)


def test_it_is_the_daemon_of_the_builder_that_is_asked(tmp_path: Path) -> None:
    there = [{**LOCAL[0], "RootFS": {"Layers": DIFF_IDS[1:]}}]
    answers = {f"{OF_DEFAULT} name": LOCAL, "--context other image inspect name": there}

    found = resolver(tmp_path, answers, builder=replace(DOCKER, name="other", endpoint="other"))

    assert found.resolve("name", PLATFORM).identity == DIFF_IDS[1]


def test_without_a_registry_the_newest_build_knows(tmp_path: Path) -> None:
    found = resolver(tmp_path, {}, known=True).resolve("name", PLATFORM)
    assert found.identity == "remembered"
    assert "not there" in found.note
    unknown = resolver(tmp_path, {}).resolve("name", PLATFORM)
    assert (unknown.identity, "not planned" in unknown.note) == ("", True)
    other = resolver(tmp_path, {f"{RAW} name": INDEX}).resolve("name", "linux/s390x")
    assert "name has no image for linux/s390x" in other.note


def test_an_image_without_layers_is_scratch(tmp_path: Path) -> None:
    image = {**IMAGE, "rootfs": {"diff_ids": None}}
    answers = {f"{RAW} name": {"config": {}}, f"{FORMAT} name": image}

    assert resolver(tmp_path, answers).resolve("name", PLATFORM).identity == "scratch"


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, DIFF_IDS[0]), (2, "sha256:9932074217c35353d2e03a3f5a86549f7c67bfeb0ba53e23d69f4d4c8f7958f5")],
)
def test_chain_ids(count: int, expected: str) -> None:
    assert chain_id(DIFF_IDS[:count]) == expected
