from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.oracle.client import Oracle


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    with Oracle() as process:
        yield process
