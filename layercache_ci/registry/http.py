"""Requests, answers, errors and ranges, as the registry's handlers see them (RFC 9110, OCI distribution spec 1.1)."""

from __future__ import annotations

import http
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl
from wsgiref.types import WSGIEnvironment

PIECE: Final = 1 << 16
"""Bytes read of a request's body at once."""

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


class ServerFile(Protocol):
    """cheroot's `wsgi.input`."""

    @property
    def closed(self) -> bool:
        """Of a chunked body: whether it is at its end."""

    def read(self, size: int, /) -> bytes: ...


class Refused(Exception):
    """The answer is an error: `code` is one of the distribution spec's."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers or {}


class Interrupted(Exception):
    """The client went away before its request was whole."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Iterable[bytes] = ()
    length: int | None = None
    """Bytes of the body; None: it is in memory."""

    @property
    def line(self) -> str:
        return f"{self.status} {http.HTTPStatus(self.status).phrase}"

    @property
    def content_length(self) -> int:
        return sum(map(len, self.body)) if self.length is None else self.length


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    address: str
    """Where it came in: `host:port`."""
    environment: WSGIEnvironment

    @classmethod
    def read(cls, environment: WSGIEnvironment, address: str) -> Request:
        query = dict(parse_qsl(environment.get("QUERY_STRING", ""), keep_blank_values=True))
        return cls(environment["REQUEST_METHOD"], environment["PATH_INFO"], query, address, environment)

    def header(self, name: str) -> str:
        """Empty where there is none."""
        key = name.upper().replace("-", "_")
        prefix = "" if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else "HTTP_"
        return str(self.environment.get(prefix + key, ""))

    @property
    def content_length(self) -> int | None:
        """None where the body is streamed (Transfer-Encoding: chunked)."""
        return None if self.environment["wsgi.input_terminated"] else int(self.header("Content-Length") or 0)

    def body(self) -> Iterator[bytes]:
        """Piece by piece. Raises Interrupted where the client stops in the middle."""
        file: ServerFile = self.environment["wsgi.input"]
        length = self.content_length
        received = 0
        try:
            while piece := file.read(PIECE):
                received += len(piece)
                yield piece
            if length is None:
                # cheroot leaves the line that ends a chunked body: it would be taken for the next request.
                list(file.read_trailer_lines())  # type: ignore[attr-defined]
        except (OSError, ValueError) as error:
            raise Interrupted(str(error)) from error
        if length is not None and received < length:
            raise Interrupted(f"{received} of {length} bytes came")

    def drain(self) -> None:
        """What is left of the body would be taken for the next request. Raises Interrupted."""
        file: ServerFile = self.environment["wsgi.input"]
        if self.content_length is None:
            if not file.closed:
                for _ in self.body():
                    pass
            return
        try:
            while file.read(PIECE):
                pass
        except OSError as error:
            raise Interrupted(str(error)) from error

    def text(self, limit: int) -> bytes:
        """The whole body. Raises Refused where it is longer than `limit` bytes."""
        data = bytearray()
        for piece in self.body():
            data += piece
            if len(data) > limit:
                raise Refused(413, "SIZE_INVALID", f"more than {limit} bytes")
        return bytes(data)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(value).encode()
    return Response(status, {"Content-Type": "application/json", **(headers or {})}, (body,))


def error_response(error: Refused) -> Response:
    """The form that the distribution spec gives errors."""
    errors = [{"code": error.code, "message": str(error), "detail": None}]
    return json_response({"errors": errors}, error.status, error.headers)


def range_of(header: str, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last that a Range header asks for; None for the whole (no range, several
    of them, or a form that is unknown: RFC 9110 14.2 lets a server pass over these). Raises Refused with 416."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last) + 1, size) if first and last else size
    if start >= size or start >= end:
        raise Refused(416, "SIZE_INVALID", f"{header} is not within {size} bytes", {"Content-Range": f"bytes */{size}"})
    return start, end
