"""What comes of a builder that answers late, wrongly or not at all, with a `docker` that says what the test wants."""

from __future__ import annotations

from pathlib import Path

import pytest

from layercache_ci.engines.buildkit.build import prepare
from layercache_ci.engines.buildkit.builders import find, why_buildkit
from layercache_ci.engines.buildkit.ours import for_cache
from layercache_ci.errors import CacheError, InputError
from layercache_ci.settings import BuildSettings
from tests.unit.engines.buildkit.fake_docker import calls, fails, fake_docker, says

SETTINGS = BuildSettings(context=".")
BOOT, AGAIN = "'buildx inspect --bootstrap'*", "'buildx inspect'*"
RUNNING = """\
Name:   slow
Driver: docker-container

Nodes:
Name:             slow0
Endpoint:         unix:///d.sock
Status:           running
BuildKit version: v0.25.0
"""
LATE = """\
Name:   slow
Driver: docker-container

Nodes:
Name:     slow0
Endpoint: unix:///d.sock
Error:    Get "http://d.sock/json": context deadline exceeded
"""
"""buildx 0.29, where the image of the builder took 22 s to pull; its exit code is 0."""
VERSION = "buildx version"
INACTIVE = RUNNING.replace("running", "inactive").replace("BuildKit version: v0.25.0\n", "")


def inspections(folder: Path) -> list[str]:
    """The calls of docker but the one that is made beside them."""
    return [call for call in calls(folder) if call != VERSION]


def test_a_builder_that_boots_slowly_is_asked_again(tmp_path: Path) -> None:
    builder = find(SETTINGS, fake_docker(tmp_path, {BOOT: says(LATE), AGAIN: says(RUNNING)}))
    assert (builder.name, builder.version, builder.uncached) == ("slow", "v0.25.0", "")
    assert inspections(tmp_path) == ["buildx inspect --bootstrap", "buildx inspect"]


def test_one_that_answers_is_asked_once(tmp_path: Path) -> None:
    assert find(SETTINGS, fake_docker(tmp_path, {BOOT: says(RUNNING)})).version == "v0.25.0"
    assert inspections(tmp_path) == ["buildx inspect --bootstrap"]


def test_a_byte_that_is_no_text_ends_no_build(tmp_path: Path) -> None:
    said = RUNNING + "Labels:\n x.y: caf\\351\n org.mobyproject.buildkit.worker.hostname: runner\n"
    machine = fake_docker(tmp_path, {BOOT: f"printf '{said}'"})
    assert find(SETTINGS, machine).hostname == "runner"


@pytest.mark.parametrize("again", [says(INACTIVE), says(LATE), fails("ERROR: anything")])
def test_one_that_does_not_answer_is_not_cached(tmp_path: Path, again: str) -> None:
    builder = find(SETTINGS, fake_docker(tmp_path, {BOOT: fails("ERROR: no such image"), AGAIN: again}))
    assert "no such image" in builder.uncached
    with pytest.raises(CacheError, match="no such image"):
        for_cache(builder, fake_docker(tmp_path, {}))
    assert len(inspections(tmp_path)) == 2, "no builder of ours is made for it"


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ('ERROR: no builder "gone" found', "BUILDX_BUILDER: there is no builder 'gone'"),
        ("docker: unknown command: docker buildx\n\nRun 'docker --help' for more information", "buildx plugin"),
    ],
)
def test_what_the_user_named_wrongly_is_their_input(tmp_path: Path, said: str, named: str) -> None:
    machine = fake_docker(tmp_path, {BOOT: fails(said)}, BUILDX_BUILDER="gone")
    with pytest.raises(InputError, match=named):
        find(SETTINGS, machine)


@pytest.mark.parametrize(("named", "words"), [(None, "buildx build --file="), ("far", "buildx build --builder=far")])
def test_what_does_not_answer_builds_as_it_does_without_us(tmp_path: Path, named: str | None, words: str) -> None:
    machine = fake_docker(tmp_path, {BOOT: fails("ERROR: nobody there"), "'buildx build'*": "exit 7"})
    settings = BuildSettings(context=str(tmp_path), builder=named, store=f"local:{tmp_path}/store")
    build = prepare(settings, machine, find(settings, machine))

    build.plan()
    build.restore()

    assert build.run(None) == 7
    assert calls(tmp_path)[-1].startswith(words)
    assert build.warnings == ["built without the cache: docker buildx inspect: ERROR: nobody there"]


CLASSIC = """\
Name:   default
Driver: docker

Nodes:
Name:             default
Endpoint:         default
Status:           running
BuildKit version: v0.12.5
Platforms:        linux/amd64
"""
"""A daemon that can't export a cache."""


def told(number: str) -> str:
    return says(f"github.com/docker/buildx {number} 0123abc")


def test_a_buildx_of_old_builds_as_it_does_without_us(tmp_path: Path) -> None:
    answers = {BOOT: says(CLASSIC), f"'{VERSION}'": told("v0.9.1"), "'buildx build'*": "exit 7"}
    machine = fake_docker(tmp_path, answers)
    settings = BuildSettings(context=str(tmp_path), store=f"local:{tmp_path}/store")
    builder = find(settings, machine)
    with pytest.raises(CacheError, match="too old"):
        for_cache(builder, machine)
    build = prepare(settings, machine, builder)

    build.plan()
    build.restore()

    assert build.run(None) == 7
    said = "buildx 0.9.1 is too old for a cache, which needs 0.20 or newer; update docker's buildx plugin"
    assert build.warnings == [f"built without the cache: {said}"]
    _, words = inspections(tmp_path)
    assert words.startswith("buildx build --builder=default ")
    assert "--provenance" not in words


@pytest.mark.parametrize(
    "version", [told("v0.20.0"), told("0.29.1+ds1"), told("v0.0.0+unknown"), told("dev"), "exit 1"]
)
def test_a_buildx_that_is_new_enough_or_does_not_tell_is_used(tmp_path: Path, version: str) -> None:
    assert find(SETTINGS, fake_docker(tmp_path, {BOOT: says(RUNNING), f"'{VERSION}'": version})).uncached == ""


def test_who_chooses_the_engine_has_asked_already(tmp_path: Path) -> None:
    answers = {BOOT: says(RUNNING), f"'{VERSION}'": told("v0.19.3")}
    machine = fake_docker(tmp_path, answers, DOCKER_HOST="tcp://far:1")
    assert why_buildkit(SETTINGS, machine)
    assert "0.19.3" in find(SETTINGS, machine).uncached
    assert calls(tmp_path).count(VERSION) == 1
