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
from layercache_ci.store.github.client import Client, Found
from layercache_ci.store.github.http import Http, failure
from layercache_ci.store.github.pack import PREAMBLE, Head, head_size, read_head
from layercache_ci.store.model import RECENT

WINDOW: Final = 256 << 10
"""Bytes of an entry that are read at once to get at its head."""

_ATTEMPTS: Final = 4
_PIECE: Final = 1 << 20
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
        """`short`: fewer bytes will do where the entry ends."""
        renewed = False
        for _ in range(_ATTEMPTS):
            url = self._url(key)
            if key in self._whole or urlsplit(url).netloc in self._without_ranges:
                answer: bytes | int | None = self._from_whole(key, url, offset, length)
            else:
                answer = self._ask(url, offset, length)
            if isinstance(answer, bytes):
                if len(answer) < length and not short:
                    raise BlobDamaged(f"the cache entry {key} is shorter than it should be")
                return answer
            if answer in (401, 403) and not renewed:
                renewed = True
                self._urls.pop(key, None)
            elif answer == 404:
                self.forget(key)
                raise BlobNotFound(f"the cache entry {key} is gone")
            elif answer is not None:
                raise StoreUnavailable(f"reading a cache entry: its host answered {answer}")
        raise StoreUnavailable(f"reading the cache entry {key}: its host breaks off again and again")

    def _ask(self, url: str, offset: int, length: int) -> bytes | int | None:
        """The bytes of a range, which end early only where the entry does; or a status that was not to be had; None
        where another attempt is due."""
        what = "reading a cache entry"
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        with closing(self._http.send(what, "GET", url, headers=headers, stream=True)) as response:
            if response.status_code == 200:
                self._without_ranges.add(urlsplit(url).netloc)
                return None
            if response.status_code == 416:
                return b""
            if response.status_code != 206:
                return response.status_code
            span = _SPAN.fullmatch(response.headers.get("Content-Range", ""))
            data = _body(response, length)
        if span is None or int(span[1]) != offset or len(data) != int(span[2]) + 1 - offset:
            return None
        return data

    def _from_whole(self, key: str, url: str, offset: int, length: int) -> bytes:
        with self._lock:
            lock = self._locks[f"whole {key}"]
        with lock:
            file = self._whole.get(key)
            if file is None:
                file = self._whole[key] = self._download(url)
        return os.pread(file.fileno(), length, offset)

    def _download(self, url: str) -> BinaryIO:
        what = "reading a whole cache entry"
        self._folder.mkdir(parents=True, exist_ok=True)
        with closing(self._http.send(what, "GET", url, stream=True)) as response:
            if response.status_code != 200:
                raise failure(what, response)
            file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed with all of them
            self._files.callback(file.close)
            try:
                for piece in response.iter_content(_PIECE):
                    file.write(piece)
                file.flush()
            except (requests.RequestException, OSError):
                file.close()
                raise StoreUnavailable(f"{what}: its host broke off") from None
        return file


def _body(response: requests.Response, length: int) -> bytes:
    """What came, at most `length` bytes; fewer where the connection broke."""
    data = bytearray()
    with suppress(requests.RequestException, HTTPError, OSError):
        for piece in response.iter_content(_PIECE):
            data += piece
            if len(data) >= length:
                break
    return bytes(memoryview(data)[:length])  # one copy, not two: many are under way at once
