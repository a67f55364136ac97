"""Requests to the cache service and to the blob host behind it: retried, bounded in time, and silent about secrets.

A signed URL is a secret as the token is: messages name what was asked of which host, and nothing else of a URL.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from layercache_ci.errors import CacheError, StoreUnavailable
from layercache_ci.store.sending import Body

log = logging.getLogger(__name__)

CONNECTIONS: Final = 16
TIMEOUT: Final = (10.0, 60.0)
"""Seconds to connect and to send each piece of a body, and to wait for the next byte."""

PATIENCE: Final = 60.0
"""Seconds that one run waits in all because of rate limits."""

_SHORTEST_WAIT: Final = 1.0
"""Seconds, where a rate limit is said to be over at once: so that the patience ends however often that is said."""

_LONGEST_TEXT: Final = 200
_SIGNATURE: Final = re.compile(r"\?[^\s'\"]*")


class Refused(StoreUnavailable):
    """The service said no in a way that asking again in this run won't change."""


class Http:
    """One pool of connections. No credential but `headers`: netrc and cookies stay out of it, proxies count.
    Safe for threads."""

    def __init__(
        self,
        headers: Mapping[str, str],
        *,
        backoff: float = 0.5,
        patience: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        adapter = HTTPAdapter(max_retries=retries(backoff), pool_maxsize=CONNECTIONS)
        self._session = requests.Session()
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._session.auth = _as_it_is
        self._session.headers.update({"User-Agent": "layercache", **headers})
        self._lock = threading.Lock()
        self._patience = patience
        self._sleep = sleep
        _keep_signatures_out_of_logs()

    def send(
        self,
        what: str,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        json: Mapping[str, Any] | None = None,
        stream: bool = False,
    ) -> requests.Response:
        """The last answer, whatever its status; `what` says for people what was asked. 5xx and broken connections are
        tried again, 429 once its Retry-After is over, as long as the patience for that lasts. Raises CacheError."""
        # requests takes whatever can be iterated and has a length, and begins it anew where it tries again
        body: Any = Body(data) if data else data
        while True:
            try:
                response = self._session.request(
                    method, url, headers=headers, data=body, json=json, stream=stream, timeout=TIMEOUT
                )
            except requests.RequestException as error:
                raise StoreUnavailable(f"{what}: {_host(url)} {reason(error)}") from None
            if response.status_code != 429:
                return response
            self._wait(what, response)

    def _wait(self, what: str, response: requests.Response) -> None:
        seconds = max(_SHORTEST_WAIT, retry_after(response.headers.get("Retry-After", "")))
        response.close()
        with self._lock:
            affordable = seconds <= self._patience
            self._patience -= seconds if affordable else 0
        if not affordable:
            raise Refused(f"{what}: the rate limit is hit (429, for {seconds:.0f} s more)")
        self._sleep(seconds)


def retries(backoff: float = 0.5) -> Retry:
    """Of a request that broke off or was answered 5xx; the last answer is given back."""
    return Retry(
        total=4,
        status_forcelist=(500, 502, 503, 504),
        allowed_methods=None,
        backoff_factor=backoff,
        backoff_max=8,
        backoff_jitter=backoff,
        respect_retry_after_header=False,
        raise_on_status=False,
    )


def retry_after(header: str, *, default: float = 5.0) -> float:
    """Seconds, of either form of the header (RFC 9110, 10.2.3)."""
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return default


def failure(what: str, response: requests.Response) -> CacheError:
    """The error that an unexpected answer means."""
    text = message_of(response)
    host = _host(response.url)
    if response.status_code == 401:
        return Refused(f"{what}: {host} does not take the token (401): it is expired or not for this service")
    if response.status_code == 403 or "insufficient usage" in text:
        return Refused(f"{what}: {host} refused ({response.status_code}): {text}")
    return StoreUnavailable(f"{what}: {host} answered {response.status_code}: {text}")


def message_of(response: requests.Response) -> str:
    """The service's own words, in one line."""
    document = json_of(response)
    text = document.get("msg") or document.get("message") or response.text
    return _SIGNATURE.sub("?…", " ".join(str(text).split()))[:_LONGEST_TEXT] or "no text"


def json_of(response: requests.Response) -> Mapping[str, Any]:
    """The JSON object that it carries, an empty one where it carries none."""
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def reason(error: requests.RequestException) -> str:
    """What became of a request that has no answer."""
    match error:
        case requests.Timeout():
            return "did not answer in time"
        case requests.exceptions.SSLError():
            return "has a certificate that is not trusted (REQUESTS_CA_BUNDLE names one that is)"
        case requests.exceptions.ProxyError():
            return "can't be reached through the proxy"
        case requests.ConnectionError():
            return "can't be reached"
        case _:
            return f"could not be asked ({type(error).__name__})"


def _keep_signatures_out_of_logs() -> None:
    for name in ("urllib3.connectionpool", "urllib3.util.retry"):
        logger = logging.getLogger(name)
        if _redact not in logger.filters:
            logger.addFilter(_redact)


def _redact(record: logging.LogRecord) -> bool:
    record.msg, record.args = _SIGNATURE.sub("?…", record.getMessage()), ()
    return True
