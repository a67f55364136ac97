from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.lab.engines import Engine
from tests.lab.lab import Lab, open_lab

MakeEngine = Callable[[str], Engine]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-rows", action="store_true", help="run the whole matrix: every row on every engine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is marked `all_rows`, unless the whole matrix is asked for."""
    if config.getoption("--all-rows"):
        return
    left_out = [item for item in items if item.get_closest_marker("all_rows")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Emptied engines and a registry with base images; a test that can't have them fails."""
    with open_lab() as opened:
        yield opened


@pytest.fixture
def make_engine(lab: Lab) -> Iterator[MakeEngine]:
    """Makes emptied engines by name (see tests.lab.engines.KINDS); their storage goes with the test."""
    made: list[Engine] = []

    def make(name: str) -> Engine:
        engine = lab.engine(name)
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.remove()
