"""Reading entries: their signed URLs, and ranges of their bytes."""

from __future__ import annotations

import os
import re
import tempfile
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from layercache_ci.errors import BlobDamaged, BlobNotFound, StoreUnavailable
from layercache_ci.store.folder import AT_ONCE
from layercache_ci.store.github.client import Client, Found
from layercache_ci.store.github.http import Http, failure
from layercache_ci.store.github.pack import PREAMBLE, Head, head_size, read_head
from layercache_ci.store.model import RECENT
from layercache_ci.store.receiving import receive

WINDOW: Final = 256 << 10
"""Bytes of an entry that are read at once to get at its head."""

_ATTEMPTS: Final = 4
_WHOLE: Final = 200
_PART: Final = 206
_SPAN: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class Entries:
    """The entries that a run reads, through one client. `folder` takes entries that come whole because their host
    knows no ranges. Safe for threads."""

    def __init__(self, client: Client, http: Http, folder: Path) -> None:
        self._client = client
        self._http = http
        self._folder = folder
        self._urls: dict[str, tuple[str, float]] = {}
        """With when they came."""
        self._windows: dict[str, bytes] = {}
        self._saved: set[str] = set()
        self._without_ranges: set[str] = set()
        """Hosts."""
        self._whole: dict[str, BinaryIO] = {}
        """Files without a name: they go with this process, however it ends."""
        self._files = ExitStack()
        weakref.finalize(self, self._files.close)
        self._lock = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def find(self, prefixes: Sequence[str]) -> Found | None:
        """As Client.find; the URL is kept."""
        found = self._client.find(prefixes)
        if found is not None:
            self._keep(found)
        return found

    def doubt(self) -> None:
        """Entries may have been removed since: what was told longer ago than RECENT is asked for again."""
        now = time.monotonic()
        for key in [key for key, (_, told) in self._urls.items() if now - told >= RECENT]:
            self._urls.pop(key, None)

    def saved(self, key: str) -> None:
        """This run made the entry: it is there, though the service may not find it yet."""
        self._saved.add(key)

    def alive(self, key: str) -> bool:
        """Whether the entry is there; the service is asked once, which also counts as a use of it there."""
        if key in self._saved or key in self._urls:
            return True
        try:
            return bool(self._url(key))
        except BlobNotFound:
            return False

    def use(self, key: str) -> None:
        """The service has been asked for it in this run, or is now."""
        with suppress(BlobNotFound):
            self._url(key)

    def head(self, key: str) -> Head:
        """Read anew. Raises CacheError where it is gone or no head."""
        with self._lock:
            self._windows.pop(key, None)
        data = self._fetch(key, 0, WINDOW, short=True)
        size = head_size(data[:PREAMBLE])
        if size > len(data) == WINDOW:
            data += self._fetch(key, WINDOW, size - WINDOW, short=True)
        head = read_head(key, data)
        with self._lock:
            self._windows[key] = data
        return head

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Exactly these bytes of the entry, unverified. Raises CacheError."""
        window = self._windows.get(key, b"")
        if offset + length <= len(window):
            return window[offset : offset + length]
        return self._fetch(key, offset, length)

    def read_into(self, into: memoryview, key: str, offset: int) -> int:
        """As `read`, as many bytes as there is room for; says how many that are."""
        window = self._windows.get(key, b"")
        if offset + len(into) > len(window):
            return self._fetch_into(into, key, offset)
        into[:] = window[offset : offset + len(into)]
        return len(into)

    def forget(self, key: str) -> None:
        """It was found to be gone."""
        self._urls.pop(key, None)
        self._saved.discard(key)
        self._windows.pop(key, None)

    def _keep(self, found: Found) -> None:
        self._urls[found.key] = found.url, time.monotonic()

    def _url(self, key: str) -> str:
        with self._lock:
            lock = self._locks[key]
        with lock:
            kept = self._urls.get(key)  # another thread may forget it at any time
            if kept is not None:
                return kept[0]
            found = self._client.find([key])
            if found is None or found.key != key:
                raise BlobNotFound(f"the cache entry {key} is gone")
            self._keep(found)
            return found.url

    def _fetch(self, key: str, offset: int, length: int, *, short: bool = False) -> bytes:
        data = bytearray(length)
        with memoryview(data) as view:
            return bytes(view[: self._fetch_into(view, key, offset, short=short)])

    def _fetch_into(self, into: memoryview, key: str, offset: int, *, short: bool = False) -> int:
        """`short`: fewer bytes will do where the entry ends."""
        renewed = False
        for _ in range(_ATTEMPTS):
            url = self._url(key)
            if key in self._whole or urlsplit(url).netloc in self._without_ranges:
                answer: tuple[int, int | None] = _PART, self._from_whole(into, key, url, offset)
            else:
                answer = self._ask(into, url, offset)
            status, count = answer
            if status == _PART and count is not None:
                if count < len(into) and not short:
                    raise BlobDamaged(f"the cache entry {key} is shorter than it should be")
                return count
            if status in (401, 403) and not renewed:
                renewed = True
                self._urls.pop(key, None)
            elif status == 404:
                self.forget(key)
                raise BlobNotFound(f"the cache entry {key} is gone")
            elif status not in (_PART, _WHOLE):
                raise StoreUnavailable(f"reading a cache entry: its host answered {status}")
        raise StoreUnavailable(f"reading the cache entry {key}: its host breaks off again and again")

    def _ask(self, into: memoryview, url: str, offset: int) -> tuple[int, int | None]:
        """The answer's status and how many bytes of the range came: fewer than there is room for only where the entry
        ends, None where they did not come as they should."""
        what = "reading a cache entry"
        headers = {"Range": f"bytes={offset}-{offset + len(into) - 1}", "Accept-Encoding": "identity"}
        with closing(self._http.send(what, "GET", url, headers=headers, stream=True)) as response:
            if response.status_code == _WHOLE:
                self._without_ranges.add(urlsplit(url).netloc)
            if response.status_code == 416:
                return _PART, 0
            if response.status_code != _PART:
                return response.status_code, None
            span = _SPAN.fullmatch(response.headers.get("Content-Range", ""))
            sound = span is not None and int(span[1]) == offset
            came = _body(response, into) if sound else 0
        return _PART, came if span and sound and came == int(span[2]) + 1 - offset else None

    def _from_whole(self, into: memoryview, key: str, url: str, offset: int) -> int:
        with self._lock:
            lock = self._locks[f"whole {key}"]
        with lock:
            file = self._whole.get(key)
            if file is None:
                file = self._whole[key] = self._download(url)
        return os.preadv(file.fileno(), [into], offset)

    def _download(self, url: str) -> BinaryIO:
        what = "reading a whole cache entry"
        self._folder.mkdir(parents=True, exist_ok=True)
        with closing(self._http.send(what, "GET", url, stream=True)) as response:
            if response.status_code != 200:
                raise failure(what, response)
            file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed with all of them
            self._files.callback(file.close)
            try:
                for piece in response.iter_content(AT_ONCE):
                    file.write(piece)
                file.flush()
            except (requests.RequestException, OSError):
                file.close()
                raise StoreUnavailable(f"{what}: its host broke off") from None
        return file


def _body(response: requests.Response, into: memoryview) -> int:
    """How many bytes came; fewer than there is room for where the connection broke, or the entry ended."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return 0  # nobody asked for it, and of which bytes the range is then is anybody's guess
    try:
        return receive(response.raw, into)
    except (HTTPError, OSError):
        return 0
