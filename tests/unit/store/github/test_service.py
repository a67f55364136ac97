"""Which service is chosen, by the environments that runners really give."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from layercache_ci.errors import InputError, StoreUnavailable
from layercache_ci.store.github import open_github
from layercache_ci.store.github.service import Service, find_service
from layercache_ci.store.model import Scopes

RESULTS = "https://results-receiver.actions.githubusercontent.com/"
NODE_ACTION = {
    "ACTIONS_RUNTIME_TOKEN": "t",
    "ACTIONS_RESULTS_URL": RESULTS,
    "ACTIONS_CACHE_URL": "https://acghubeus1.actions.githubusercontent.com/x/",
    "ACTIONS_CACHE_SERVICE_V2": "True",
    "GITHUB_SERVER_URL": "https://github.com",
}
CONTAINER_ACTION = {name: value for name, value in NODE_ACTION.items() if name != "ACTIONS_CACHE_SERVICE_V2"}
GHE_COM = {
    "ACTIONS_RUNTIME_TOKEN": "t",
    "ACTIONS_RESULTS_URL": "https://results-receiver.actions.octo.ghe.com",
    "GITHUB_SERVER_URL": "https://octo.ghe.com",
}
GHES = NODE_ACTION | {"GITHUB_SERVER_URL": "https://git.example.com", "ACTIONS_CACHE_URL": "https://git.example.com/c"}
ACT = {
    "ACTIONS_CACHE_URL": "http://10.0.0.2:41234/3f2a/",
    "ACTIONS_RESULTS_URL": "http://10.0.0.2:34567/",
    "ACTIONS_RUNTIME_TOKEN": "t",
    "GITHUB_SERVER_URL": "https://github.com",
}
OTHER_V2 = {"ACTIONS_RUNTIME_TOKEN": "t", "ACTIONS_RESULTS_URL": "http://cache.internal:3000"}
OPEN = Scopes(("main",), "main")


@pytest.mark.parametrize(
    ("environment", "version", "url"),
    [
        (NODE_ACTION, "v2", RESULTS),
        (CONTAINER_ACTION, "v2", RESULTS),
        (GHE_COM, "v2", "https://results-receiver.actions.octo.ghe.com/"),
        (GHES, "v1", "https://git.example.com/c/"),
        (ACT, "v1", "http://10.0.0.2:41234/3f2a/"),
        ({"ACTIONS_CACHE_URL": ACT["ACTIONS_CACHE_URL"]}, "v1", ACT["ACTIONS_CACHE_URL"]),
        (OTHER_V2, "v2", "http://cache.internal:3000/"),
    ],
    ids=["node action", "container action", "ghe.com", "GHES", "act", "act run step", "another server"],
)
def test_the_service_of_a_job(environment: Mapping[str, str], version: str, url: str) -> None:
    service = find_service(environment)
    assert service is not None
    assert (service.version, service.url) == (version, url)


@pytest.mark.parametrize("environment", [{}, {"ACTIONS_RESULTS_URL": RESULTS}, {"GITHUB_SERVER_URL": "https://x.y"}])
def test_a_job_without_a_service(environment: Mapping[str, str]) -> None:
    assert find_service(environment) is None


def test_the_users_choice_comes_first() -> None:
    service = find_service(NODE_ACTION, version="v1")
    assert service is not None
    assert service.url == NODE_ACTION["ACTIONS_CACHE_URL"]


@pytest.mark.parametrize(
    ("mode", "readable", "writable"),
    [
        ("", True, True),
        ("write", True, True),
        ("read", True, False),
        ("write-only", False, True),
        ("none", False, False),
        ("something new", True, True),
    ],
)
def test_the_cache_mode(mode: str, readable: bool, writable: bool) -> None:
    service = find_service(NODE_ACTION | {"ACTIONS_CACHE_MODE": mode})
    assert service is not None
    assert (service.readable, service.writable) == (readable, writable)


def test_the_token_is_not_shown() -> None:
    assert "secret" not in repr(Service("v2", RESULTS, "secret"))


def test_a_job_without_a_service_is_told_so_once(tmp_path: Path) -> None:
    store = open_github("", environment={}, scopes=OPEN, folder=tmp_path)
    with pytest.raises(StoreUnavailable, match="ACTIONS_RUNTIME_TOKEN"):
        store.lookup("namespace", ["key"])
    assert store.lookup("namespace", ["key"]) is None
    assert store.newest("namespace", "stage") is None
    assert store.collect() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_form_that_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="github:v2"):
        open_github("v3", environment=NODE_ACTION, scopes=OPEN, folder=tmp_path)
