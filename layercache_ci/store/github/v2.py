"""Service v2: Twirp in JSON, and Azure Blob Storage behind signed URLs.

As actions/toolkit speaks it (packages/cache: cacheTwirpClient.ts, uploadUtils.ts). The JSON mapping of protobuf allows
two spellings of a field, so both are read."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from layercache_ci.errors import CacheError, StoreUnavailable
from layercache_ci.store.github.client import BLOCK, Found, Source, in_blocks
from layercache_ci.store.github.http import Http, Refused, failure, json_of
from layercache_ci.store.github.service import Service

_METHODS: Final = "twirp/github.actions.results.api.v1.CacheService/"
_AZURE: Final = {"x-ms-version": "2020-10-02"}

_NOT_YET_VISIBLE: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds between attempts to finalize an upload that the service does not see yet."""


class V2Client:
    def __init__(
        self, service: Service, version: str, http: Http, blobs: Http, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._url = service.url + _METHODS
        self._version = version
        self._http = http
        self._blobs = blobs
        self._sleep = sleep

    def find(self, keys: Sequence[str]) -> Found | None:
        what = "looking up a cache entry"
        # The first key is among the restore keys too: whether the service looks at `key` alone is disputed.
        status, answer = self._ask(what, "GetCacheEntryDownloadURL", {"key": keys[0], "restore_keys": list(keys)})
        if status == 404 or not answer.get("ok"):
            return None
        url, key = _field(answer, "signed_download_url"), _field(answer, "matched_key")
        if not url or not key:
            raise StoreUnavailable(f"{what}: the service found one and named none")
        return Found(key, url)

    def save(self, key: str, source: Source) -> bool:
        what = "reserving a cache entry"
        status, answer = self._ask(what, "CreateCacheEntry", {"key": key})
        message = str(answer.get("message", ""))
        if status == 409 or "already exists" in message:
            return False
        if not answer.get("ok"):
            raise Refused(f"{what}: the service refused: {message or 'it gave no reason'}")
        url = _field(answer, "signed_upload_url")
        self._upload(url, source)
        self._finalize(key, source.size)
        return True

    def _upload(self, url: str, source: Source) -> None:
        if source.size <= BLOCK:
            headers = {**_AZURE, "x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}
            self._put(url, source.read(0, source.size), headers)
            return
        # The form that every server accepts: the JS SDK's, a UUID and twelve digits, in base64.
        run = str(uuid.uuid4())
        more = f"{url}{'&' if '?' in url else '?'}comp="  # not every server signs its URLs

        def send(number: int, _offset: int, data: bytes) -> None:
            self._put(f"{more}block&blockid={quote(_block_id(run, number), safe='')}", data, _AZURE)

        in_blocks(source, send)
        ids = "".join(f"<Latest>{_block_id(run, n)}</Latest>" for n in range(-(-source.size // BLOCK)))
        listing = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{ids}</BlockList>'.encode()
        self._put(f"{more}blocklist", listing, {**_AZURE, "Content-Type": "application/xml"})

    def _put(self, url: str, data: bytes, headers: Mapping[str, str]) -> None:
        what = "uploading a cache entry"
        response = self._blobs.send(what, "PUT", url, data=data, headers=headers)
        if response.status_code != 201:
            # A 403 here is about this one URL, which can't be made anew.
            error = failure(what, response)
            raise CacheError(str(error))

    def _finalize(self, key: str, size: int) -> None:
        what = "finishing a cache entry"
        for pause in (*_NOT_YET_VISIBLE, None):
            status, answer = self._ask(what, "FinalizeCacheEntryUpload", {"key": key, "size_bytes": str(size)})
            if answer.get("ok"):
                return
            if status != 404 or pause is None:
                break
            self._sleep(pause)
        # Its answer may have been lost: where the entry is found, it was finished.
        found = self.find([key])
        if found is None or found.key != key:
            raise StoreUnavailable(f"{what}: the service did not take it: {_words(answer)}")

    def _ask(self, what: str, method: str, document: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
        """Status and answer; of the failures only 404 and 409 come back."""
        response = self._http.send(what, "POST", self._url + method, json={**document, "version": self._version})
        if response.status_code not in {200, 404, 409}:
            raise failure(what, response)
        return response.status_code, json_of(response)


def _block_id(run: str, number: int) -> str:
    return base64.b64encode(f"{run}{number:012}".encode()).decode()


def _field(answer: Mapping[str, Any], name: str) -> str:
    first, *rest = name.split("_")
    camel = first + "".join(word.title() for word in rest)
    return str(answer.get(name) or answer.get(camel) or answer.get(camel.replace("Url", "URL")) or "")


def _words(answer: Mapping[str, Any]) -> str:
    return str(answer.get("message") or answer.get("msg") or "no reason was given")
