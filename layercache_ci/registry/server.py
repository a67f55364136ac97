"""The registry's process: it listens, it watches over its owner, and it ends when either asks for it."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from layercache_ci.registry.app import Account, App
from layercache_ci.registry.distribution import Distribution
from layercache_ci.registry.gate import Server
from layercache_ci.registry.model import Service
from layercache_ci.registry.offers import Offers
from layercache_ci.registry.sockets import address
from layercache_ci.store import open_store

ORPHAN: Final = 3.0
"""Seconds that an owner may be gone, so that it can be followed by another one."""


def serve(service: Service, environment: Mapping[str, str], announce: IO[str]) -> NoReturn:
    """Serve, then end the process. `announce` gets one line of JSON once the registry answers. Raises OSError where a
    socket can't be listened on, and InputError for a location that names no store."""
    ended = threading.Event()
    # Threads that still serve are not waited for: nothing that is unfinished counts.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    owner = Owner(service.owner)
    store = open_store(service.store, environment=environment, warn=_log)
    offers = Offers(store, service.folder)
    account = Account()
    distribution = Distribution(service.folder, offers, account)
    for repository, reference in service.expected:
        distribution.expect(repository, reference)
    app = App(
        login=(service.user, service.password),
        distribution=distribution,
        offers=offers,
        account=account,
        own=owner.follow,
        stop=ended.set,
    )
    json.dump({"addresses": [_serve(socket.socket(fileno=number), app) for number in service.sockets]}, announce)
    announce.write("\n")
    announce.close()
    while not ended.wait(ORPHAN / 3):
        if owner.gone():
            sys.stderr.write("layercache: nobody needs this registry any more\n")
            break
    time.sleep(0.05)  # for the answer to whoever asked for the end
    sys.stderr.flush()
    os._exit(0)


def _serve(bound: socket.socket, app: App) -> str:
    """The address. Raises OSError."""
    name = address(bound)

    def respond(environment: Any, start_response: Any) -> Iterable[bytes]:
        return app.answer(environment, start_response, address=name)

    server = Server(bound, respond, app.admits)
    server.prepare()
    # cheroot's workers are no daemon threads: Python waits for them, so the process ends by os._exit alone.
    threading.Thread(target=server.serve, daemon=True).start()
    return name


def _log(warning: str) -> None:
    sys.stderr.write(f"layercache: warning: {warning}\n")
    sys.stderr.flush()


class Owner:
    """The process for which the registry is there."""

    def __init__(self, pid: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.follow(pid)

    def follow(self, pid: int) -> None:
        """Another one from now on."""
        self._pid, self._born = pid, _born(pid)
        self._seen = self._clock()

    def gone(self) -> bool:
        """Whether it has been away for longer than it may."""
        if self._born is not None and _born(self._pid) == self._born:
            self._seen = self._clock()
        return self._clock() - self._seen > ORPHAN


def _born(pid: int) -> str | None:
    """When the process started, which tells it from a later one of the same number; None where it is no more."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else fields[19]
