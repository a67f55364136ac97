"""A server behind a slow link: it takes what is uploaded little by little."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.lab.serving import serving

AT_ONCE = 128 << 10
PAUSE = 0.012
"""Seconds after each AT_ONCE bytes."""


@dataclass(slots=True)
class SlowReader:
    url: str = ""
    digests: list[str] = field(default_factory=list)
    """sha256 of each body that came whole."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, reader: SlowReader, *connection: Any) -> None:
        self._reader = reader
        super().__init__(*connection)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def do_PUT(self) -> None:
        left = int(self.headers["Content-Length"])
        digest = hashlib.sha256()
        while left:
            data = self.rfile.read(min(left, AT_ONCE))
            if not data:
                return
            digest.update(data)
            left -= len(data)
            time.sleep(PAUSE)
        self._reader.digests.append(digest.hexdigest())
        self.send_response(201)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", "0")
        self.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        # what its system would take in its place
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, AT_ONCE)
        super().server_bind()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what the tests are about."""


@contextmanager
def serve_slowly() -> Iterator[SlowReader]:
    """It answers every PUT with 201."""
    reader = SlowReader()
    with serving(_Server(("127.0.0.1", 0), partial(_Handler, reader))) as reader.url:
        yield reader
