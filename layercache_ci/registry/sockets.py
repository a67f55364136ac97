"""The registry's sockets: bound by whoever starts it, so that its addresses are known before it is up.

Who connects meanwhile waits in the kernel's queue.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

BACKLOG: Final = 128
SILENCE: Final = 120
"""Seconds. A connection that says nothing (Go's client opens some ahead) is kept by the kernel until then."""


def listen(hosts: Sequence[str]) -> list[socket.socket]:
    """A socket for each of these IP addresses, on one port as far as that is free everywhere. Raises OSError, with the
    address that can't be listened on."""
    port = 0
    with ExitStack() as opened:
        sockets = []
        for host in hosts:
            try:
                bound = opened.enter_context(_bound(host, port))
            except OSError:
                if not port:
                    raise
                bound = opened.enter_context(_bound(host, 0))
            port = bound.getsockname()[1]
            sockets.append(bound)
        opened.pop_all()
    return sockets


def address(bound: socket.socket) -> str:
    """`host:port`, as in a URL."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bound(host: str, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, SILENCE)
        found.bind((host, port))
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        raise OSError(error.errno, f"{host}: {error.strerror}") from error
    return found
