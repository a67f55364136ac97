"""The REST API's list of caches, `/repos/{owner}/{repo}/actions/caches`. It asks for GITHUB_TOKEN, which is opaque."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.fakes.github_cache.caches import Entry
from tests.fakes.github_cache.message import Answer, Reply, Request, json_reply
from tests.fakes.github_cache.server import CacheServer

TOKEN = "ghs_test"  # noqa: S105 - of this server only


def route(method: str) -> tuple[str, Answer]:
    return ("api delete", _delete) if method == "DELETE" else ("api list", _list)


def _listed(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "ref": entry.scope,
        "key": entry.key,
        "version": entry.version,
        "last_accessed_at": datetime.fromtimestamp(entry.accessed, UTC).isoformat(),
        "created_at": datetime.fromtimestamp(entry.created, UTC).isoformat(),
        "size_in_bytes": entry.size,
    }


def _list(server: CacheServer, request: Request) -> Reply:
    if not request.headers.get("authorization", "").endswith(TOKEN):
        return json_reply({"message": "Bad credentials"}, 401)
    query = request.query
    prefix, ref = query.get("key", ""), query.get("ref")
    found = [e for e in server.caches.complete() if e.key.startswith(prefix) and ref in (None, e.scope)]
    by_created = query.get("sort", "last_accessed_at") == "created_at"
    found.sort(key=lambda e: e.created if by_created else e.accessed, reverse=query.get("direction", "desc") == "desc")
    size, page = min(100, int(query.get("per_page", "30"))), int(query.get("page", "1"))
    shown = found[(page - 1) * size : page * size]
    return json_reply({"total_count": len(found), "actions_caches": [_listed(entry) for entry in shown]})


def _delete(server: CacheServer, request: Request) -> Reply:
    if not request.headers.get("authorization", "").endswith(TOKEN):
        return json_reply({"message": "Bad credentials"}, 401)
    last = request.path.rpartition("/")[2]
    key, ref = request.query.get("key"), request.query.get("ref")
    gone = [
        entry
        for entry in server.caches.complete()
        if (str(entry.id) == last if key is None else entry.key == key and ref in (None, entry.scope))
    ]
    for entry in gone:
        server.caches.remove(entry)
    if not gone:
        return json_reply({"message": "Not Found"}, 404)
    return json_reply(None, 204) if key is None else json_reply({"actions_caches": [_listed(entry) for entry in gone]})
