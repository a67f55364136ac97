"""`setup: true`: which command lines are builds, and what they ask for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from layercache_ci.action.setup.command import BUILDX, CONTAINERS, read_command
from layercache_ci.action.setup.grammar import Grammar, Option, PassedOn
from layercache_ci.settings import BuildSettings

BUILDX_MINE = {"HOME": "/nowhere", "BUILDX_BUILDER": "mine"}
"""An environment in which the builder is not ours to find."""


def read(line: str, environment: dict[str, str] | None = None) -> BuildSettings:
    program, *words = line.split()
    return read_command(program, words, BUILDX_MINE if environment is None else environment).settings


@pytest.mark.parametrize(
    "line",
    [
        "docker build .",
        "docker image build .",
        "docker builder build .",
        "docker buildx build .",
        "docker buildx b .",
        "docker buildx -D b .",
        "docker --config /c --context x build .",
        "docker -H unix:///s -cx build .",
        "podman build .",
        "podman image build .",
        "podman buildx build .",
        "buildah build .",
        "buildah bud .",
        "buildah build-using-dockerfile",
    ],
)
def test_what_builds_is_a_build(line: str) -> None:
    found = read(line)
    program = line.partition(" ")[0]
    engine = "buildkit" if program == "docker" else program
    assert (found.engine, found.context, found.quiet) == (engine, ".", False)


@pytest.mark.parametrize(
    "line",
    [
        "docker", "docker ps", "docker run build", "docker buildx", "docker buildx bake", "docker buildx ls",
        "docker compose build", "docker image ls", "docker build --help", "docker build -h", "docker --version",
        "docker build --check .",
        "podman", "podman images", "podman image ls", "podman buildx version", "buildah from x", "buildah --help",
        "podman -v", "podman --log-level=error ps", "docker --tls images", "docker -D run x", "buildah --debug from x",
        "docker buildx --what ls",
    ],
)  # fmt: skip
def test_what_builds_nothing_is_passed_on_without_a_word(line: str) -> None:
    with pytest.raises(PassedOn, match=r"^$"):
        read(line)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("docker build", "names no build context"),
        ("podman build -f sub/Containerfile", "names no build context"),
        ("docker build a b", "one build context, not 2"),
        ("docker build -", "fetches the context '-'"),
        ("docker build https://me:pw@github.com/o/r.git", "fetches the context 'https://github.com/o/r.git'"),
        ("docker build --squash .", "--squash is not known"),
        ("docker build -x 1 .", "-x is not known"),
        ("docker build --no-cache=maybe .", "neither true nor false"),
        ("docker build . -t", "--tag has no value"),
        ("docker -l debug build .", "-l is not known"),
        ("docker buildx --what build .", "--what is not known"),
        ("podman --log-level debug build .", "--log-level is not known"),
        ("podman build --from x .", "--from is not known"),
        ("buildah build --layers=false .", "no cache"),
        ("buildah build -f a -f b .", "several Containerfiles"),
        ("buildah build -f Containerfile.in .", "cpp"),
        ("buildah build . -t x", "stands behind '.'"),
    ],
)
def test_what_can_not_be_cached_is_passed_on_and_says_why(line: str, why: str) -> None:
    with pytest.raises(PassedOn) as raised:
        read(line)
    assert why in str(raised.value)


@pytest.mark.parametrize(
    "options", ["--platform linux/amd64,linux/arm64", "--platform=linux/amd64 --platform linux/arm64"]
)
@pytest.mark.parametrize("command", ["docker build", "podman build --manifest all", "buildah bud --manifest=all"])
def test_several_platforms_are_one_build(command: str, options: str) -> None:
    settings = read(f"{command} {options} .")
    assert settings.platform == "linux/amd64,linux/arm64"
    assert settings.engine_options == (("--manifest=all",) if "manifest" in command else ())


def test_what_points_elsewhere_is_passed_on() -> None:
    with pytest.raises(PassedOn, match="CONTAINER_HOST"):
        read("podman build .", {"CONTAINER_HOST": "ssh://x"})
    with pytest.raises(PassedOn, match="CONTAINER_CONNECTION"):
        read("podman build .", {"CONTAINER_CONNECTION": "x"})
    with pytest.raises(PassedOn, match="BUILDAH_LAYERS"):
        read("buildah build .", {"BUILDAH_LAYERS": "false"})
    assert read("buildah build --layers .", {"BUILDAH_LAYERS": "false"}).engine_options == ()
    for platform in ("linux/s390x", "linux/amd64,linux/s390x"):
        assert read("docker build --platform linux/arm .", {"DOCKER_DEFAULT_PLATFORM": platform}).platform
        command = read_command("docker", ["build", "."], {**BUILDX_MINE, "DOCKER_DEFAULT_PLATFORM": platform})
        assert (command.settings.platform, command.environment["DOCKER_DEFAULT_PLATFORM"]) == (None, platform)
    with pytest.raises(PassedOn, match="DOCKER_BUILDKIT"):
        read("docker build .", {"DOCKER_BUILDKIT": "0"})


@pytest.mark.parametrize(
    "line",
    [
        "docker build -t a -t b --build-arg X=1 --target=t --no-cache -q .",
        "docker build . -ta -tb --build-arg=X=1 --target t --no-cache=true --quiet",
        "docker build -qt a -t=b --build-arg X=0 --build-arg X=1 --target t --no-cache -- .",
    ],
)
def test_an_option_may_be_written_in_many_ways(line: str) -> None:
    expected = BuildSettings(
        context=".", tags=("a", "b"), build_args={"X": "1"}, target="t", no_cache=True, quiet=True, engine="buildkit"
    )
    assert read(line) == expected


def test_what_the_settings_have_no_field_for_goes_to_the_engine() -> None:
    line = "docker buildx build --cache-from type=gha --allow=network.host -D --pull --provenance=false --load ."
    found = read(line)
    assert found.engine_options == (
        "--cache-from=type=gha", "--allow=network.host", "--debug", "--provenance=false",
    )  # fmt: skip
    assert (found.pull, found.load) == (True, True)
    found = read("buildah bud --pull --layers --tls-verify=false -v /a:/b --format docker .")
    assert found.engine_options == ("--pull", "--tls-verify=false", "--volume=/a:/b", "--format=docker")
    assert not found.pull
    assert read("podman build --pull=always .").engine_options == ("--pull=always",)


def test_what_buildx_ignores_is_given_to_it_to_ignore() -> None:
    found = read("docker build --rm --force-rm=true -m 1g --memory-swap=2g -c1 --compress .")
    assert found.engine_options == (
        "--rm", "--force-rm=true", "--memory=1g", "--memory-swap=2g", "--cpu-shares=1", "--compress",
    )  # fmt: skip


def test_files_and_outputs() -> None:
    found = read("docker buildx build -f - -o out --iidfile i --metadata-file m --push .")
    assert found == replace(
        BuildSettings(context="."), file="-", outputs=("out",), iidfile=Path("i"), metadata_file=Path("m"), push=True,
        engine="buildkit",
    )  # fmt: skip


def test_a_build_argument_without_a_value_has_the_environments() -> None:
    assert read("podman build --build-arg A --build-arg B .", {"A": "1"}).build_args == {"A": "1"}


def test_the_progress_that_the_environment_asks_for() -> None:
    assert read("docker build .", {"BUILDKIT_PROGRESS": "plain"}).progress == "plain"
    assert read("docker build --progress tty .", {"BUILDKIT_PROGRESS": "plain"}).progress == "tty"
    assert read("buildah build", {"BUILDKIT_PROGRESS": "plain"}).progress == "auto"


def test_dockers_options_before_the_verb_are_its_variables() -> None:
    words = ["--config", "/c", "-H", "tcp://x", "build", "."]
    environment = read_command("docker", words, {"DOCKER_CONTEXT": "old"}).environment
    assert environment == {"DOCKER_CONFIG": "/c", "DOCKER_HOST": "tcp://x"}
    words = ["--context=new", "build", "."]
    assert read_command("docker", words, {"DOCKER_HOST": "old"}).environment == {"DOCKER_CONTEXT": "new"}


def test_the_builder_is_the_contexts_own_for_docker_build(tmp_path: Path) -> None:
    home = {"HOME": "/nowhere", "DOCKER_CONFIG": str(tmp_path)}
    assert read("docker build .", home).builder == "default"
    assert read("docker image build .", {**home, "DOCKER_CONTEXT": "c"}).builder == "c"
    assert read("docker build .", {**home, "DOCKER_HOST": "unix:///s", "DOCKER_CONTEXT": "c"}).builder == "default"
    assert read("docker build --builder b .", home).builder == "b"
    assert read("docker build .", {**home, "BUILDX_BUILDER": "b"}).builder is None
    assert read("docker buildx build .", home).builder is None
    assert read("docker buildx --builder b build .", home).builder == "b"
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "remote"}))
    assert read("docker build .", home).builder == "remote"
    (tmp_path / "config.json").write_text(json.dumps({"aliases": {"builder": "buildx"}}))
    assert read("docker build .", home).builder is None
    (tmp_path / "config.json").write_text("[")
    assert read("docker build .", home).builder == "default"


@pytest.mark.parametrize("grammar", [BUILDX, CONTAINERS])
def test_what_is_short_is_known_in_full(grammar: Grammar) -> None:
    assert set(grammar.short.values()) <= grammar.values | grammar.flags
    assert not grammar.values & grammar.flags


def test_options_before_the_first_argument() -> None:
    options, rest = BUILDX.leading(["-qD", "--tag=a", "x", "-t", "b"])
    assert options == (Option("quiet", None), Option("debug", None), Option("tag", "a"))
    assert rest == ("x", "-t", "b")
