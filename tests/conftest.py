from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from tests.lab.engines import Engine
from tests.lab.lab import Lab, open_lab

pytest.register_assert_rewrite("tests.e2e.harness")

MakeEngine = Callable[[str], Engine]


# a loaded machine is slow, and that is nobody's fault; who suppresses another check suppresses this one again
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


def pytest_configure() -> None:
    """What a shell starts in the background ignores SIGINT, and so would all that is started here."""
    # most engines are Go programs that end within a second: collecting garbage as usual takes a tenth of their time
    os.environ.setdefault("GOGC", "400")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
    with open_lab(in_memory=True) as opened:
        yield opened


@pytest.fixture
def make_engine(lab: Lab) -> Iterator[MakeEngine]:
    """Makes emptied engines by name (see tests.lab.engines.KINDS), for builds of a few megabytes; their storage goes
    with the test."""
    with _making(lab.small_engine) as make:
        yield make


@pytest.fixture
def make_large_engine(lab: Lab) -> Iterator[MakeEngine]:
    """The same for builds of any size."""
    with _making(lab.engine) as make:
        yield make


@contextlib.contextmanager
def _making(new: MakeEngine) -> Iterator[MakeEngine]:
    with contextlib.ExitStack() as made:

        def make(name: str) -> Engine:
            engine = new(name)
            made.callback(engine.remove)
            return engine

        yield make
