"""Bodies of answers, received into memory that is given.

urllib3 reads a body elsewhere and then copies it, and Python's socket gives up the interpreter's lock twice for each of
the some 100 kB that have just come: while others are at work each of these is a wait. Here the kernel fills the memory
in one call, which waits for all of it.
"""

from __future__ import annotations

import http.client
import socket
import struct
from contextlib import suppress
from typing import Any, Final

from urllib3.response import BaseHTTPResponse

READ: Final = 1 << 20
"""Bytes that urllib3 is asked for at a time: it reads them elsewhere first."""
REST: Final = 1
"""Bytes at the end of a body that are left to urllib3: it sees then that it is at the end, and keeps the connection."""


def timeval(seconds: float) -> bytes:
    """As the kernel wants it."""
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))


PATIENCE: Final = timeval(15)
"""Time without a byte after which urllib3 has the rest, and its own timeout with it."""


def receive(response: BaseHTTPResponse, into: memoryview) -> int:
    """How much of `into` was filled, undecoded: less than all only where the body ends. Raises urllib3's HTTPError."""
    at = _receive_directly(response, into)
    while at < len(into) and (count := response.readinto(into[at : at + READ])):
        at += count
    return at


def _receive_directly(response: BaseHTTPResponse, into: memoryview) -> int:
    """How much of a plain body's beginning came, as far as all goes well. What does not go well will not do so for
    urllib3 either, which says what it is."""
    body: Any = getattr(response, "_fp", None)
    if not isinstance(body, http.client.HTTPResponse) or body.chunked or not body.length or body.closed:
        return 0
    connection: Any = response.connection
    plain = getattr(connection, "sock", None)
    if type(plain) is not socket.socket:  # as with TLS, which hands out 16 KiB at a time
        return 0
    most = min(len(into), body.length - REST)
    try:
        # what came with the headers: after it nothing stands between us and the socket
        came = body.readinto(into[: min(most, len(body.peek()))])
    except (OSError, http.client.HTTPException):
        return 0
    at = came + _receive_all(plain, into[came:most])
    body.length -= at - came
    if response.length_remaining is not None:
        response.length_remaining -= at
    return at


def _receive_all(plain: socket.socket, into: memoryview) -> int:
    """Fewer bytes than there is room where the other side closes, breaks off or is silent."""
    at, timeout = 0, plain.gettimeout()
    plain.settimeout(None)  # a socket that has one does not wait for more than there is
    with suppress(OSError):
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, PATIENCE)
        while at < len(into) and (count := plain.recv_into(into[at:], 0, socket.MSG_WAITALL)):
            at += count
    plain.settimeout(timeout)
    return at
