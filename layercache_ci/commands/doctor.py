"""`layercache doctor`: what works on this machine, what a build would use and why, and what to do about the rest."""

from __future__ import annotations

import argparse
import platform
import shutil
from collections.abc import Iterator

from layercache_ci import __version__
from layercache_ci.ci.choice import choose
from layercache_ci.commands.options import configure_store, with_store
from layercache_ci.engines.buildkit.builders import choice
from layercache_ci.engines.buildkit.diagnose import diagnose
from layercache_ci.engines.containers.engine import ENGINES, detect
from layercache_ci.engines.containers.storage_conf import to_change
from layercache_ci.engines.process import ask
from layercache_ci.errors import CacheError, LayercacheError
from layercache_ci.report.text import size
from layercache_ci.settings import BuildSettings, Machine

Finding = tuple[bool | None, str]
"""Good, bad, or (None) only worth knowing; and a line."""


def configure(parser: argparse.ArgumentParser) -> None:
    configure_store(parser)
    parser.add_argument("--builder", metavar="NAME", help="the buildx builder to look at (default: buildx's own)")


def run(arguments: argparse.Namespace) -> int:
    """0 where a build would be cached, else 1."""
    machine = Machine.read()
    findings: list[Finding] = [(None, f"layercache {__version__}, Python {platform.python_version()}")]
    settings = with_store(BuildSettings(context=".", builder=arguments.builder), arguments, machine)
    takes_buildkit, why = choice(settings, machine)
    containers = list(_engines(machine))
    installed = [good for good, _ in containers if good is not None]
    tools = list(_tools(machine)) if installed else []
    if takes_buildkit:
        buildkit = list(diagnose(settings, machine))
        findings += [(None, f"--engine auto takes buildkit: {why}"), *buildkit, *containers, *tools]
        usable = all(good is not False for good, _ in buildkit)
    else:
        # of the two `auto` takes the first that is installed, whatever becomes of the build
        findings += [(None, f"--engine auto takes podman, or else buildah: {why}"), *containers, *tools]
        usable = installed[:1] == [True] and all(good for good, _ in tools)
        if not any(installed):
            advice = "start or install docker with buildx, or install podman or buildah"
            findings.append((False, f"no engine can be used with the cache: {advice}"))
    store = list(_store(settings, machine))
    for good, line in [*findings, *store]:
        print({True: "ok   ", False: "BAD  ", None: "     "}[good] + line)
    return 0 if usable and all(good is not False for good, _ in store) else 1


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
            file = to_change(machine.environment, rootless=machine.rootless)
            advice = f'write driver = "overlay" below [storage] in {file}'
            if name == "podman":  # it goes by its database where it has run before
                advice += ", then `podman system reset`, which removes its images and containers"
            yield False, f"{name} {engine.version}{inside}, storage {place}: not cached; {advice}"


def _tools(machine: Machine) -> Iterator[Finding]:
    path = machine.environment.get("PATH")
    if shutil.which("skopeo", path=path) is None:
        yield (
            False,
            "skopeo: not on PATH; no base image looked up, nothing restored without --keep-store: install it",
        )
    else:
        yield True, "skopeo"
    try:
        gnu = "GNU tar" in ask(["tar", "--version"], machine.environment)
    except LayercacheError:
        gnu = False
    yield gnu, "GNU tar" if gnu else "tar: not GNU tar, which restores owners and extended attributes; install it"


def _store(settings: BuildSettings, machine: Machine) -> Iterator[Finding]:
    chosen = choose(settings, machine)
    allowed = chosen.policy.scopes
    yield None, f"store {chosen.store.location}: {chosen.why}"
    yield (
        None,
        f"scopes: reads {', '.join(allowed.read) or 'none'}; writes {allowed.write or 'none'} ({chosen.policy.why})",
    )
    yield from ((None, warning) for warning in chosen.policy.warnings)
    faults: list[str] = []
    store = chosen.open(machine.environment, faults.append)
    try:
        store.lookup("layercache-doctor", ("0" * 64,))  # who is asked for nothing else here may not be there
        held = store.stats()
        if allowed.write is not None:
            with store.new_blob("application/octet-stream") as blob:
                blob.write(b"layercache doctor")
    except CacheError as error:
        yield False, f"store {store.location}: {error}"
        return
    yield from ((False, fault) for fault in faults)
    if held.whole:
        yield True, f"store {store.location}: {held.records} records, {held.blobs} blobs, {size(held.size)}"
    else:
        yield True, f"store {store.location} answers (what it holds: `layercache stats`, with GITHUB_TOKEN)"
