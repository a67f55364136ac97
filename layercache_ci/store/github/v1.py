"""Service v1, `_apis/artifactcache`: GitHub Enterprise Server, Gitea, Forgejo, act.

As actions/toolkit speaks it (packages/cache/src/internal/cacheHttpClient.ts)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import requests

from layercache_ci.errors import StoreUnavailable
from layercache_ci.store.github.client import Found, Source, in_blocks
from layercache_ci.store.github.http import Http, failure, json_of
from layercache_ci.store.github.service import Service

ACCEPT: Final = "application/json;api-version=6.0-preview.1"


class V1Client:
    def __init__(self, service: Service, version: str, http: Http) -> None:
        self._url = f"{service.url}_apis/artifactcache/"
        self._version = version
        self._http = http

    def find(self, keys: Sequence[str]) -> Found | None:
        what = "looking up a cache entry"
        url = f"{self._url}cache?keys={quote(','.join(keys), safe='')}&version={self._version}"
        response = self._http.send(what, "GET", url)
        if response.status_code in {204, 404}:
            return None
        answer = _checked(what, response)
        key, location = answer.get("cacheKey"), answer.get("archiveLocation")
        if not key or not location:
            raise StoreUnavailable(f"{what}: the service found one and named none")
        return Found(str(key), str(location))

    def save(self, key: str, source: Source) -> bool:
        what = "reserving a cache entry"
        document = {"key": key, "version": self._version, "cacheSize": source.size}
        response = self._http.send(what, "POST", f"{self._url}caches", json=document)
        if response.status_code == 409:
            return False
        answer = _checked(what, response)
        number = next((value for name, value in answer.items() if name.lower() == "cacheid"), None)
        if not number:
            raise StoreUnavailable(f"{what}: the service took it and gave it no number")
        self._upload(f"{self._url}caches/{number}", source)
        self._commit(key, f"{self._url}caches/{number}", source.size)
        return True

    def _upload(self, url: str, source: Source) -> None:
        what = "uploading a cache entry"

        def send(_number: int, offset: int, data: bytes) -> None:
            span = f"bytes {offset}-{offset + len(data) - 1}/*"
            headers = {"Content-Type": "application/octet-stream", "Content-Range": span}
            response = self._http.send(what, "PATCH", url, data=data, headers=headers)
            _checked(what, response)

        in_blocks(source, send)

    def _commit(self, key: str, url: str, size: int) -> None:
        what = "finishing a cache entry"
        response = self._http.send(what, "POST", url, json={"size": size})
        if not 200 <= response.status_code < 300:
            # Its answer may have been lost: where the entry is found, it was finished.
            found = self.find([key])
            if found is None or found.key != key:
                raise failure(what, response)


def _checked(what: str, response: requests.Response) -> Mapping[str, Any]:
    if not 200 <= response.status_code < 300:
        raise failure(what, response)
    return json_of(response)
