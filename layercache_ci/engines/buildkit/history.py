"""What a finished build did, from the builder's own history: the user has seen the display that they always see."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layercache_ci.engines.buildkit.buildx import buildx
from layercache_ci.engines.buildkit.progress import Progress
from layercache_ci.errors import CacheError
from layercache_ci.settings import BuildSettings

PATIENCE: Final = 60


@dataclass(frozen=True, slots=True)
class Subject:
    """What a build is made of: paths without symbolic links. Some may be meant by the name under which buildx notes
    it."""

    contexts: frozenset[str]
    dockerfiles: frozenset[str]

    @classmethod
    def of(cls, settings: BuildSettings, environment: Mapping[str, str]) -> Subject:
        """Of a build of a folder that buildx makes in this environment."""
        context, dockerfile = settings.context, settings.buildkit_dockerfile
        return cls(_names(context, environment), _names(str(dockerfile), environment))


def references(notes: Path) -> frozenset[str]:
    """The builds that buildx remembers, `builder/node/id`: it notes them when they begin, in this folder (`refs` of
    its own). Never raises."""
    return frozenset(str(path.relative_to(notes)) for path in notes.glob("*/*/*"))


def latest(before: Collection[str], notes: Path, builder: str, subject: Subject) -> str | None:
    """The build of a folder that began on a builder since `before`; None where that is none, or where it could be one
    of several: what tells builds of one folder apart is their Dockerfile."""
    new = [name for name in references(notes) if name not in before and name.startswith(f"{builder}/")]
    about = {name: _noted(notes / name) for name in new}
    found = [name for name in new if about[name][0] in subject.contexts]
    if len(found) > 1:
        found = [name for name in found if about[name][1] in subject.dockerfiles]
    return found[0] if len(found) == 1 else None


def replay(reference: str, environment: Mapping[str, str]) -> Progress:
    """Everything that happened in a build, `builder/node/id`. Raises CacheError where the builder can't tell."""
    try:
        done = subprocess.run(
            logs_words(reference, environment),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CacheError(f"the builder's history can't be read: {error}") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise CacheError(f"the builder's history can't be read: {last[:200]}")
    progress = Progress()
    for line in done.stderr.split("\n"):
        progress.feed(line)
    return progress


def logs_words(reference: str, environment: Mapping[str, str]) -> list[str]:
    """The command that says on standard error what happened in a build, `builder/node/id`."""
    builder, _, rest = reference.partition("/")
    words = [*buildx(environment), "history", "logs", f"--builder={builder}", "--progress=rawjson"]
    return [*words, rest.rpartition("/")[2]]


def _names(path: str, environment: Mapping[str, str]) -> frozenset[str]:
    """The path itself, and what it is where buildx notes it: in the working folder as $PWD calls it, with each `..`
    taken off by its name, whatever link stands before it (Go, os.Getwd and filepath.Abs)."""
    folder = Path.cwd()
    with suppress(OSError):
        called = Path(environment.get("PWD", ""))
        folder = called if called.is_absolute() and called.samefile(folder) else folder
    noted = os.path.normpath(folder / path)
    return frozenset({os.path.realpath(path), os.path.realpath(noted)})


def _noted(note: Path) -> tuple[str | None, str | None]:
    """The context and the Dockerfile of a build (docker/buildx, localstate)."""
    try:
        value = json.loads(note.read_bytes())
    except (OSError, ValueError):
        return None, None
    if not isinstance(value, dict):
        return None, None
    context, dockerfile = (value.get(name) for name in ("LocalPath", "DockerfilePath"))
    return os.path.realpath(context) if context else None, os.path.realpath(dockerfile) if dockerfile else None
