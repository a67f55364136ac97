from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layercache_ci.errors import InputError
from layercache_ci.settings import (
    ENGINE_CHOICES,
    BuildSettings,
    EngineChoice,
    Machine,
    assignments,
    demand_buildable,
    parse_size,
    without_credentials,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [("10GB", 10**10), ("500m", 5 * 10**8), ("1.5 TB", 1_500_000_000_000), ("7", 7), ("2GiB", 2 << 30), ("4kib", 4096)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text, name="--max-size") == size


@given(st.text())
def test_a_size_is_read_or_refused_by_name(text: str) -> None:
    try:
        size = parse_size(text, name="--max-size")
    except InputError as error:
        said = str(error)
    else:
        said = f"--max-size: {size}" if size >= 0 else "a negative size"
    assert said.startswith("--max-size: ")


def test_assignments_take_a_bare_name_from_the_environment_and_the_last_of_a_name() -> None:
    words = ["A=1", "HOME", "A=2=3", "ABSENT"]
    assert assignments(words, name="--build-arg", environment={"HOME": "/h"}) == {"A": "2=3", "HOME": "/h"}


@pytest.mark.parametrize("word", ["", "=x", "bare"])
def test_an_assignment_without_name_or_value_is_refused(word: str) -> None:
    with pytest.raises(InputError, match="--build-context"):
        assignments([word], name="--build-context")


def test_places_follow_the_environment() -> None:
    machine = Machine({"XDG_CACHE_HOME": "/c", "TMPDIR": "/t"}, uid=0, cpus=2, terminal=False)
    assert machine.cache_home == Path("/c/layercache")
    assert machine.scratch == Path("/t/layercache-0")
    assert not machine.rootless
    assert Machine({"HOME": "/h"}, 1000, 2, False).cache_home == Path("/h/.cache/layercache")


def test_inside_a_user_namespace_it_is_rootless_and_keeps_the_users_own_scratch() -> None:
    inside = {"_CONTAINERS_USERNS_CONFIGURED": "done", "_CONTAINERS_ROOTLESS_UID": "1000"}
    machine = Machine(inside, uid=0, cpus=2, terminal=False)
    assert machine.rootless
    assert machine.scratch.name == "layercache-1000"


def test_a_containerfile_comes_before_a_dockerfile(tmp_path: Path) -> None:
    settings = BuildSettings(context=str(tmp_path))
    assert settings.dockerfile == tmp_path / "Dockerfile"
    (tmp_path / "Containerfile").write_text("FROM scratch\n")
    assert settings.dockerfile == tmp_path / "Containerfile"


@pytest.mark.parametrize("context", ["https://github.com/a/b.git#main", "git@github.com:a/b.git", "-"])
def test_remote_contexts(context: str) -> None:
    assert BuildSettings(context=context).remote_context
    assert not BuildSettings(context=".").remote_context


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://github.com/o/r.git#main:sub@2", "https://github.com/o/r.git#main:sub@2"),
        ("https://me:pw@github.com/o/r.git", "https://github.com/o/r.git"),
        ("https://token@github.com:8443/o/r.git#main", "https://github.com:8443/o/r.git#main"),
        ("https://me:p@w@github.com/@x", "https://github.com/@x"),
        ("all=https://me:pw@host/r.git", "all=https://host/r.git"),
        ("https://host/context.tar?X-Amz-Signature=x&y", "https://host/context.tar?..."),
        ("https://host/r.git?ref=x#y", "https://host/r.git?...#y"),
        ("git@github.com:o/r.git", "git@github.com:o/r.git"),
        ("a@b?c", "a@b?c"),
    ],
)
def test_what_others_see_of_a_url_gives_no_access(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


@pytest.mark.parametrize("engine", ENGINE_CHOICES)
def test_a_dockerfile_on_standard_input_is_the_engines_to_read(tmp_path: Path, engine: EngineChoice) -> None:
    settings = BuildSettings(context=str(tmp_path), file="-", engine=engine)
    demand_buildable(settings)
    assert settings.piped_file
