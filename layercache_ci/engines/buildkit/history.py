"""What a finished build did, from the builder's own history: the user has seen the display that they always see."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from layercache_ci.engines.buildkit.buildx import buildx
from layercache_ci.engines.buildkit.progress import Progress
from layercache_ci.errors import CacheError

PATIENCE: Final = 60


def references(notes: Path) -> frozenset[str]:
    """The builds that buildx remembers, `builder/node/id`: it notes them when they begin, in this folder (`refs` of
    its own). Never raises."""
    return frozenset(str(path.relative_to(notes)) for path in notes.glob("*/*/*"))


def latest(before: Collection[str], notes: Path, builder: str, context: Path) -> str | None:
    """The build of a folder that began on a builder since `before`; None where that is none, or where it could be one
    of several. `context` is an absolute path, as it was given."""
    new = [name for name in references(notes) if name not in before and name.startswith(f"{builder}/")]
    found = [name for name in new if _context(notes / name) == str(context)]
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


def _context(note: Path) -> str | None:
    """docker/buildx, localstate."""
    try:
        value = json.loads(note.read_bytes())
    except (OSError, ValueError):
        return None
    return value.get("LocalPath") if isinstance(value, dict) else None
