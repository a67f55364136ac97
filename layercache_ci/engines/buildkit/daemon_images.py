"""Base images as a daemon has them: a builder of ours, which takes its place, knows registries only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final

from layercache_ci.aside import aside
from layercache_ci.engines.buildkit.builders import Builder, docker_words
from layercache_ci.engines.buildkit.buildx import buildx
from layercache_ci.engines.buildkit.dockerd import split
from layercache_ci.engines.process import ask
from layercache_ci.errors import CacheError, EngineError
from layercache_ci.settings import Machine

PATIENCE: Final = 20.0
"""Seconds that a registry has."""
REMEDY: Final = "switch the daemon to the containerd image store"


def demand_the_same(references: Sequence[str], theirs: Builder, ours: Builder, machine: Machine) -> None:
    """Raises CacheError where the daemon of `theirs` has an image that `ours`, which takes its place, would not build
    on: one that no registry has, or a tag that was moved here or there since it was pulled.

    What the daemon does not have it would pull as well. All are asked for at once: the daemon, and a registry for what
    the daemon has.
    """
    found: list[Future[str]] = [aside(partial(_difference, each, theirs, ours, machine)) for each in references]
    for said in (each.result() for each in found):
        if said:
            raise CacheError(f"{said}, and the daemon's own builder can't export a cache")


def _difference(reference: str, theirs: Builder, ours: Builder, machine: Machine) -> str:
    """Empty where there is none."""
    held = _digests(reference, theirs, machine)
    if held is None or "@" in reference:
        return ""
    if not held:
        return f"only the daemon has the image {reference}; push it to a registry, or {REMEDY}"
    words = [*buildx(machine.environment), "imagetools", "inspect", f"--builder={ours.name}"]
    try:
        said = ask([*words, "--format={{json .Manifest}}", reference], machine.environment, timeout=PATIENCE)
        digest = json.loads(said)["digest"]
    except (EngineError, ValueError, LookupError) as error:
        return f"the daemon's image {reference} can't be compared with its registry's ({error})"
    if digest in held:
        return ""
    return f"the daemon's image {reference} is not the one that its registry has; pull or push it, or {REMEDY}"


def _digests(reference: str, builder: Builder, machine: Machine) -> frozenset[str] | None:
    """Under which digests the image's own repository has or had it, none where it was neither pulled nor pushed by that
    name; None where the daemon does not have it."""
    words = [*docker_words(builder), "image", "inspect", "--format", "{{json .RepoDigests}}", reference]
    try:
        known: Sequence[str] = json.loads(ask(words, machine.environment)) or ()
    except EngineError:
        return None
    pairs = (each.split("@", 1) for each in known if "@" in each)
    return frozenset(digest for name, digest in pairs if name == repository(reference))


def repository(reference: str) -> str:
    """An image's name without tag and digest, as docker shows it: `debian` for `docker.io/library/debian:12`."""
    name, _ = split(reference.partition("@")[0])
    return name.removeprefix("index.").removeprefix("docker.io/").removeprefix("library/")
