from __future__ import annotations

from pathlib import Path

import pytest

from layercache_ci.engines.containers.engine import Engine, detect, enter_user_namespace
from layercache_ci.errors import InputError
from layercache_ci.settings import BuildSettings, Machine


def engine(name: str = "buildah", buildah: str = "1.28.2") -> Engine:
    return Engine(name, f"/usr/bin/{name}", buildah, buildah, Path("/g"), Path("/r"), "overlay")


@pytest.mark.parametrize(
    ("name", "buildah", "options", "pull", "policy"),
    [
        ("buildah", "1.28.2", (), False, "missing"),
        ("buildah", "1.28.2", (), True, "newer"),
        ("buildah", "1.28.2", ("--pull",), False, "newer"),
        ("buildah", "1.28.2", ("--pull=newer",), False, "missing"),
        ("buildah", "1.39.0", ("--pull",), False, "missing"),
        ("buildah", "1.43.2", ("--pull",), False, "always"),
        ("buildah", "1.43.2", ("--pull=newer",), False, "newer"),
        ("podman", "1.28.2", (), False, "missing"),
        ("podman", "1.28.2", ("--pull",), False, "always"),
        ("podman", "1.28.2", ("--pull-never",), False, "never"),
        ("podman", "1.28.2", ("--pull=false",), True, "missing"),
    ],
)
def test_the_pull_policy_is_the_engines_own(
    name: str, buildah: str, options: tuple[str, ...], pull: bool, policy: str
) -> None:
    """Seen on the engines and in their sources: the words changed their meaning between versions."""
    settings = BuildSettings(context=".", engine_options=options, pull=pull)
    assert engine(name, buildah).pull_policy(settings) == policy


def test_a_folder_is_no_option_whatever_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = engine().build_command(BuildSettings(context="--volume=/:/host", file="-x"))
    assert command[-2:] == ["--file=--volume=/:/host/-x", "./--volume=/:/host"]
    assert engine().build_command(BuildSettings(context="-"))[-1] == "-"


def test_a_dockerfile_on_standard_input_has_the_name_that_engines_know() -> None:
    assert engine().build_command(BuildSettings(context="c", file="-"))[-2:] == ["--file=-", "c"]


def test_the_command_has_our_options_in_the_engines_words(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    settings = BuildSettings(
        context=str(tmp_path),
        tags=("a:1", "a:2"),
        target="final",
        build_args={"A": "x y"},
        secrets=("id=s,src=f",),
        network="host",
        no_cache=True,
        pull=True,
        quiet=True,
        iidfile=tmp_path / "iid",
        engine_options=("--squash",),
    )
    command = engine().build_command(settings)
    assert command == [
        "/usr/bin/buildah", "build", "--layers", f"--file={tmp_path}/Dockerfile", "--build-arg=A=x y",
        "--tag=a:1", "--tag=a:2", "--secret=id=s,src=f", "--target=final", "--network=host",
        "--no-cache", "--pull=true", "--squash", str(tmp_path),
    ]  # fmt: skip


def test_engines_of_one_minor_version_are_one_family() -> None:
    assert engine("buildah", "1.28.2").family == engine("podman", "1.28.0").family == "containers-1.28"
    assert engine("buildah", "1.43.2").family == "containers-1.43"


def test_an_engine_that_is_not_there_is_named(tmp_path: Path) -> None:
    machine = Machine({"PATH": str(tmp_path)}, 0, 1, False)
    with pytest.raises(InputError, match="--engine: 'podman' needs podman"):
        detect("podman", machine)


def test_root_needs_no_user_namespace(tmp_path: Path) -> None:
    assert enter_user_namespace("auto", Machine({"PATH": str(tmp_path)}, 0, 1, False)) is None
