"""A GitHub cache service on the loopback: v2, v1, the blob host behind it and the REST list of caches.

It is written from the service's documents and the official clients, and those clients prove it (tests/integration).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from tests.fakes.github_cache.caches import Caches, Entry
from tests.fakes.github_cache.tokens import make_token
from tests.lab.serving import serving

ACCOUNT = "devstoreaccount1"
CONTAINER = "actions-cache"
HANG_UP = 0
"""In place of a status: the connection is closed without an answer."""


@dataclass(slots=True)
class Fault:
    """An answer in place of the true one. Where `late` the request is done first, and only then answered so."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    late: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came: its kind (`CreateCacheEntry`, `put block`, `get blob`, ...), path and headers."""

    kind: str
    path: str
    headers: Mapping[str, str]


@dataclass(slots=True)
class Weather:
    """How the service is today."""

    url_seconds: float = 600
    """For how long a signed URL is good."""
    signed_urls: bool = True
    """Some servers' URLs are secret by their paths, and have no query."""
    ignore_ranges: bool = False
    cut_bodies_at: int | None = None
    """Bytes after which the blob host hangs up."""
    creates_per_minute: int | None = None
    quota_used_up: bool = False


class BlobHost(Protocol):
    """Where the bytes of entries are, if not in this server."""

    def signed_url(self, name: str, permission: str, expires: float) -> str: ...

    def size(self, name: str) -> int | None: ...


@dataclass(slots=True)
class CacheServer:
    caches: Caches
    uploads: Path
    url: str = ""
    weather: Weather = field(default_factory=Weather)
    seen: list[Seen] = field(default_factory=list)
    creates: deque[float] = field(default_factory=deque)
    blob_host: BlobHost | None = None
    ahead: float = 0
    """Seconds by which the blob host's clock is ahead."""
    _act: tuple[int, Callable[[], None]] | None = None
    _faults: dict[str, list[Fault]] = field(default_factory=dict)
    _secret: bytes = field(default_factory=lambda: os.urandom(16))
    lock: threading.RLock = field(default_factory=threading.RLock)

    def token(self, read: Sequence[str] = ("refs/heads/main",), write: str | None = "refs/heads/main") -> str:
        return make_token(read, write)

    def environment(self, token: str | None = None, *, version: int = 2) -> dict[str, str]:
        """What a runner would set for an action."""
        variables = {"ACTIONS_RUNTIME_TOKEN": self.token() if token is None else token}
        if version == 2:
            return variables | {"ACTIONS_CACHE_SERVICE_V2": "True", "ACTIONS_RESULTS_URL": f"{self.url}/"}
        return variables | {
            "ACTIONS_CACHE_URL": f"{self.url}/base/",
            "GITHUB_SERVER_URL": "https://ghes.example.com",
        }

    def later(self, seconds: float) -> None:
        """So much time passes for signed URLs."""
        self.ahead += seconds

    def fail(self, kind: str, status: int, *, times: int = 1, late: bool = False, **rest: object) -> None:
        """Answer the next requests of that kind so: `headers` (a mapping) and `body` (bytes) may be given."""
        headers, body = rest.get("headers", {}), rest.get("body", b"")
        assert isinstance(headers, Mapping)
        assert isinstance(body, bytes)
        self._faults.setdefault(kind, []).extend(Fault(status, headers, body, late) for _ in range(times))

    def fault(self, kind: str) -> Fault | None:
        with self.lock:
            waiting = self._faults.get(kind)
            return waiting.pop(0) if waiting else None

    def at_request(self, number: int, act: Callable[[], None]) -> None:
        """`act()` as the `number`-th request from now on comes in, before it is answered; 0 for never."""
        with self.lock:
            self._act = (len(self.seen) + number, act) if number else None

    def saw(self, request: Seen) -> None:
        with self.lock:
            self.seen.append(request)
            act = self._act[1] if self._act and len(self.seen) == self._act[0] else None
        if act is not None:
            act()

    def counts(self) -> Counter[str]:
        with self.lock:
            return Counter(seen.kind for seen in self.seen)

    def too_many_creates(self) -> bool:
        """Whether the rate limit is hit; counts this one."""
        with self.lock:
            now = time.monotonic()
            while self.creates and now - self.creates[0] > 60:
                self.creates.popleft()
            self.creates.append(now)
            limit = self.weather.creates_per_minute
            return limit is not None and len(self.creates) > limit

    def signed_url(self, entry: Entry, permission: str) -> str:
        """`permission` is `r` or `cw`, as in a service SAS."""
        if self.blob_host is not None:
            return self.blob_host.signed_url(str(entry.id), permission, self._now() + self.weather.url_seconds)
        expires = f"{self._now() + self.weather.url_seconds:.3f}"
        path = f"/{ACCOUNT}/{CONTAINER}/{entry.id}"
        if not self.weather.signed_urls:
            return f"{self.url}{path}"
        query = {"sv": "2025-11-05", "se": expires, "sr": "b", "sp": permission}
        return f"{self.url}{path}?{urlencode(query | {'sig': self._sign(path, expires, permission)})}"

    def uploaded(self, entry: Entry) -> bool:
        """Whether somebody wrote it. What is elsewhere has a file here that is only as long."""
        size = None if self.blob_host is None else self.blob_host.size(str(entry.id))
        if size is not None:
            with entry.path.open("wb") as file:
                file.truncate(size)
        return entry.path.exists()

    def permitted(self, query: Mapping[str, str], permission: str) -> bool:
        return permission in query.get("sp", "") or not self.weather.signed_urls

    def signature_holds(self, path: str, query: Mapping[str, str]) -> bool:
        if not self.weather.signed_urls:
            return True
        expires, permission = query.get("se", ""), query.get("sp", "")
        known = hmac.compare_digest(self._sign(path, expires, permission), query.get("sig", ""))
        return known and float(expires) > self._now()

    def _now(self) -> float:
        return time.time() + self.ahead

    def _sign(self, path: str, expires: str, permission: str) -> str:
        return hmac.new(self._secret, f"{path}\n{expires}\n{permission}".encode(), hashlib.sha256).hexdigest()


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


@contextmanager
def serve(*, quota: int | None = None, port: int = 0) -> Iterator[CacheServer]:
    """A server of its own, on a random port, with an empty cache."""
    from tests.fakes.github_cache.handler import Handler

    folder = Path(tempfile.mkdtemp(prefix="github-cache-"))
    (folder / "entries").mkdir()
    (folder / "blocks").mkdir()
    server = CacheServer(Caches(folder / "entries", quota=quota), folder / "blocks")
    listener = _HTTPServer(("127.0.0.1", port), partial(Handler, server))
    try:
        with serving(listener) as server.url:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)
