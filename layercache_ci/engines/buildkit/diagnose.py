"""What a build with BuildKit would use on this machine, and why: for `layercache doctor`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from layercache_ci.engines.buildkit import reach
from layercache_ci.engines.buildkit.builders import Builder, find
from layercache_ci.engines.buildkit.client_config import logged_in
from layercache_ci.engines.buildkit.ours import demand_reach, list_ours, name_of_ours
from layercache_ci.errors import CacheError, EngineError, LayercacheError
from layercache_ci.registry.client import StoreChoice, start
from layercache_ci.settings import BuildSettings, Machine


def diagnose(settings: BuildSettings, machine: Machine) -> Iterator[tuple[bool | None, str]]:
    """Good, bad, or (None) only worth knowing; and a line. Makes no builder, but boots the one that is in use."""
    try:
        builder = find(settings, machine)
        if builder.uncached:
            yield False, f"buildkit: {builder.uncached}"
            return
        yield True, f"buildkit {builder.version or '(version unknown)'}: {_described(builder)}"
        ours = list_ours(machine)
    except LayercacheError as error:
        yield False, f"buildkit: {error}"
        return
    try:
        if not builder.exports_cache:
            demand_reach(builder, machine)
            name = name_of_ours(builder, machine)
            if name not in {listed.name for listed in ours}:
                yield None, f"cached builds go to a builder of ours, {name}, which the first one makes"
                return
            yield None, f"cached builds go to a builder of ours, {name}"
            builder = find(BuildSettings(context=".", builder=name), machine)
            if builder.uncached:
                raise EngineError(builder.uncached)
        yield True, f"transport {_transport(builder, machine)}"
    except LayercacheError as error:
        yield False, f"transport: {error}"
    for listed in ours:
        yield None, f"builder of ours: {listed.name}, {listed.status}, in {listed.endpoint}"


def _described(builder: Builder) -> str:
    words = f"builder {builder.name}, driver {builder.driver}, {builder.endpoint}"
    if builder.driver == "docker":
        store = "containerd image store" if builder.exports_cache else "classic image store, which exports no cache"
        return f"{words}, {store}"
    if builder.network is not None:
        return f"{words}, on network {builder.network}"
    return words


def _transport(builder: Builder, machine: Machine) -> str:
    """Which one, and the reason. Raises CacheError."""
    hosts = reach.addresses(builder, machine)
    if builder.nodes > 1:
        return f"layout: the builder has {builder.nodes} nodes"
    if not hosts:
        return "layout: BuildKit is on another machine or network"
    if reach.shares_network(builder, machine):
        return f"registry on {hosts[0]}: BuildKit is on this machine's network"
    if _answered(builder, hosts, machine):
        return f"registry on {hosts[0]}: BuildKit was asked, and reached it"
    return f"layout: BuildKit was asked for a registry on {hosts[0]}, and did not reach it"


def _answered(builder: Builder, hosts: tuple[str, ...], machine: Machine) -> bool:
    with tempfile.TemporaryDirectory(prefix="layercache-doctor-") as name:
        folder = Path(name)
        store = StoreChoice("local", folder / "store", ("default",), None)
        try:
            registry = start(
                folder / "registry", store=store, owner=os.getpid(), environment=machine.environment, hosts=hosts
            ).wait()
        except OSError as error:
            raise CacheError(str(error)) from error
        try:
            environment = logged_in(folder / "login", registry.access, machine)
            found = reach.probe(
                builder,
                registry.access.addresses,
                environment=environment,
                asked=lambda: registry.status().asked,
            )
        finally:
            registry.stop()
    return found is not None
