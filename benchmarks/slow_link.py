"""A slow network on the loopback: TCP proxies before servers, in a process of their own.

All of them share one link with so many bytes a second in each direction, and whenever a client speaks after its server
did, so for each request of HTTP, what it says waits for the delay. Connecting costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final
from urllib.parse import urlsplit

RATE: Final = 25_000_000
"""Bytes a second, in each direction."""
DELAY: Final = 0.02
"""Seconds for each request."""
CHUNK: Final = 64 << 10
BURST: Final = 0.02
"""Seconds of silence that may be made up for: timers are not exact."""


@dataclass(slots=True)
class Exchange:
    """A request and its answer, as they passed by. Seconds on the clock of time.monotonic(), bytes."""

    server: str
    connection: int
    request: str
    """The first line."""
    begun: float
    answered: float = 0.0
    ended: float = 0.0
    sent: int = 0
    received: int = 0


class _Direction:
    """What all connections may send one way. The delay is in front of it."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._free_at = 0.0

    async def pass_on(self, size: int) -> None:
        now = time.monotonic()
        self._free_at = max(self._free_at, now - BURST) + size / self.rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)


class _Link:
    def __init__(self, rate: float, delay: float) -> None:
        self.up, self.down = _Direction(rate), _Direction(rate)
        self.delay = delay
        self._slow = rate, delay
        self.exchanges: list[Exchange] = []
        self._connections = 0

    def set(self, *, slow: bool) -> None:
        self.up.rate, self.delay = self._slow if slow else (math.inf, 0)
        self.down.rate = self.up.rate

    async def serve(self, target: str) -> asyncio.Server:
        host, _, port = target.rpartition(":")

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._connections += 1
            with contextlib.suppress(OSError):
                there = await asyncio.open_connection(host, int(port), limit=CHUNK)
                await _Relay(self, target, self._connections).run((reader, writer), there)

        return await asyncio.start_server(accept, "127.0.0.1", 0, limit=CHUNK)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Relay:
    """One connection."""

    def __init__(self, link: _Link, server: str, number: int) -> None:
        self._link = link
        self._server = server
        self._number = number
        self._exchange: Exchange | None = None
        self._answering = True

    async def run(self, client: Streams, server: Streams) -> None:
        try:
            await asyncio.gather(self._requests(client[0], server[1]), self._answers(server[0], client[1]))
        finally:
            for _, writer in (client, server):
                writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self._answering:
                self._answering = False
                line = data.partition(b"\r\n")[0].decode("latin-1")[:300]
                self._exchange = Exchange(self._server, self._number, line, time.monotonic())
                self._link.exchanges.append(self._exchange)
                await asyncio.sleep(self._link.delay)
            if self._exchange:
                self._exchange.sent += len(data)
            await self._link.up.pass_on(len(data))
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            self._answering = True
            exchange = self._exchange
            if exchange:
                exchange.answered = exchange.answered or time.monotonic()
                exchange.received += len(data)
            await self._link.down.pass_on(len(data))
            writer.write(data)
            await writer.drain()
            if exchange:
                exchange.ended = time.monotonic()
        if writer.can_write_eof():
            writer.write_eof()


@dataclass(frozen=True, slots=True)
class SlowLink:
    """The proxies that run."""

    _pipe: Connection

    def before(self, target: str) -> str:
        """Where the server at `target`, HOST:PORT or a URL, is behind the link: in the same form."""
        scheme, separator, rest = target.rpartition("//")
        self._pipe.send(urlsplit(f"//{rest}").netloc)
        return f"{scheme}{separator}{self._pipe.recv()}"

    def set(self, *, slow: bool) -> None:
        """As it was made; or, for what isn't measured, without delay and limit."""
        self._pipe.send(slow)
        self._pipe.recv()

    def log(self) -> Sequence[Exchange]:
        """What passed since the last time this was asked."""
        self._pipe.send(None)
        seen: Sequence[Exchange] = self._pipe.recv()
        return seen


@contextlib.contextmanager
def slow_link(*, rate: float = RATE, delay: float = DELAY) -> Iterator[SlowLink]:
    """Addresses are of the loopback."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_run, args=(there, rate, delay), daemon=True)
    process.start()
    try:
        yield SlowLink(here)
    finally:
        here.close()
        process.terminate()
        process.join()


def _run(pipe: Connection, rate: float, delay: float) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(pipe, _Link(rate, delay)))


async def _serve(pipe: Connection, link: _Link) -> None:
    servers = []
    with contextlib.suppress(EOFError):
        while True:
            match await asyncio.to_thread(pipe.recv):
                case None:
                    pipe.send(link.exchanges)
                    link.exchanges = []
                case bool(slow):
                    link.set(slow=slow)
                    pipe.send(None)
                case target:
                    servers.append(await link.serve(target))
                    pipe.send(f"127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}")
