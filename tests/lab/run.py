"""Runs the installer's commands: quiet when they work, their whole output when they fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class CommandFailed(Exception):
    """A command ended with another exit code than 0; the text holds its output."""


def run(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """What the command printed. Raises CommandFailed, with its output."""
    done = subprocess.run(
        argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode:
        shown = " ".join(str(word) for word in argv)
        raise CommandFailed(f"{shown}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def say(line: str) -> None:
    """A line of progress, seen at once."""
    print(line, file=sys.stderr, flush=True)
