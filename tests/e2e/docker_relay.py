"""A second socket of an engine's Docker daemon, at which a test answers some requests itself."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from tests.lab.engine import Engine

PIECE = 1 << 16
Answer = Callable[[bytes, int], bytes | None]
"""Of a request's first bytes and the process that it is from: the answer, None where it is the daemon's,
and nothing where there is to be none."""


def refused(request: str) -> Answer:
    """Every request that begins so."""
    no = b"HTTP/1.1 500 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    return lambda first, _: no if first.startswith(request.encode()) else None


@contextlib.contextmanager
def relayed(engine: Engine, answer: Answer = lambda _first, _pid: None, *, by_port: bool = False) -> Iterator[Engine]:
    """The same engine, its daemon behind another socket, or behind a port of the loopback."""
    theirs = engine.environment["DOCKER_HOST"].removeprefix("unix://")
    ours = Path(theirs).with_name("r")

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            first = self.request.recv(PIECE)
            told = answer(first, 0 if by_port else peer(self.request))
            if told is not None:
                self.request.sendall(told)
                while not told and self.request.recv(PIECE):
                    pass
                return
            with socket.socket(socket.AF_UNIX) as daemon:
                daemon.connect(theirs)
                daemon.sendall(first)
                back = threading.Thread(target=copied, args=(daemon, self.request), daemon=True)
                back.start()
                copied(self.request, daemon)
                back.join()

    server: socketserver.BaseServer
    if by_port:
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay)
        host = f"tcp://127.0.0.1:{server.server_address[1]}"
    else:
        server = socketserver.ThreadingUnixStreamServer(str(ours), Relay)
        host = f"unix://{ours}"
    server.daemon_threads = True
    server.block_on_close = False
    with server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield replace(engine, environment={**engine.environment, "DOCKER_HOST": host})
        finally:
            server.shutdown()


def peer(connection: socket.socket) -> int:
    """The process at the other end (unix(7), SO_PEERCRED)."""
    pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(pid)


def copied(source: socket.socket, target: socket.socket) -> None:
    """All that comes, and that no more will."""
    with contextlib.suppress(OSError):
        while piece := source.recv(PIECE):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
