from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from layercache_ci.engines.buildkit.cacheconfig import CacheConfig, CacheLayer, CacheResult
from layercache_ci.errors import CacheError

from .configs import configs, real


@given(configs())
def test_json_and_back_is_the_same(config: CacheConfig) -> None:
    assert CacheConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize("name", ["three", "twin"])
def test_a_real_config_is_read_and_written_as_it_was(name: str) -> None:
    theirs = real(name)["config"]
    ours = CacheConfig.from_json(theirs).to_json()
    for layer in theirs["layers"]:
        layer.setdefault("parent", 0)  # Go leaves out a zero
    assert ours == theirs


def test_a_chain_starts_at_the_base() -> None:
    config = CacheConfig((CacheLayer("top", 2), CacheLayer("base"), CacheLayer("middle", 1)))
    assert config.chain_of(0) == ("base", "middle", "top")


def test_a_listed_result_brings_no_parents() -> None:
    config = CacheConfig((CacheLayer("base"), CacheLayer("top", 0)))
    assert config.chain(CacheResult((1,), "2026-01-01T00:00:00Z", listed=True)) == ("top",)
    assert config.chain(CacheResult((1,), "2026-01-01T00:00:00Z")) == ("base", "top")


def test_go_leaves_out_what_is_zero() -> None:
    config = CacheConfig.from_json({"layers": [{"blob": "a", "parent": -1}, {"blob": "b"}]})
    assert config.layers == (CacheLayer("a"), CacheLayer("b", 0))
    assert CacheConfig.from_json({}) == CacheConfig()


def test_a_time_without_a_zone_and_with_nanoseconds_is_one() -> None:
    early, late = CacheResult((0,), "2026-01-01T00:00:00.000000001+02:00"), CacheResult((0,), "2026-01-01T00:00:00")
    assert early.age < late.age


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "text",
        {"layers": {}},
        {"layers": [1]},
        {"layers": [{"blob": 1}]},
        {"layers": [{"blob": ""}]},
        {"layers": [{"blob": "a", "parent": 1}]},
        {"layers": [{"blob": "a", "parent": 0}]},
        {"layers": [{"blob": "a", "parent": -2}]},
        {"layers": [{"blob": "a", "parent": True}]},
        {"layers": [{"blob": "a", "parent": 1}, {"blob": "b", "parent": 0}]},
        {"records": [{}]},
        {"records": [{"digest": "a", "inputs": [[]]}]},
        {"records": [{"digest": "a", "inputs": [[{"link": 0}]]}]},
        {"records": [{"digest": "a", "inputs": [[{"link": 7}]]}]},
        {"records": [{"digest": "a", "inputs": [[{"link": 1, "selector": 3}]]}, {"digest": "b"}]},
        {"records": [{"digest": "a", "layers": [{"layer": 0}]}]},
        {"records": [{"digest": "a", "chains": [{"layers": [0]}]}]},
        {"records": [{"digest": "a", "chains": [{"layers": []}]}]},
        {"layers": [{"blob": "a", "parent": -1}], "records": [{"digest": "a", "layers": [{"createdAt": "no time"}]}]},
    ],
)
def test_what_is_malformed_is_a_fault_of_the_cache(value: Any) -> None:
    with pytest.raises(CacheError, match="malformed"):
        CacheConfig.from_json(value)


def test_a_chain_of_thousands_is_no_trouble() -> None:
    records = [{"digest": "r"}, *({"digest": "r", "inputs": [[{"link": at}]]} for at in range(5000))]
    assert len(CacheConfig.from_json({"records": records}).records) == 5001
