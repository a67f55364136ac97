"""Which store a run uses, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from layercache_ci.ci.choice import BASES_ARE_SAVED, choose
from layercache_ci.errors import InputError
from layercache_ci.settings import BaseImages, BuildSettings, Machine, S3Options, Tier
from layercache_ci.store import StoreChoice, open_store
from layercache_ci.store.model import Scopes

SERVICE = {"ACTIONS_RESULTS_URL": "https://results.example/", "ACTIONS_RUNTIME_TOKEN": "token"}
V1 = {"ACTIONS_CACHE_URL": "http://127.0.0.1:1/x/"}
NO_TOKEN = {"ACTIONS_RESULTS_URL": "https://results.example/"}


def chosen(environment: dict[str, str], **settings: Any) -> tuple[str, str]:
    machine = Machine({"HOME": "/h", **environment}, uid=0, cpus=2, terminal=False)
    found = choose(BuildSettings(context=".", **settings), machine)
    return found.store.location, found.why


@pytest.mark.parametrize(
    ("environment", "settings", "location", "why"),
    [
        ({}, {}, "local", "no cache service"),
        ({}, {"store": "local:/x"}, "local:/x", "--store"),
        (SERVICE, {}, "github", "cache service (v2)"),
        (V1, {}, "github", "cache service (v1)"),
        (NO_TOKEN, {}, "local", "ACTIONS_RUNTIME_TOKEN"),
        (SERVICE, {"s3_bucket": "b/p"}, "s3://b/p", "bucket"),
        (SERVICE, {"s3_bucket": "s3://b"}, "s3://b", "bucket"),
        (SERVICE, {"store": "local", "s3_bucket": "b"}, "local", "--store"),
        (SERVICE, {"store": " "}, "github", "cache service"),
    ],
)
def test_the_store(environment: dict[str, str], settings: dict[str, Any], location: str, why: str) -> None:
    found, reason = chosen(environment, **settings)
    assert found == location
    assert why in reason


def test_a_bucket_without_a_name_is_refused() -> None:
    with pytest.raises(InputError, match=r"--s3-bucket: 's3://'.*BUCKET"):
        chosen({}, s3_bucket="s3://")


def test_a_run_that_may_not_write_is_told_so() -> None:
    machine = Machine({}, uid=0, cpus=2, terminal=False)
    assert choose(BuildSettings(context="."), machine).notes == []
    assert choose(BuildSettings(context=".", mode="off"), machine).notes == ["the cache is not used: --mode off"]
    (note,) = choose(BuildSettings(context=".", mode="read-only"), machine).notes
    assert note == "the cache is only read: --mode read-only"


def test_a_choice_goes_to_another_process_whole() -> None:
    choice = StoreChoice(
        "s3://b/p",
        Path("/home/cache"),
        ("feature", "main"),
        None,
        10**9,
        S3Options(endpoint="http://127.0.0.1:1", access_key="a", secret_key="hushed", path_style=True),
        Tier(Path("/tier"), 5),
    )
    assert StoreChoice.from_json(json.loads(json.dumps(choice.to_json()))) == choice
    assert choice.scopes == Scopes(("feature", "main"), None)
    assert "hushed" not in repr(choice)


@pytest.mark.parametrize("location", ["nowhere", "local:", "nowhere:x", "", "s3:"])
def test_a_store_that_is_none_is_refused(location: str) -> None:
    with pytest.raises(InputError, match=r"--store .*s3://BUCKET/PREFIX, github"):
        open_store(StoreChoice(location, Path("/x"), (), None))


def test_a_local_store_needs_no_tier(tmp_path: Path) -> None:
    choice = StoreChoice(f"local:{tmp_path}", tmp_path, ("own",), "own", tier=Tier(tmp_path / "tier", 5))
    assert open_store(choice).location == f"local:{tmp_path}"


@pytest.mark.parametrize(("wished", "warnings"), [("auto", ()), ("true", ()), ("false", (BASES_ARE_SAVED,))])
def test_base_images_are_saved_whatever_is_wished(wished: BaseImages, warnings: tuple[str, ...]) -> None:
    machine = Machine({"HOME": "/h"}, uid=0, cpus=2, terminal=False)
    assert choose(BuildSettings(context=".", cache_base_images=wished), machine).policy.warnings == warnings
