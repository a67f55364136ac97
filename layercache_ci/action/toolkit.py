"""GitHub's toolkit for actions: what a step says to the runner. The only module that knows actions_toolkit.

Of it the two modules that write commands and the runner's files: its `core`, which stands above them, loads an HTTP
client as well, which takes longer than all of ours. Beside them stands what it lacks: the job summary, and the bracket
around output that is not ours (docs.github.com, "Workflow commands").
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from actions_toolkit.command import issue_command  # type: ignore[import-untyped]
from actions_toolkit.file_command import (  # type: ignore[import-untyped]
    issue_file_command,
    prepare_key_value_message,
)

from layercache_ci.errors import EngineError


def set_output(name: str, value: str) -> None:
    """Raises EngineError where the runner's file can't be written."""
    _give("OUTPUT", "set-output", name, value)


def save_state(name: str, value: str) -> None:
    """For the post step, which finds it by get_state. Raises EngineError as above."""
    _give("STATE", "save-state", name, value)


def get_state(name: str, environment: Mapping[str, str]) -> str:
    """What the main step saved, empty where it saved nothing."""
    return environment.get(f"STATE_{name}", "")


def export_variable(name: str, value: str) -> None:
    """For the later steps of the job. Raises EngineError as above."""
    _give("ENV", "set-env", name, value)


def add_path(folder: str) -> None:
    """To the front of PATH for the later steps of the job. Raises EngineError as above."""
    if os.environ.get("GITHUB_PATH"):
        _into("PATH", folder)
    else:
        _command("add-path", folder)


def add_mask(value: str) -> None:
    """From now on the runner's log shows `***` for it, and for each of its lines."""
    if value.strip():
        _command("add-mask", value)


def error(text: str) -> None:
    _command("error", text)


def warning(text: str, **properties: str) -> None:
    """With `file` and `line` the runner shows it there, with a `title` above it."""
    _command("warning", text, **properties)


def notice(text: str) -> None:
    _command("notice", text)


@contextmanager
def group(title: str) -> Iterator[None]:
    """What is printed within is folded in the log."""
    _command("group", title)
    try:
        yield
    finally:
        _command("endgroup")


@contextmanager
def stopped_commands() -> Iterator[None]:
    """The runner obeys no command in what is printed within: no engine, and no Dockerfile, can give it any."""
    token = secrets.token_hex(16)
    _line(f"::stop-commands::{token}")
    try:
        yield
    finally:
        _line(f"::{token}::")


def append_summary(markdown: str, environment: Mapping[str, str]) -> bool:
    """Add to the step's job summary; false where the surroundings have none. Raises OSError."""
    place = environment.get("GITHUB_STEP_SUMMARY")
    if not place:
        return False
    with Path(place).open("a", encoding="utf-8") as file:
        file.write(markdown if markdown.endswith("\n") else f"{markdown}\n")
    return True


def _line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _command(name: str, text: str = "", /, **properties: str) -> None:
    issue_command(name, properties, text)
    sys.stdout.flush()


def _give(file: str, command: str, name: str, value: str) -> None:
    """By the runner's file, or the command that older runners have in its place."""
    if os.environ.get(f"GITHUB_{file}"):
        _into(file, prepare_key_value_message(name, value))
    else:
        _command(command, value, name=name)


def _into(file: str, text: str) -> None:
    try:
        issue_file_command(file, text)
    except Exception as fault:
        # it raises nothing more exact
        raise EngineError(f"the runner's GITHUB_{file}: {fault}") from fault
