from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from layercache_ci.store.github import http
from layercache_ci.store.github.http import Http, Refused, retry_after
from tests.fakes.github_cache import serve
from tests.fakes.slow_reader import serve_slowly


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), (" 0 ", 0), ("", 5), ("soon", 5), ("²", 5)])
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


@pytest.mark.parametrize("when", ["0", "Sun, 06 Nov 1994 08:49:37 GMT"])
def test_a_rate_limit_that_is_always_over_at_once_is_given_up(when: str) -> None:
    slept: list[float] = []
    with serve() as server:
        server.fail("CreateCacheEntry", 429, times=1000, headers={"Retry-After": when})
        url = server.url + "/twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry"
        with pytest.raises(Refused, match="rate limit"):
            Http({}, patience=5, sleep=slept.append).send("reserving", "POST", url, json={})
    assert slept == [1.0] * 5
