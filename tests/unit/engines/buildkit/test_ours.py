"""Builders of ours among others, with a `docker` that says what the test wants."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.diagnose import diagnose
from layercache_ci.engines.buildkit.ours import for_cache, list_ours, remove_ours, stand_in
from layercache_ci.errors import CacheError, InputError
from layercache_ci.settings import BuildSettings
from tests.unit.engines.buildkit.fake_docker import calls, fails, fake_docker, says

LIST, REMOVE = "'buildx ls'*", "'buildx rm'*"
OURS = "layercache-0123456789ab"


@pytest.mark.parametrize("name", ["layercache-team", "layercache-0123456789abc", "layercache-0123456789AB"])
def test_what_only_begins_like_ours_is_not_removed(tmp_path: Path, name: str) -> None:
    rows = [{"Name": each, "Driver": "docker-container", "Nodes": [{"Endpoint": "default"}]} for each in (OURS, name)]
    machine = fake_docker(tmp_path, {LIST: says("\n".join(map(json.dumps, rows))), REMOVE: "true"})

    assert [listed.name for listed in list_ours(machine)] == [OURS]
    with pytest.raises(InputError, match=f"NAME: '{name}' is no builder of ours"):
        remove_ours(name, machine)
    remove_ours(OURS, machine)
    assert [call for call in calls(tmp_path) if call.startswith("buildx rm")] == [f"buildx rm --force {OURS}"]


TLS = {"DOCKER_HOST": "tcp://docker:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs/client"}
"""GitLab's services: [docker:dind]."""
CLASSIC = "Name:   default\nDriver: docker\n\nNodes:\nName:     default\nEndpoint: default\nStatus:   running\n"


def classic(endpoint: str) -> Builder:
    return Builder(name="d", driver="docker", node="d", endpoint=endpoint, version="", exports_cache=False)


@pytest.mark.parametrize("endpoint", ["default", "tcp://docker:2376"])
def test_none_is_made_where_it_would_not_get_the_certificates(tmp_path: Path, endpoint: str) -> None:
    machine = fake_docker(tmp_path, {"*": "true"}, **TLS)
    with pytest.raises(CacheError, match="certificates that DOCKER_TLS_VERIFY asks for; switch the daemon to"):
        for_cache(classic(endpoint), machine)
    assert not (tmp_path / "calls").exists()


@pytest.mark.parametrize(
    ("endpoint", "variables"),
    [
        ("mine", TLS),
        ("default", {"DOCKER_HOST": "tcp://docker:2375"}),
        ("default", {**TLS, "DOCKER_HOST": "unix:///d.sock"}),
    ],
)
def test_one_is_made_where_certificates_are_not_its_matter(
    tmp_path: Path, endpoint: str, variables: dict[str, str]
) -> None:
    answers = {"'buildx inspect'*": fails('ERROR: no builder "x" found'), "*": "exit 7"}
    remedy = (
        "no builder that can export a cache: .*exit code 7; use a builder of yours .*or Docker's containerd image store"
    )
    with pytest.raises(CacheError, match=remedy):
        for_cache(classic(endpoint), fake_docker(tmp_path, answers, **variables))
    assert calls(tmp_path)


def test_the_doctor_says_so(tmp_path: Path) -> None:
    machine = fake_docker(tmp_path, {"'buildx inspect'*": says(CLASSIC), "'buildx ls'*": "true"}, **TLS)
    *_, (good, line) = diagnose(BuildSettings(context="."), machine)
    assert good is False
    assert "DOCKER_TLS_VERIFY" in line


@pytest.mark.parametrize(
    "options",
    [("--allow=security.insecure",), ("--allow", "device=vendor.com/gpu"), ("--allow=network.host,device",)],
)
def test_none_stands_in_for_a_builder_that_may_be_told_to_grant_more(options: tuple[str, ...]) -> None:
    """The daemon's configuration says what its own grants; a build that asks for more of ours would fail."""
    with pytest.raises(CacheError, match=r"^--allow=[ds].*: only the daemon's own builder"):
        stand_in(BuildSettings(context=".", engine_options=options), classic("default"))
    plain = BuildSettings(context=".", engine_options=("--allow=network.host",))
    assert stand_in(plain, classic("default")) is plain
