"""What a build needs beside it: a folder, the registry, the client's login to it, and the transport that they make."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from layercache_ci.aside import aside
from layercache_ci.engines.buildkit import reach
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.client_config import logged_in
from layercache_ci.engines.buildkit.dockerd import Dockerd, near
from layercache_ci.engines.buildkit.ours import for_cache
from layercache_ci.engines.buildkit.transport import EXPECTED, LayoutTransport, RegistryTransport, Transport
from layercache_ci.engines.scratch import Place, new_place
from layercache_ci.errors import CacheError
from layercache_ci.registry.client import Access, Registry, StoreChoice, start
from layercache_ci.settings import Machine


@dataclass(frozen=True, slots=True)
class Reached:
    """The outcome: which builder keeps a cache, and how layers get there."""

    builder: Builder
    transport: Transport
    environment: Mapping[str, str]
    """What buildx runs with: the login to our registry is in it."""
    access: Access | None = None
    """To our registry, where the builder reaches it."""
    address: str = ""
    """Where the builder does."""
    daemon: Dockerd | None = None
    """One that reaches it on the loopback; asked for only where the result goes into a daemon."""


@dataclass(slots=True)
class Session:
    """Begun before the plan is made, since finding out takes as long; `reached` waits for it. `close` removes all."""

    machine: Machine
    builder: Builder
    store: StoreChoice
    place: Place
    loads: bool = False
    """Whether the result is to go into the daemon, which may pull it from our registry."""
    _registry: list[Registry] = field(default_factory=list)
    _closed: threading.Event = field(default_factory=threading.Event)
    _found: Future[Reached] = field(init=False)

    def __post_init__(self) -> None:
        # aside: to boot a builder takes minutes, and a build that ends before does not wait for it
        self._found = aside(self._reach)

    @property
    def folder(self) -> Path:
        return self.place.root

    def reached(self) -> Reached:
        """Raises CacheError where no cache can be had."""
        return self._found.result()

    def own(self) -> None:
        """The registry lives as long as this process from now on."""
        for registry in self._registry:
            registry.own(os.getpid())

    def close(self) -> None:
        self._closed.set()
        for registry in self._registry:
            registry.stop()
        self.place.discard()

    def _reach(self) -> Reached:
        machine, builder = self.machine, for_cache(self.builder, self.machine)
        daemon = aside(partial(near, machine)) if self.loads else None
        hosts = reach.addresses(builder, machine)
        if hosts:
            registry = self._start((*hosts, *([reach.LOOPBACK] if daemon and reach.LOOPBACK not in hosts else [])))
            environment = logged_in(self.folder / "login", registry.access, machine)
            address = reach.reached(
                builder,
                registry.access.addresses[: len(hosts)],
                machine,
                environment=environment,
                asked=lambda: registry.status().asked,
            )
            if address is not None:
                found = None if daemon is None else daemon.result()
                transport = RegistryTransport(registry, address)
                return Reached(builder, transport, environment, registry.access, address, found)
        return Reached(builder, LayoutTransport(self.folder / "layout", machine.cpus), machine.environment)

    def _start(self, hosts: Sequence[str]) -> Registry:
        environment = self.machine.environment
        # Not waited for: whoever asks it before it is up waits by itself.
        registry = start(
            self.folder / "registry",
            store=self.store,
            owner=os.getpid(),
            environment=environment,
            hosts=hosts,
            expected=EXPECTED,
        ).registry
        self._registry.append(registry)
        if self._closed.is_set():
            registry.stop()
            raise CacheError("the build is over")
        return registry


def begin(machine: Machine, builder: Builder, store: StoreChoice, *, loads: bool = False) -> Session:
    """Raises OSError where no folder can be made."""
    place = new_place(machine.scratch)
    place.root.mkdir(mode=0o700)
    return Session(machine, builder, store, place, loads)
