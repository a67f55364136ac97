from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.backends import BACKENDS, INAPPLICABLE, Backend, names


@pytest.fixture(params=names())
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    return BACKENDS[request.param](tmp_path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if _is_inapplicable(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _is_inapplicable(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return False
    names = {item.callspec.params.get("backend"), item.callspec.params.get("name")}
    return any(item.originalname in tests for name, tests in INAPPLICABLE.items() if name in names)
