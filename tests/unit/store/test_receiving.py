"""Bodies that are received into given memory, from a server that sends what it is told and notes who asks."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest
from urllib3 import HTTPConnectionPool, Timeout
from urllib3.exceptions import ProtocolError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse

from layercache_ci.store import receiving
from layercache_ci.store.receiving import receive

DATA = os.urandom(300_000)
PLAIN = f"Content-Length: {len(DATA)}\r\n\r\n".encode()


class Server:
    """Answers each request with `pieces`, then goes on where the client wants to, unless it is told to `close`."""

    def __init__(self) -> None:
        self.pieces: Sequence[bytes] = ()
        self.close = False
        self.connections = 0
        self.finish = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.pool = HTTPConnectionPool("127.0.0.1", self._listening.getsockname()[1], timeout=30)
        threading.Thread(target=self._accept, daemon=True).start()

    def ask(self) -> BaseHTTPResponse:
        return self.pool.request("GET", "/", preload_content=False, retries=False)

    def stop(self) -> None:
        self.finish.set()
        self.pool.close()
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while connection.recv(65536):
                for piece in self.pieces:
                    connection.sendall(piece)
                if self.close:
                    return
            self.finish.wait(30)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.stop()


def answer(*pieces: bytes, headers: bytes = PLAIN) -> Sequence[bytes]:
    return (b"HTTP/1.1 200 OK\r\n" + headers, *pieces)


@pytest.mark.parametrize(
    "pieces",
    [
        answer(DATA),
        [b"".join(answer(DATA))],
        answer(DATA[:1], DATA[1:9000], DATA[9000:-1], DATA[-1:]),
        answer(*(DATA[at : at + 4000] for at in range(0, len(DATA), 4000))),
    ],
)
def test_all_of_a_body_comes_and_its_connection_is_kept(server: Server, pieces: Sequence[bytes]) -> None:
    server.pieces = pieces
    for _ in range(3):
        memory = bytearray(len(DATA))
        assert receive(server.ask(), memoryview(memory)) == len(DATA)
        assert memory == DATA
    assert server.connections == 1


def test_memory_larger_than_the_body_is_filled_as_far_as_it_goes(server: Server) -> None:
    server.pieces = answer(DATA)
    memory = bytearray(len(DATA) + 10)
    assert receive(server.ask(), memoryview(memory)) == len(DATA)
    assert memory == DATA + bytes(10)


def test_of_a_longer_body_comes_its_beginning(server: Server) -> None:
    server.pieces = answer(DATA)
    memory = bytearray(100_000)
    with server.ask() as response:
        assert receive(response, memoryview(memory)) == len(memory)
        assert memory == DATA[:100_000]
        assert response.read() == DATA[100_000:]


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_small_bodies(server: Server, size: int) -> None:
    server.pieces = answer(DATA[:size], headers=f"Content-Length: {size}\r\n\r\n".encode())
    memory = bytearray(3)
    assert receive(server.ask(), memoryview(memory)) == size
    assert memory[:size] == DATA[:size]


def test_a_body_in_chunks(server: Server) -> None:
    chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (DATA[:70_000], DATA[70_000:])]
    server.pieces = answer(*chunks, b"0\r\n\r\n", headers=b"Transfer-Encoding: chunked\r\n\r\n")
    memory = bytearray(len(DATA))
    assert receive(server.ask(), memoryview(memory)) == len(DATA)
    assert memory == DATA


@pytest.mark.parametrize("size", [0, 10, 9000, 200_000, len(DATA) - 1])
def test_a_body_that_breaks_off_is_an_error(server: Server, size: int) -> None:
    server.pieces, server.close = answer(DATA[:size]), True
    with pytest.raises(ProtocolError), server.ask() as response:
        receive(response, memoryview(bytearray(len(DATA))))


def test_a_server_that_falls_silent_is_given_up_after_a_while(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "PATIENCE", receiving.timeval(0.1))
    server.pool.timeout = Timeout(0.1)
    server.pieces = answer(DATA[:200_000])
    with pytest.raises(ReadTimeoutError), server.ask() as response:
        receive(response, memoryview(bytearray(len(DATA))))


def test_a_server_that_pauses_longer_than_the_patience_is_waited_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "PATIENCE", receiving.timeval(0.05))

    class Slowly(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            for piece in super().__iter__():
                yield piece
                threading.Event().wait(0.2)

    server.pieces = Slowly(answer(DATA[:100_000], DATA[100_000:200_000], DATA[200_000:]))
    memory = bytearray(len(DATA))
    assert receive(server.ask(), memoryview(memory)) == len(DATA)
    assert memory == DATA
