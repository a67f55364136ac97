"""A reverse proxy on the loopback that counts requests: for servers that don't."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from tests.lab.serving import serving

NamesRequest = Callable[[str, str], str]
"""What a request is called, by its method and its path with the query."""

_OF_ONE_CONNECTION: Final = frozenset({"connection", "transfer-encoding", "expect", "keep-alive"})


@dataclass(slots=True)
class CountingProxy:
    url: str
    calls: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextlib.contextmanager
def counting_proxy(target: str, name: NamesRequest) -> Iterator[CountingProxy]:
    """Before a server at `target`, http://HOST:PORT. The Host header stays, since signatures cover it."""
    proxy = CountingProxy("")
    listener = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, proxy, urlsplit(target).netloc, name))
    listener.daemon_threads = True
    with serving(listener) as proxy.url:
        yield proxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def __init__(self, proxy: CountingProxy, target: str, name: NamesRequest, *connection: Any) -> None:
        self._proxy = proxy
        self._target = target
        self._name = name
        super().__init__(*connection)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def handle_any(self) -> None:
        with self._proxy.lock:
            self._proxy.calls[self._name(self.command, self.path)] += 1
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_ONE_CONNECTION}
        # a connection for each request: one that is kept may be closed by its server at any moment
        with contextlib.closing(HTTPConnection(self._target, timeout=60)) as server:
            server.request(self.command, self.path, body=body or None, headers=headers)
            answer = server.getresponse()
            data = answer.read()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in {*_OF_ONE_CONNECTION, "content-length"}:
                self.send_header(name, value)
        length = answer.headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815 - http.server's names
