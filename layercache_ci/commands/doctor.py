"""`layercache doctor`: what works on this machine, what does not, and what to do about it."""

from __future__ import annotations

import argparse
import platform
import shutil
from collections.abc import Iterator

from layercache_ci import __version__
from layercache_ci.engines.containers.engine import ENGINES, detect
from layercache_ci.engines.process import ask
from layercache_ci.errors import CacheError, LayercacheError
from layercache_ci.report.text import size
from layercache_ci.settings import Machine
from layercache_ci.store import Scopes, open_store

Finding = tuple[bool | None, str]
"""Good, bad, or (None) only worth knowing; and a line."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", metavar="STORE", default="local", help="where the cache is kept: local or local:DIR")


def run(arguments: argparse.Namespace) -> int:
    """0 where a build would be cached, else 1."""
    machine = Machine.read()
    engines = list(_engines(machine))
    findings = [(None, f"layercache {__version__}, Python {platform.python_version()}"), *engines]
    if not any(good for good, _ in engines):
        findings.append((False, "no engine can be used with the cache: install buildah or podman"))
    findings += [*_tools(machine), *_store(arguments.store, machine)]
    for good, line in findings:
        print({True: "ok   ", False: "BAD  ", None: "     "}[good] + line)
    bad_rest = any(good is False for good, _ in findings if (good, _) not in engines)
    return 1 if bad_rest or not any(good for good, _ in engines) else 0


def _engines(machine: Machine) -> Iterator[Finding]:
    for name in ENGINES:
        if shutil.which(name, path=machine.environment.get("PATH")) is None:
            yield None, f"{name}: not on PATH"
            continue
        try:
            engine = detect(name, machine)
        except LayercacheError as error:
            yield False, f"{name}: {error}"
            continue
        inside = f" (Buildah {engine.buildah})" if name != "buildah" else ""
        place = f"{engine.driver} in {engine.graph_root}"
        if engine.driver == "overlay":
            yield True, f"{name} {engine.version}{inside}, storage {place}"
        else:
            yield (
                False,
                f'{name} {engine.version}{inside}, storage {place}: not cached; set driver = "overlay" in storage.conf',
            )


def _tools(machine: Machine) -> Iterator[Finding]:
    path = machine.environment.get("PATH")
    if shutil.which("skopeo", path=path) is None:
        yield False, "skopeo: not on PATH; base images can't be looked up in registries: install it"
    else:
        yield True, "skopeo"
    try:
        gnu = "GNU tar" in ask(["tar", "--version"], machine.environment)
    except LayercacheError:
        gnu = False
    yield gnu, "GNU tar" if gnu else "tar: not GNU tar, which restores owners and extended attributes; install it"


def _store(location: str, machine: Machine) -> Iterator[Finding]:
    store = open_store(location, folder=machine.cache_home, scopes=Scopes(("default",), "default"))
    try:
        held = store.stats()
        with store.new_blob("application/octet-stream") as blob:
            blob.write(b"layercache doctor")
    except CacheError as error:
        yield False, f"store {store.location}: {error}"
        return
    yield True, f"store {store.location}: {held.records} records, {held.blobs} blobs, {size(held.size)}"
