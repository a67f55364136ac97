"""Service v1, `_apis/artifactcache`: GHES, Gitea, Forgejo, act."""

from __future__ import annotations

import re

from tests.fakes.github_cache.caches import AlreadyExists, BadKey
from tests.fakes.github_cache.message import Answer, Reply, Request, json_reply
from tests.fakes.github_cache.server import CacheServer

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/\*")


def route(method: str, path: str) -> tuple[str, Answer]:
    match method, path.partition("/")[0], path.partition("/")[2]:
        case "GET", "cache", "":
            return "v1 find", _find
        case "GET", "caches", "":
            return "v1 list", _list
        case "POST", "caches", "":
            return "v1 reserve", _reserve
        case "PATCH", "caches", _:
            return "v1 upload", _upload
        case "POST", "caches", _:
            return "v1 commit", _commit
    return "nothing", lambda _server, _request: json_reply({"message": "no such route"}, 404)


def _find(server: CacheServer, request: Request) -> Reply:
    if request.access is None:
        return json_reply({"message": "unauthorized"}, 401)
    keys = request.query.get("keys", "").split(",")
    try:
        found = server.caches.find(keys, request.query.get("version", ""), request.access.read)
    except BadKey as error:
        return json_reply({"message": f"bad key {error}"}, 400)
    if found is None:
        return json_reply(None, 204)
    return json_reply(
        {
            "cacheKey": found.key,
            "scope": found.scope,
            "cacheVersion": found.version,
            "archiveLocation": server.signed_url(found, "r"),
        }
    )


def _list(server: CacheServer, request: Request) -> Reply:
    prefix = request.query.get("key", "")
    found = [entry for entry in server.caches.complete() if entry.key.startswith(prefix)]
    listed = [{"cacheKey": entry.key, "scope": entry.scope, "cacheVersion": entry.version} for entry in found]
    return json_reply({"totalCount": len(found), "artifactCaches": listed})


def _reserve(server: CacheServer, request: Request) -> Reply:
    if request.access is None or request.access.write is None:
        return json_reply({"message": "the token may not write"}, 403)
    asked = request.json()
    try:
        entry = server.caches.reserve(asked.get("key", ""), asked.get("version", ""), request.access.write)
    except AlreadyExists as error:
        text = f"Cache already exists. Key: {error}"
        return json_reply({"typeKey": "ArtifactCacheItemAlreadyExistsException", "message": text}, 409)
    except BadKey as error:
        return json_reply({"message": f"bad key {error}"}, 400)
    entry.path.touch()
    return json_reply({"cacheId": entry.id}, 201)


def _upload(server: CacheServer, request: Request) -> Reply:
    entry = server.caches.entries.get(int(request.path.rpartition("/")[2]))
    span = _CONTENT_RANGE.fullmatch(request.headers.get("content-range", ""))
    if request.access is None or entry is None or entry.size is not None or span is None:
        return json_reply({"message": "no such cache, or no range"}, 400)
    if len(request.body) != int(span[2]) + 1 - int(span[1]):
        return json_reply({"message": "the body is not as long as its range"}, 400)
    with entry.path.open("r+b") as file:
        file.seek(int(span[1]))
        file.write(request.body)
    return json_reply(None, 204)


def _commit(server: CacheServer, request: Request) -> Reply:
    entry = server.caches.entries.get(int(request.path.rpartition("/")[2]))
    if request.access is None or entry is None or entry.size is not None:
        return json_reply({"message": "no such cache"}, 400)
    if entry.path.stat().st_size != request.json().get("size"):
        return json_reply({"message": "broken file"}, 400)
    server.caches.finalize(entry)
    return json_reply(None, 204)
