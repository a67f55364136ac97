"""Ports for servers that can't be told to take any: given out so that no other run, and nobody by chance, has them."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator
from typing import Final

LOOPBACK: Final = "127.0.0.1"
TAKEN: Final = "127.255.255.254"
"""Who has bound a port on this other address of the loopback owns it on the usual one."""
PORTS: Final = range(21_000, 29_000)
"""Below those that the kernel gives to whoever asks for any, to clients above all: between our asking for one of them
and the server's, anybody might get it."""


@contextlib.contextmanager
def own_port() -> Iterator[int]:
    """A port of 127.0.0.1 on which nobody listens; as long as this lasts nobody else is given it."""
    # in no order: who still knows a server that has ended finds nobody there, not another one
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as token, socket.socket() as probe:
            # a connection that is ending is in nobody's way
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                token.bind((TAKEN, port))
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            probe.close()
            yield port
            return
    raise RuntimeError(f"all ports from {PORTS.start} to {PORTS.stop - 1} are in use")
