from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from layercache_ci.store.github.http import retry_after


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), (" 0 ", 0), ("", 5), ("soon", 5)])
def test_retry_after_in_seconds(header: str, seconds: float) -> None:
    assert retry_after(header) == seconds


def test_retry_after_as_a_date() -> None:
    assert 50 < retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=60))) <= 60
    assert retry_after(format_datetime(datetime.now(UTC) - timedelta(seconds=60))) == 0
