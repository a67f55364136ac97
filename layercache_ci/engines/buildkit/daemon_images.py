"""Base images as a daemon has them: a builder of ours, which takes its place, knows registries only."""

from __future__ import annotations

import json
from collections.abc import Sequence

from layercache_ci.engines.buildkit.builders import Builder, docker_words
from layercache_ci.engines.process import ask
from layercache_ci.errors import EngineError
from layercache_ci.settings import Machine


def local_only(references: Sequence[str], builder: Builder, machine: Machine) -> tuple[str, ...]:
    """Those images that only the daemon of `builder` has: a builder in a container can't take them for FROM, as it
    knows registries only. An image that was pulled or pushed by that name has a digest there."""
    only: list[str] = []
    for reference in references:
        try:
            words = [*docker_words(builder), "image", "inspect", "--format", "{{json .RepoDigests}}", reference]
            digests: Sequence[str] = json.loads(ask(words, machine.environment)) or ()
        except EngineError:
            continue
        if not any(digest.partition("@")[0] == repository(reference) for digest in digests):
            only.append(reference)
    return tuple(only)


def repository(reference: str) -> str:
    """An image's name without tag and digest, as docker shows it: `debian` for `docker.io/library/debian:12`."""
    name = reference.partition("@")[0]
    path, colon, tag = name.rpartition(":")
    name = path if colon and "/" not in tag else name
    return name.removeprefix("index.").removeprefix("docker.io/").removeprefix("library/")
