"""Cache configs for tests: drawn ones, and those of real exports in tests/data/buildkit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st

from layercache_ci.engines.buildkit.cacheconfig import CacheConfig, CacheInput, CacheLayer, CacheRecord, CacheResult

DATA: Final = Path(__file__).parents[3] / "data" / "buildkit"


def real(name: str) -> dict[str, Any]:
    """What a real build gave: `config`, `manifest` and the `metadata` file's provenance."""
    found: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    return found


def blob(number: int) -> str:
    return f"sha256:{number:064x}"


def time(second: int) -> str:
    return f"2026-01-01T00:00:{second:02}.5Z"


@st.composite
def configs(draw: Callable[[st.SearchStrategy[Any]], Any]) -> CacheConfig:
    """Small configs out of few digests, so that two of them have things in common."""
    layers: list[CacheLayer] = []
    for index in range(draw(st.integers(0, 5))):
        parent = draw(st.none() | st.integers(0, index - 1)) if index else None
        layers.append(CacheLayer(blob(draw(st.integers(0, 3))), parent))
    records: list[CacheRecord] = []
    for index in range(draw(st.integers(0, 5))):
        one = st.builds(CacheInput, st.integers(0, max(0, index - 1)), st.sampled_from(["", "s"]))
        inputs = draw(st.lists(st.lists(one, min_size=1, max_size=2).map(tuple), max_size=2 if index else 0).map(tuple))
        results = draw(st.lists(_results(len(layers)), max_size=2)) if layers else []
        results.sort(key=lambda result: result.listed)
        records.append(CacheRecord(blob(draw(st.integers(10, 13))), inputs, tuple(results)))
    return CacheConfig(tuple(layers), tuple(records))


def _results(layers: int) -> st.SearchStrategy[CacheResult]:
    index = st.integers(0, layers - 1)
    created = st.integers(0, 9).map(time)
    return st.builds(CacheResult, st.tuples(index), created) | st.builds(
        CacheResult, st.lists(index, min_size=1, max_size=3).map(tuple), created, st.just(value=True)
    )
