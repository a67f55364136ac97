"""HTTP of the cache service: which request is which, what went wrong today, and bodies in and out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.fakes.github_cache import azure, rest, twirp, v1
from tests.fakes.github_cache.message import Answer, Reply, Request, json_reply
from tests.fakes.github_cache.server import HANG_UP, CacheServer, Seen
from tests.fakes.github_cache.tokens import access

_TWIRP = "/twirp/github.actions.results.api.v1.CacheService/"
_V1 = "/_apis/artifactcache/"
_BODIES = {"POST", "PUT", "PATCH"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    timeout = 60

    def __init__(self, cache: CacheServer, *connection: Any) -> None:
        self._cache = cache
        super().__init__(*connection)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def handle_any(self) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        kind, answer = _route(self.command, url.path, query)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._cache.saw(Seen(kind, self.path, headers))
        body = self._body() if self.command in _BODIES else b""
        token = headers.get("authorization", "").removeprefix("Bearer ")
        request = Request(self.command, unquote(url.path), query, headers, body, access(token))
        fault = self._cache.fault(kind)
        if fault is None:
            self._send(answer(self._cache, request), kind)
            return
        if fault.late:
            answer(self._cache, request)
        self._send(Reply(fault.status, fault.body, fault.headers), kind)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815 - http.server's names

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return bytes(data)

    def _send(self, reply: Reply, kind: str) -> None:
        if reply.status == HANG_UP:
            self.close_connection = True
            return
        self.send_response(reply.status, HTTPStatus(reply.status).phrase)
        headers = {"Content-Length": str(len(reply.body)), **reply.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            cut = self._cache.weather.cut_bodies_at if kind == "get blob" else None
            self.wfile.write(reply.body[:cut])
            self.close_connection = self.close_connection or (cut is not None and cut < len(reply.body))


def _route(method: str, path: str, query: Mapping[str, str]) -> tuple[str, Answer]:
    """What the request is, for the log, and who answers it."""
    if _TWIRP in path:
        name = path.rpartition("/")[2]
        return name, twirp.METHODS.get(name, _no_route)
    if _V1 in path:
        return v1.route(method, path.partition(_V1)[2])
    if azure.PATH.fullmatch(path):
        return azure.route(method, query)
    if re.fullmatch(r"(/api/v3)?/repos/[^/]+/[^/]+/actions/caches(/\d+)?", path):
        return rest.route(method)
    return "nothing", _no_route


def _no_route(_server: CacheServer, request: Request) -> Reply:
    return json_reply({"code": "bad_route", "msg": f"no handler for {request.path}"}, 404)
