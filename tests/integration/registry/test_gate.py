"""What whoever reaches the port without the password can do there: nothing that a builder would notice."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from layercache_ci.registry.client import Registry
from layercache_ci.registry.gate import HALF_OPEN, HEADERS, THREADS
from tests.integration.registry.conftest import Ask, authorization
from tests.waiting import SECONDS

HALF = b"GET /v2/ HTTP/1.1\r\nHost: a\r\n"
MiB = 1 << 20


def reach(registry: Registry) -> socket.socket:
    host, _, port = registry.access.addresses[0].partition(":")
    return socket.create_connection((host, int(port)), timeout=SECONDS)


def login(registry: Registry) -> bytes:
    return f"Authorization: {authorization(registry.access)['Authorization']}\r\n".encode()


def said(client: socket.socket) -> bytes:
    """All that the server says until it closes the connection."""
    pieces = []
    while piece := client.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


@contextmanager
def half_open(registry: Registry, count: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as opened:
        clients = []
        for _ in range(count):
            client = opened.enter_context(reach(registry))
            client.sendall(HALF)
            clients.append(client)
        yield clients


def peak(registry: Registry) -> int:
    """Bytes of memory that its process has had at most."""
    lines = Path(f"/proc/{registry.access.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def test_requests_that_are_half_sent_hold_no_thread(registry: Registry) -> None:
    with half_open(registry, 2 * THREADS):
        assert registry.put_manifest("a", "b", b"{}", "x")
        assert registry.manifest("a", "b") == b"{}"


def test_of_too_many_half_sent_requests_the_oldest_ends(registry: Registry) -> None:
    with half_open(registry, 1) as first, half_open(registry, HALF_OPEN) as others:
        assert said(first[0]) == b""
        assert registry.status().faults == ()
        others[-1].sendall(login(registry) + b"Connection: close\r\n\r\n")
        assert said(others[-1]).startswith(b"HTTP/1.1 200 ")


def test_connections_that_say_nothing_keep_nobody_out(registry: Registry) -> None:
    with ExitStack() as opened:
        for _ in range(300):
            opened.enter_context(reach(registry))
        assert registry.status().faults == ()


def test_who_does_not_log_in_has_not_long(registry: Registry) -> None:
    with half_open(registry, 1) as clients:
        assert said(clients[0]) == b""


def test_a_request_that_breaks_off_is_the_end_of_its_connection(registry: Registry) -> None:
    with reach(registry) as client:
        client.sendall(HALF)
        client.shutdown(socket.SHUT_WR)
        assert said(client) == b""


def test_who_tries_tls_first_is_told_that_there_is_none(registry: Registry) -> None:
    """By what Go's client knows as plain HTTP: BuildKit on a bridge, and Docker, go on without TLS only then."""
    outgoing = ssl.MemoryBIO()
    handshake = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a")
    with suppress(ssl.SSLWantReadError):
        handshake.do_handshake()
    hello = outgoing.read().replace(b"\n", b"-")  # as one in some hundred has no end of a line
    with reach(registry) as client:
        client.sendall(hello)
        assert said(client).startswith(b"HTTP/1.1 400 ")


def test_headers_may_come_byte_by_byte_and_requests_together(registry: Registry) -> None:
    with reach(registry) as client:
        request = HALF + login(registry) + b"\r\n"
        for byte in request[:-1]:
            client.sendall(bytes((byte,)))
        client.sendall(request[-1:] + request + HALF + login(registry) + b"Connection: close\r\n\r\n")
        assert said(client).count(b"HTTP/1.1 200 ") == 3


def test_headers_have_a_limit(registry: Registry) -> None:
    with reach(registry) as client:
        client.sendall(HALF + login(registry) + b"X: " + bytes(HEADERS) + b"\r\n\r\n")
        assert said(client).startswith(b"HTTP/1.1 413 ")
    with reach(registry) as client, suppress(ConnectionError):
        client.sendall(HALF + login(registry) + b"X: " + bytes(100 * HEADERS))
        assert said(client)[:13] in {b"", b"HTTP/1.1 413 "}
    assert peak(registry) < 100 * MiB


@pytest.mark.parametrize("length", [b"Content-Length: 999999999999", b"Transfer-Encoding: chunked"])
def test_without_the_login_no_body_is_read(registry: Registry, length: bytes) -> None:
    with reach(registry) as client:
        client.sendall(b"PUT /v2/a/manifests/b HTTP/1.1\r\nHost: a\r\n" + length + b"\r\n\r\n")
        answer = said(client)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nConnection: close\r\n" in answer


def test_a_body_that_is_refused_does_not_fill_memory(ask: Ask, registry: Registry) -> None:
    before = peak(registry)
    answer = ask("PUT", "/v2/a/blobs/uploads/nothing?digest=sha256:0", bytes(200 * MiB))
    assert answer.status in {400, 404}
    assert peak(registry) - before < 50 * MiB
