"""The typed settings of one run. Nothing else in the program reads the environment or the command line."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from layercache_ci.errors import InputError

EngineChoice = Literal["auto", "buildah", "podman"]
ENGINE_CHOICES: Final[tuple[EngineChoice, ...]] = ("auto", "buildah", "podman")
CONTEXT_SCHEMES: Final = ("http://", "https://", "git://", "git@", "ssh://", "github.com/")
UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
DEFAULT_MAX_SIZE: Final = 10 * 10**9


@dataclass(frozen=True, slots=True)
class Machine:
    """What the process was given by its surroundings: read once, here."""

    environment: Mapping[str, str]
    uid: int
    cpus: int
    terminal: bool
    arguments: tuple[str, ...] = ()
    """The command line, for starting anew as another user."""

    @classmethod
    def read(cls) -> Machine:
        """Of this process."""
        cpus = len(os.sched_getaffinity(0))
        return cls(dict(os.environ), os.getuid(), cpus, os.isatty(2), tuple(sys.argv[1:]))

    @property
    def cache_home(self) -> Path:
        """`$XDG_CACHE_HOME/layercache`, by the XDG base directory specification `~/.cache/layercache` where unset."""
        base = self.environment.get("XDG_CACHE_HOME") or str(Path(self.environment.get("HOME") or "/root") / ".cache")
        return Path(base) / "layercache"

    @property
    def scratch(self) -> Path:
        """Where what is restored lies while an engine uses it: on a disk, since it is as large as the images are."""
        base = Path(self.environment.get("LAYERCACHE_SCRATCH") or self.environment.get("TMPDIR") or "/var/tmp")  # noqa: S108 - the engines' own default
        return base / f"layercache-{self.environment.get('_CONTAINERS_ROOTLESS_UID') or self.uid}"

    @property
    def rootless(self) -> bool:
        """Whether we run as an ordinary user, or inside the user namespace that `buildah unshare` makes for one."""
        return self.uid != 0 or "_CONTAINERS_USERNS_CONFIGURED" in self.environment


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """One `layercache build`, in the words of `docker buildx build`."""

    context: str
    file: str | None = None
    tags: tuple[str, ...] = ()
    target: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    build_contexts: Mapping[str, str] = field(default_factory=dict)
    platform: str | None = None
    labels: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    network: str | None = None
    no_cache: bool = False
    pull: bool = False
    push: bool = False
    load: bool = False
    outputs: tuple[str, ...] = ()
    add_hosts: tuple[str, ...] = ()
    shm_size: str | None = None
    ulimits: tuple[str, ...] = ()
    iidfile: Path | None = None
    metadata_file: Path | None = None
    quiet: bool = False
    progress: str = "auto"
    engine_options: tuple[str, ...] = ()
    engine: EngineChoice = "auto"
    store: str = "local"
    max_size: int = DEFAULT_MAX_SIZE
    cache_version: str = ""
    report: Path | None = None
    keep_store: bool = False
    wait: bool = True

    @property
    def remote_context(self) -> bool:
        """A git or http context is fetched by the engine: there is nothing here to hash."""
        return self.context == "-" or self.context.startswith(CONTEXT_SCHEMES)

    @property
    def dockerfile(self) -> Path:
        """The Dockerfile as Buildah and Podman look for it: `Containerfile`, then `Dockerfile`, in the context."""
        if self.file is not None:
            given = Path(self.file)
            return given if given.is_file() else Path(self.context) / self.file
        containerfile = Path(self.context) / "Containerfile"
        return containerfile if containerfile.is_file() else Path(self.context) / "Dockerfile"


def parse_size(text: str, *, name: str) -> int:
    """Bytes of `10GB`, `500m`, `1.5 TB`; powers of 1000, of 1024 with an `i`. Raises InputError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    if not match:
        raise InputError(f"{name}: {text!r} is no size; write a number with a unit, like 500MB or 10GB")
    number, unit, binary = match.groups()
    factor = UNITS[unit]
    if binary:
        factor = 1 << (10 * list(UNITS).index(unit))
    return int(float(number) * factor)


def assignments(words: Sequence[str], *, name: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """`NAME=VALUE` words as a mapping, the last one of a name winning. A bare NAME takes its value from `environment`
    (and is left out where that has none), or raises InputError where no environment is given."""
    values: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or (not equals and environment is None):
            raise InputError(f"{name}: {word!r} is not of the form NAME=VALUE")
        if equals:
            values[key] = value
        elif environment is not None and key in environment:
            values[key] = environment[key]
    return values
