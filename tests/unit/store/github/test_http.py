from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from layercache_ci.store.github import http
from layercache_ci.store.github.http import Http, retry_after
from tests.fakes.slow_reader import serve_slowly


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), (" 0 ", 0), ("", 5), ("soon", 5)])
def test_retry_after_in_seconds(header: str, seconds: float) -> None:
    assert retry_after(header) == seconds


def test_retry_after_as_a_date() -> None:
    assert 50 < retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=60))) <= 60
    assert retry_after(format_datetime(datetime.now(UTC) - timedelta(seconds=60))) == 0


def test_a_body_has_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than the timeout, none of its pieces does."""
    monkeypatch.setattr(http, "TIMEOUT", (0.5, 10.0))
    data = os.urandom(16 << 20)
    with serve_slowly() as server:
        response = Http({}, backoff=0).send("uploading", "PUT", server.url, data=data)
    assert response.status_code == 201
    assert server.digests == [hashlib.sha256(data).hexdigest()]
