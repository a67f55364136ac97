"""The words that run buildx: its own program where that is certain to be what `docker buildx` runs.

`docker` starts each of its plugins once more to ask what it is, which costs 0.15 s before a command begins, and a build
has five of them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from layercache_ci.engines.process import ask

DOCKER: Final = ("docker", "buildx")
PLUGIN: Final = "docker-buildx"
SYSTEM: Final = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
"""docker/cli, cli-plugins/manager/manager_unix.go."""
ELF: Final = b"\x7fELF"
LEAST: Final = (0, 20)
"""The first buildx that tells of each step by `history logs`, without which nothing is saved."""


def buildx(environment: Mapping[str, str]) -> list[str]:
    """`docker buildx`, or the plugin by its path: where `docker` is docker's own program, not a script around it, a
    snap or Podman in its place. Never raises."""
    docker = shutil.which("docker", path=environment.get("PATH") or os.defpath)
    with suppress(OSError):
        program = Path(docker or "").resolve()
        if program.name == "docker" and _starts_with_elf(program):
            for folder in _plugin_folders(environment):
                plugin = folder / PLUGIN
                if os.access(plugin, os.X_OK):
                    return [str(plugin)] if _starts_with_elf(plugin) else list(DOCKER)
    return list(DOCKER)


def version(environment: Mapping[str, str]) -> str:
    """What `buildx version` says: 0.05 s the first time. Raises EngineError."""
    return _told(tuple(buildx(environment)), frozenset(environment.items()))


@cache
def _told(words: tuple[str, ...], environment: frozenset[tuple[str, str]]) -> str:
    return ask([*words, "version"], dict(environment))


def too_old(said: str) -> str:
    """Why the buildx that says this of its version is of no use to us. Empty where it is, or where it does not tell:
    one that somebody built themselves says 0.0.0."""
    match = re.search(r"\sv?((\d+)\.(\d+)\.\d\S*)", said)
    if match is None or (number := (int(match[2]), int(match[3]))) == (0, 0) or number >= LEAST:
        return ""
    least = ".".join(map(str, LEAST))
    return f"buildx {match[1]} is too old for a cache, which needs {least} or newer; update docker's buildx plugin"


def _plugin_folders(environment: Mapping[str, str]) -> Iterator[Path]:
    """In docker's order (docker/cli, cli-plugins/manager/manager.go)."""
    home = environment.get("HOME")
    named = environment.get("DOCKER_CONFIG")
    if not named and not home:
        return
    config = Path(named or f"{home}/.docker")
    with suppress(OSError, ValueError):
        extra = json.loads((config / "config.json").read_bytes()).get("cliPluginsExtraDirs") or ()
        yield from (Path(folder) for folder in extra)
    yield config / "cli-plugins"
    yield from map(Path, SYSTEM)


def _starts_with_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(ELF)) == ELF
