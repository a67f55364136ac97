"""The words that run buildx: its own program where that is certain to be what `docker buildx` runs.

`docker` starts each of its plugins once more to ask what it is, which costs 0.15 s before a command begins, and a build
has five of them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

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
