"""The registry's HTTP server: cheroot's, on a socket that listens already, and with a gate.

Whoever reaches the port without the password (every container on the bridge does) may hold none of the threads that
serve builders, and no memory: a connection is given a thread once a request's headers are all here; without the login
its body stays unread, and it is closed.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.wsgi import Server as CherootServer

from layercache_ci.registry.sockets import BACKLOG

THREADS: Final = 24
"""A request takes a thread for as long as it lasts; BuildKit has some ten layers on the way at once."""

IDLE: Final = 120
"""Seconds for which a client with the password may say nothing, within a request or between two."""

UNKNOWN: Final = 10
"""Seconds that a client has for its first login."""

HEADERS: Final = 64 << 10
"""Bytes of a request's headers."""

TOO_MANY: Final = HEADERS + (1 << 10)
"""Bytes without an end of the headers with which cheroot surely comes to its limit: it reads and counts in pieces."""

TLS: Final = b"\x16"
"""What a TLS handshake begins with: BuildKit and Docker try one first on a registry that may do without, and go on
without only where they are answered in plain HTTP."""

NO_TLS: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

HALF_OPEN: Final = 256
"""Connections without a login whose headers are not here yet; of more, the oldest is closed. A builder's come in one
piece."""


class Request(HTTPRequest):
    def read_request_headers(self) -> bool:
        """Who has no login is to get the application's 401, and no more."""
        if not super().read_request_headers():  # type: ignore[no-untyped-call]
            return False
        if self.server.admits(self.inheaders.get(b"Authorization", b"")):
            self.conn.admit()
        else:
            self.close_connection = True
            # To cheroot and the application there is no body.
            self.chunked_read = False
            self.inheaders.pop(b"Content-Length", None)
        return True

    def send_headers(self) -> None:
        """What is left of a body here could not be read away: cheroot would try it again, in one piece."""
        self.close_connection = self.close_connection or getattr(self.rfile, "remaining", 0) > 0
        super().send_headers()


class Connection(HTTPConnection):
    RequestHandlerClass = Request
    server: Server
    socket: socket.socket

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.admitted = False
        self._patience = UNKNOWN
        self._last_used = time.time()
        self._seen = 0

    @property
    def last_used(self) -> float:
        """Cheroot closes what waits for longer than `UNKNOWN` seconds since then."""
        return self._last_used

    @last_used.setter
    def last_used(self, moment: float) -> None:
        # Who sends a byte now and then stays as old as it is.
        if self.admitted:
            self._last_used = moment + IDLE - UNKNOWN

    def admit(self) -> None:
        """It has shown the login."""
        self.admitted = True
        self._patience = IDLE
        self.socket.settimeout(IDLE)

    def ready(self) -> bool | None:
        """Whether a request's headers are all here; None where they never will be. Never waits, takes nothing out of
        the socket."""
        if self.rfile.has_data():
            return True  # came along with the request before
        self.socket.settimeout(0)
        try:
            here = self.socket.recv(TOO_MANY, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return None
        finally:
            self.socket.settimeout(self._patience)
        if here[:1] == TLS:
            with suppress(OSError):
                self.socket.recv(len(here))  # what is left unread would cut the answer off
                self.socket.send(NO_TLS)
            return None
        whole = b"\r\n\r\n" in here or len(here) == TOO_MANY
        if not whole and len(here) == self._seen:
            return None  # woken, and nothing new: the client has ended it
        if not whole or self._seen:
            # The kernel is to wake us when there is more than we have seen.
            self._seen = 0 if whole else len(here)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, self._seen + 1)
        return whole

    def close(self) -> None:
        self.server.forget(self)
        super().close()


class Server(CherootServer):
    ConnectionClass = Connection

    def __init__(
        self, bound: socket.socket, respond: Callable[[Any, Any], Iterable[bytes]], admits: Callable[[bytes], bool]
    ) -> None:
        """`admits` is asked for the value of each request's Authorization."""
        super().__init__(
            bound.getsockname()[:2],
            respond,
            numthreads=THREADS,
            server_name="layercache",
            request_queue_size=BACKLOG,
            timeout=UNKNOWN,
        )
        self.max_request_header_size = HEADERS
        self.keep_alive_conn_limit = 1 << 16
        self.admits = admits
        self._bound = bound
        self._half_open: dict[Connection, None] = {}
        """The oldest first. Only the thread that waits for all connections sees these."""

    def bind(self, family: int, type: int, proto: int = 0) -> socket.socket:  # noqa: A002, ARG002 - cheroot's
        """Cheroot's place for making a socket."""
        self.socket = self._bound
        return self._bound

    def process_conn(self, conn: Connection) -> None:
        """A connection that is new, or that can be read: to a thread, or back to those that are waited for."""
        match conn.ready():
            case True:
                self.forget(conn)
                super().process_conn(conn)
            case None:
                conn.close()
            case False:
                self.put_conn(conn)
                if not conn.admitted:
                    self._half_open[conn] = None
                    if len(self._half_open) > HALF_OPEN:
                        self._end(next(iter(self._half_open)))

    def forget(self, conn: Connection) -> None:
        """It is not half open any more."""
        self._half_open.pop(conn, None)

    def _end(self, conn: Connection) -> None:
        self.forget(conn)
        # Not closed at once, since it is still waited for: its end is what is heard of it next.
        with suppress(OSError):
            conn.socket.shutdown(socket.SHUT_RDWR)
