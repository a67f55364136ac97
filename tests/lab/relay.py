"""What stands between a client and a server: a forward proxy (RFC 9110, 9.3.6 and 3.7), and one that ends TLS."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from tests.lab.certificates import Certificates
from tests.lab.serving import serving

PIECE = 1 << 16


@dataclass(slots=True)
class ForwardProxy:
    """`asked` has a word for each request: its method, and the host and port that it is for."""

    url: str = ""
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def forward_proxy() -> Iterator[ForwardProxy]:
    """For HTTP in absolute form, of which each request ends its connection, and for tunnels."""
    proxy = ForwardProxy()
    with serving(_Server(("127.0.0.1", 0), partial(_Forward, proxy))) as proxy.url:
        yield proxy


@contextlib.contextmanager
def tls_before(target: str, certificates: Certificates) -> Iterator[str]:
    """The https URL of what passes on to a server that speaks plain HTTP at `target`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate, certificates.key)
    with serving(_Server(("127.0.0.1", 0), partial(_EndsTls, context, urlsplit(target).netloc))) as url:
        yield url.replace("http:", "https:")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


class _Forward(socketserver.BaseRequestHandler):
    def __init__(self, proxy: ForwardProxy, *connection: Any) -> None:
        self._proxy = proxy
        super().__init__(*connection)

    def handle(self) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.request.recv(PIECE)
            if not piece:
                return
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        method, url, version = first.split()
        tunnel = method == "CONNECT"
        place = urlsplit(f"//{url}" if tunnel else url)
        self._proxy.asked.append(f"{method} {place.netloc}")
        with _connected(place.netloc) as server:
            if tunnel:
                self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = (place.path or "/") + (f"?{place.query}" if place.query else "")
                kept = [line for line in lines if not line.lower().startswith(("connection:", "proxy-connection:"))]
                text = "\r\n".join([f"{method} {path} {version}", *kept, "Connection: close", "", ""])
                server.sendall(text.encode() + rest)
            _splice(self.request, server)


class _EndsTls(socketserver.BaseRequestHandler):
    def __init__(self, context: ssl.SSLContext, target: str, *connection: Any) -> None:
        self._context = context
        self._target = target
        super().__init__(*connection)

    def handle(self) -> None:
        with self._context.wrap_socket(self.request, server_side=True) as client, _connected(self._target) as server:
            _splice(client, server)


def _connected(place: str) -> socket.socket:
    host, _, port = place.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def _splice(client: socket.socket, server: socket.socket) -> None:
    there = threading.Thread(target=_copy, args=(client, server), daemon=True)
    there.start()
    _copy(server, client)
    there.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """To its end, which is then the other's as well."""
    with contextlib.suppress(OSError):
        while piece := source.recv(PIECE):
            target.sendall(piece)
    for ended in (source, target):
        with contextlib.suppress(OSError):
            ended.shutdown(socket.SHUT_RDWR)
