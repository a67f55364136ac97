"""What docker is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from layercache_ci.engines.buildkit.command import build_words, export_words
from layercache_ci.settings import BuildSettings

EVERYTHING = BuildSettings(
    context="ctx",
    file="sub/Dockerfile",
    tags=("a:1", "b:2"),
    target="final",
    build_args={"VERSION": "1", "NAME": "two words", "EMPTY": ""},
    build_contexts={"assets": "../assets"},
    platform="linux/arm64",
    labels=("x=y",),
    secrets=("id=token,env=TOKEN",),
    ssh=("default",),
    network="host",
    no_cache=True,
    pull=True,
    push=True,
    load=True,
    outputs=("type=local,dest=out",),
    add_hosts=("db:10.0.0.1",),
    shm_size="64m",
    ulimits=("nofile=1024",),
    iidfile=Path("id"),
    metadata_file=Path("theirs.json"),
    progress="plain",
)
INPUTS = {
    "--file=sub/Dockerfile",
    "--build-arg=VERSION=1",
    "--build-arg=NAME=two words",
    "--build-arg=EMPTY=",
    "--build-context=assets=../assets",
    "--label=x=y",
    "--secret=id=token,env=TOKEN",
    "--ssh=default",
    "--add-host=db:10.0.0.1",
    "--ulimit=nofile=1024",
    "--target=final",
    "--platform=linux/arm64",
    "--network=host",
    "--shm-size=64m",
    "--pull",
}


def build(
    settings: BuildSettings, *, stands_in: bool = False, environment: Mapping[str, str] | None = None
) -> list[str]:
    words = build_words(
        settings,
        builder="b",
        environment=environment or {},
        cache_from=("type=registry,ref=r",),
        metadata=Path("m.json"),
        stands_in=stands_in,
    )
    assert words[:4] == ["docker", "buildx", "build", "--builder=b"]
    return words[4:]


def export(settings: BuildSettings, *, stands_in: bool = False) -> list[str]:
    words = export_words(
        settings,
        builder="b",
        environment={},
        cache_from=("type=registry,ref=r",),
        cache_to="type=registry,ref=w",
        metadata=Path("m.json"),
        stands_in=stands_in,
    )
    assert words[:4] == ["docker", "buildx", "build", "--builder=b"]
    return words[4:]


def test_every_option_of_the_users_arrives_and_the_context_comes_last() -> None:
    words = build(EVERYTHING)

    assert set(words[:-1]) == INPUTS | {
        "--tag=a:1",
        "--tag=b:2",
        "--output=type=local,dest=out",
        "--cache-from=type=registry,ref=r",
        "--push",
        "--load",
        "--no-cache",
        "--iidfile=id",
        "--metadata-file=m.json",
        "--progress=plain",
    }
    assert words[-1] == "ctx"


def test_a_plain_build_gets_nothing_that_was_not_asked_for() -> None:
    plain = BuildSettings(context=".", file="Dockerfile")

    assert build(plain) == [
        "--file=Dockerfile",
        "--cache-from=type=registry,ref=r",
        "--metadata-file=m.json",
        "--progress=auto",
        ".",
    ]


def test_the_dockerfile_is_the_one_that_was_planned(tmp_path: Path) -> None:
    (tmp_path / "dockerfile").touch()

    assert f"--file={tmp_path / 'dockerfile'}" in build(BuildSettings(context=str(tmp_path)))


@pytest.mark.parametrize(("file", "words"), [(None, []), ("sub/Dockerfile", ["--file=sub/Dockerfile"])])
def test_a_remote_context_has_its_dockerfile_inside(file: str | None, words: list[str]) -> None:
    settings = BuildSettings(context="https://example.org/r.git", file=file)

    assert [word for word in build(settings) if word.startswith("--file")] == words


def test_a_folder_is_no_option_whatever_it_is_called() -> None:
    odd = BuildSettings(context="--allow=security.insecure", file="Dockerfile")

    assert build(odd)[-1] == export(odd)[-1] == "./--allow=security.insecure"
    assert build(BuildSettings(context="-"))[-1] == "-"


def test_quiet_shows_no_progress() -> None:
    assert "--progress=quiet" in build(BuildSettings(context=".", quiet=True, progress="plain"))


def test_a_build_argument_out_of_the_environment_is_named_only() -> None:
    settings = BuildSettings(context=".", build_args={"TOKEN": "secret", "A": "1", "HOME": "/other"})

    words = build(settings, environment={"TOKEN": "secret", "HOME": "/root"})

    assert [word for word in words if "build-arg" in word] == [
        "--build-arg=TOKEN",
        "--build-arg=A=1",
        "--build-arg=HOME=/other",
    ]


def test_engine_options_come_after_ours_and_so_win() -> None:
    words = build(BuildSettings(context=".", engine_options=("--metadata-file=theirs", "--progress", "tty")))

    assert words[-5:] == ["--progress=auto", "--metadata-file=theirs", "--progress", "tty", "."]


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ((), ["--load"]),
        (("type=image",), ["--output=type=docker"]),
        (("type=image,name=a",), ["--output=type=docker,name=a"]),
        (("name=a,type=image",), ["--output=type=docker,name=a"]),
        (("type=image,name=a,push=false",), ["--output=type=docker,name=a"]),
        (("type=image,name=a,push=true",), ["--output=type=image,name=a,push=true", "--output=type=docker,name=a"]),
        (("type=registry,name=a",), ["--output=type=registry,name=a", "--output=type=docker,name=a"]),
        (("type=local,dest=out",), ["--output=type=local,dest=out"]),
        (("out",), ["--output=out"]),
    ],
)
def test_what_stands_in_for_the_daemons_builder_leaves_images_in_the_daemon(
    outputs: tuple[str, ...], expected: list[str]
) -> None:
    words = build(BuildSettings(context=".", outputs=outputs), stands_in=True)

    assert [word for word in words if word.startswith(("--output", "--load"))] == expected
    assert "--provenance=false" in words


def test_what_stands_in_pushes_and_loads() -> None:
    words = build(BuildSettings(context=".", push=True), stands_in=True)

    assert {"--push", "--load"} <= set(words)
    words = build(BuildSettings(context=".", push=True, outputs=("type=image,name=a",)), stands_in=True)
    assert {"--push", "--output=type=image,name=a", "--output=type=docker,name=a"} <= set(words)


def test_a_dockerfile_that_buildx_fetches_stays_a_url() -> None:
    words = build(BuildSettings(context=".", file="https://example.com//Dockerfile"))

    assert "--file=https://example.com//Dockerfile" in words


def test_what_stands_in_may_use_the_hosts_network_where_the_daemon_would() -> None:
    for words in (build(EVERYTHING, stands_in=True), export(EVERYTHING, stands_in=True)):
        assert "--allow=network.host" in words
    for words in (
        build(EVERYTHING),
        export(EVERYTHING),
        build(BuildSettings(context="."), stands_in=True),
    ):
        assert "--allow=network.host" not in words


@pytest.mark.parametrize("stands_in", [False, True])
def test_an_export_builds_the_same_and_has_no_result_but_the_cache(stands_in: bool) -> None:
    words = export(EVERYTHING, stands_in=stands_in)

    assert set(words[:-1]) - {"--allow=network.host"} == INPUTS | {
        "--cache-from=type=registry,ref=r",
        "--cache-to=type=registry,ref=w",
        "--output=type=cacheonly",
        "--metadata-file=m.json",
        "--progress=rawjson",
    }
    assert words[-1] == "ctx"


@pytest.mark.parametrize(
    "dropped",
    [
        ("--output", "X"),
        ("--output=X",),
        ("-o", "X"),
        ("-oX",),
        ("-o=X",),
        ("--tag", "X"),
        ("-t", "X"),
        ("-tX",),
        ("-qtX",),
        ("-qt", "X"),
        ("--push",),
        ("--push=true",),
        ("--load",),
        ("--no-cache",),
        ("--no-cache-filter", "X"),
        ("--quiet",),
        ("-q",),
        ("--progress", "plain"),
        ("--provenance", "mode=max"),
        ("--provenance=false",),
        ("--sbom", "true"),
        ("--attest", "type=sbom"),
        ("--annotation", "a=b"),
        ("--cache-to", "type=inline"),
        ("--metadata-file", "m"),
        ("--iidfile", "i"),
    ],
)
def test_an_export_leaves_out_engine_options_about_the_result(dropped: tuple[str, ...]) -> None:
    settings = BuildSettings(
        context=".", engine_options=("--allow", "security.insecure", *dropped, "--cgroup-parent=/a")
    )

    assert export(settings)[-4:] == ["--allow", "security.insecure", "--cgroup-parent=/a", "."]


@pytest.mark.parametrize("given", [("--cache-from", "type=gha"), ("--cache-from=type=gha",)])
def test_an_export_imports_what_the_build_did(given: tuple[str, ...]) -> None:
    """Ours and theirs: a layer that was imported and never downloaded is only exported where its source is known."""
    words = export(BuildSettings(context=".", engine_options=("--tag=X", *given)))

    assert words[-1 - len(given) : -1] == list(given)
    assert "--cache-from=type=registry,ref=r" in words


@pytest.mark.parametrize(
    ("attests", "stands_in", "expected"),
    [(True, False, ["--provenance=mode=max"]), (False, False, []), (True, True, ["--provenance=false"])],
)
def test_what_is_attested_by_default(attests: bool, stands_in: bool, expected: list[str]) -> None:
    words = build_words(
        BuildSettings(context=".", provenance="mode=max"),
        builder="b", environment={}, cache_from=(), metadata=None, stands_in=stands_in, attests=attests,
    )  # fmt: skip
    assert [word for word in words if word.startswith("--provenance")] == expected
