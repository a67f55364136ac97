"""The step as a plugin of Woodpecker or Drone: settings are inputs, and nobody obeys what it says to a runner."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from layercache_ci.action.inputs import INPUTS, variable
from layercache_ci.settings import Machine

SHOWN: Final = ("error", "warning", "notice")
"""Commands that are for people: the others would only tell what a runner has to do, a mask even the secret."""
STOP: Final = "::stop-commands::"


def main() -> int:
    """The exit code of the main step, which this starts as a runner would."""
    machine = Machine.read()
    environment = {**machine.environment, **plugin_inputs(machine.environment)}
    step = [sys.executable, sys.argv[0], "main"]
    with subprocess.Popen(step, env=environment, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: process.send_signal(number))
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        for line in for_people(process.stdout):
            sys.stdout.write(line)
            sys.stdout.flush()
    return process.returncode


def plugin_inputs(environment: Mapping[str, str]) -> dict[str, str]:
    """The inputs as GitHub's runner would give them. The step waits until all is saved: its container ends with it.

    Both write a setting's name in upper case, with `_` for `-` (Woodpecker's pipeline/frontend/yaml/compiler/settings).
    """
    given = {variable(entry.name): "PLUGIN_" + entry.name.upper().replace("-", "_") for entry in INPUTS}
    found = {name: environment[setting] for name, setting in given.items() if setting in environment}
    return {variable("wait"): "true", **found}


def for_people(lines: Iterable[str]) -> Iterator[str]:
    """A step's output without its commands to the runner; what the engine printed stays as it is."""
    token = None
    for line in lines:
        if token is not None:
            if line.rstrip() == token:
                token = None
            else:
                yield line
        elif line.startswith(STOP):
            token = f"::{line.removeprefix(STOP).strip()}::"
        elif line.startswith("::"):
            command, _, text = line.removeprefix("::").partition("::")
            if command in SHOWN:
                yield f"{command}: {text.replace('%0D', '').replace('%0A', ' ').replace('%25', '%')}"
        elif line.strip():
            yield line
