"""GitHub's toolkit for actions: what a step says to the runner. The only module that knows actions_toolkit.

It is imported when it is first used, since its import takes longer than all of ours. Beside it stands what it lacks:
the job summary, and the bracket around output that is not ours (docs.github.com, "Workflow commands").
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from layercache_ci.errors import EngineError


def set_output(name: str, value: str) -> None:
    """Raises EngineError where the runner's file can't be written."""
    _call("set_output", name, value)


def save_state(name: str, value: str) -> None:
    """For the post step, which finds it by get_state. Raises EngineError as above."""
    _call("save_state", name, value)


def get_state(name: str, environment: Mapping[str, str]) -> str:
    """What the main step saved, empty where it saved nothing."""
    return environment.get(f"STATE_{name}", "")


def export_variable(name: str, value: str) -> None:
    """For the later steps of the job. Raises EngineError as above."""
    _call("export_variable", name, value)


def add_path(folder: str) -> None:
    """To the front of PATH for the later steps of the job. Raises EngineError as above."""
    _call("add_path", folder)


def add_mask(value: str) -> None:
    """From now on the runner's log shows `***` for it, and for each of its lines."""
    if value.strip():
        _call("set_secret", value)


def error(text: str) -> None:
    _call("error", text)


def warning(text: str) -> None:
    _call("warning", text)


def notice(text: str) -> None:
    _call("notice", text)


@contextmanager
def group(title: str) -> Iterator[None]:
    """What is printed within is folded in the log."""
    _call("start_group", title)
    try:
        yield
    finally:
        _call("end_group")


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


def _call(function: str, *arguments: Any) -> None:
    from actions_toolkit import core  # type: ignore[import-untyped] # noqa: PLC0415 - see above

    try:
        getattr(core, function)(*arguments)
        sys.stdout.flush()
    except Exception as fault:
        # it raises nothing more exact
        raise EngineError(f"the runner's {function.replace('_', ' ')}: {fault}") from fault
