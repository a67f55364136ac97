"""Service v2: three Twirp methods, in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tests.fakes.github_cache.caches import AlreadyExists, BadKey
from tests.fakes.github_cache.message import Answer, Reply, Request, json_reply
from tests.fakes.github_cache.server import CacheServer

_STATUS = {
    "already_exists": 409,
    "invalid_argument": 400,
    "not_found": 404,
    "permission_denied": 403,
    "resource_exhausted": 429,
    "unauthenticated": 401,
}
RETRY_AFTER = "1"


def _error(code: str, text: str, headers: Mapping[str, str] = MappingProxyType({})) -> Reply:
    return json_reply({"code": code, "msg": text}, _STATUS[code], headers)


def _find(server: CacheServer, request: Request) -> Reply:
    if request.access is None:
        return _error("unauthenticated", "the token is expired or invalid")
    if not request.access.read:
        return _error("permission_denied", "cache read denied: token has no readable scopes")
    asked = request.json()
    keys = [asked.get("key", ""), *asked.get("restore_keys", asked.get("restoreKeys", []))]
    try:
        found = server.caches.find(list(dict.fromkeys(keys)), asked.get("version", ""), request.access.read)
    except BadKey as error:
        return _error("invalid_argument", f"bad key {error}")
    if found is None:
        return json_reply({"ok": False, "signed_download_url": "", "matched_key": ""})
    return json_reply({"ok": True, "signed_download_url": server.signed_url(found, "r"), "matched_key": found.key})


def _create(server: CacheServer, request: Request) -> Reply:
    refused = _refused(server, request)
    if refused is not None:
        return refused
    asked = request.json()
    scope = request.access.write if request.access and request.access.write else ""
    try:
        entry = server.caches.reserve(asked.get("key", ""), asked.get("version", ""), scope)
    except AlreadyExists:
        text = "cache entry with the same key, version, and scope already exists"
        return _error("already_exists", text)
    except BadKey as error:
        return _error("invalid_argument", f"bad key {error}")
    return json_reply({"ok": True, "signed_upload_url": server.signed_url(entry, "cw"), "message": ""})


def _refused(server: CacheServer, request: Request) -> Reply | None:
    if request.access is None:
        return _error("unauthenticated", "the token is expired or invalid")
    if request.access.write is None:
        text = "cache write denied: token has no writable scopes"
        return json_reply({"ok": False, "signed_upload_url": "", "message": text})
    if server.too_many_creates():
        return _error("resource_exhausted", "rate limit exceeded", {"Retry-After": RETRY_AFTER})
    if server.weather.quota_used_up:
        return json_reply({"code": "resource_exhausted", "msg": "insufficient usage to create cache entry"}, 403)
    return None


def _finalize(server: CacheServer, request: Request) -> Reply:
    if request.access is None:
        return _error("unauthenticated", "the token is expired or invalid")
    asked = request.json()
    entry = server.caches.reserved(asked.get("key", ""), asked.get("version", ""), request.access.write or "")
    if entry is None or not server.uploaded(entry):
        return _error("not_found", "no cache entry of that key is being written")
    # int64 in JSON: the JS client sends a string, the Go client a number.
    if entry.path.stat().st_size != int(asked.get("size_bytes", asked.get("sizeBytes", 0))):
        return _error("invalid_argument", "the size is not that of the uploaded blob")
    server.caches.finalize(entry)
    return json_reply({"ok": True, "entry_id": str(entry.id), "message": ""})


METHODS: Mapping[str, Answer] = MappingProxyType(
    {"GetCacheEntryDownloadURL": _find, "CreateCacheEntry": _create, "FinalizeCacheEntryUpload": _finalize}
)
