"""A `docker` that says what a test wants."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from layercache_ci.settings import Machine

FAILS = "exit 1"


def fake_docker(folder: Path, answers: Mapping[str, str], **variables: str) -> Machine:
    """A machine that has it. `answers` are shell commands by a pattern for docker's arguments, of which the first that
    fits counts; what fits none fails. Its calls are in `folder/calls`, one a line."""
    cases = "\n".join(f"{pattern})\n{command}\n;;" for pattern, command in answers.items())
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\necho "$*" >> {folder}/calls\ncase "$*" in\n{cases}\n*) {FAILS};;\nesac\n')
    program.chmod(0o755)
    environment = {"PATH": f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin", "HOME": str(folder), **variables}
    return Machine(environment, 0, 1, False)


def says(text: str) -> str:
    return f"printf %s {shlex.quote(text)}"


def fails(text: str) -> str:
    return f"{says(text)} >&2; {FAILS}"


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()
