"""What `layercache doctor` says of the GitHub cache: it asks the service, and claims to know no more than that."""

from __future__ import annotations

from pathlib import Path

import pytest

from layercache_ci.cli import run
from layercache_ci.store.github import open_github
from tests.contract.samples import save
from tests.fakes.github_cache import CacheServer
from tests.integration.store.github.conftest import MAIN
from tests.integration.store.github.test_list import environment

SERVICE = ("ACTIONS_RESULTS_URL", "ACTIONS_CACHE_URL", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_CACHE_SERVICE_V2")


@pytest.fixture(autouse=True)
def _no_other_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*SERVICE, "GITHUB_TOKEN", "GITHUB_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def of_the_store(capsys: pytest.CaptureFixture[str]) -> str:
    """The last line."""
    run(["doctor", "--store", "github"])
    return capsys.readouterr().out.splitlines()[-1]


def test_a_run_step_is_told_what_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    said = of_the_store(capsys)
    assert said.startswith("BAD  store github: the GitHub cache can't be reached: ACTIONS_RESULTS_URL or ")
    assert "given to actions only, not to run steps" in said


def test_what_it_holds_only_the_rest_api_tells(
    server: CacheServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(open_github("", environment=server.environment(), scopes=MAIN, folder=tmp_path / "job"), [("a", b"a")])
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    assert of_the_store(capsys) == (
        "ok   store github:v2 answers (what it holds: `layercache stats`, with GITHUB_TOKEN)"
    )
    for name, value in environment(server).items():
        monkeypatch.setenv(name, value)
    assert of_the_store(capsys).startswith("ok   store github:v2: 1 records, ")


def test_a_service_that_refuses_is_bad(
    server: CacheServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in server.environment(token="expired").items():
        monkeypatch.setenv(name, value)
    assert of_the_store(capsys).startswith("BAD  store github:v2: ")
