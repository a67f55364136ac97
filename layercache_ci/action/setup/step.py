"""The step with `setup: true`: it builds nothing, and puts programs on PATH that build with the cache."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import layercache_ci
from layercache_ci.action import toolkit
from layercache_ci.action.inputs import INPUTS, Inputs, Value, read_inputs
from layercache_ci.action.request import common_settings
from layercache_ci.action.secret_files import masks
from layercache_ci.action.setup.command import ENGINES
from layercache_ci.action.setup.shims import Setup, real_programs
from layercache_ci.ci.choice import choose
from layercache_ci.errors import InputError
from layercache_ci.settings import Machine

CACHE: Final = "ACTIONS_"
"""How the variables begin that only steps of an action are given."""
AWS: Final = "AWS_"
TIER: Final = "LAYERCACHE_TIER"
CREDENTIALS: Final = {
    "s3-access-key-id": "AWS_ACCESS_KEY_ID", "s3-secret-access-key": "AWS_SECRET_ACCESS_KEY",
    "s3-session-token": "AWS_SESSION_TOKEN",
}  # fmt: skip
NOT_KEPT: Final = frozenset({"github-token"})
"""No build of a later step needs it."""
TO_BUILD: Final = frozenset(
    {entry.name for entry in INPUTS if entry.origin != "layercache"} - NOT_KEPT | {"keep-store"}
)
"""Inputs of a build, which there is none of. (`keep-store` would leave an image where only later steps find it.)"""


def set_up(inputs: Inputs, machine: Machine, workspace: Path) -> int:
    """The exit code, 0. Raises InputError that names the input."""
    _demand_no_build(read_inputs(machine.environment))
    given, inputs = inputs, _kept(inputs, machine, workspace)
    for secret in dict.fromkeys((*masks(given), *masks(inputs))):
        toolkit.add_mask(secret)
    programs = _programs(inputs, machine)
    if not programs:
        toolkit.warning("setup: there is none of docker, podman and buildah on PATH: nothing will be cached")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="layercache-", dir=machine.environment.get("RUNNER_TEMP") or None))
    try:
        chosen = choose(common_settings(inputs, machine, folder), machine)
        root = Path(layercache_ci.__file__).resolve().parent.parent
        more = filter(None, machine.environment.get("PYTHONPATH", "").split(os.pathsep))
        tokens = {name: value for name, value in machine.environment.items() if name.startswith(CACHE)}
        settled = Inputs({**inputs.values, "store": chosen.store.location})
        setup = Setup(folder, settled, tokens, tuple(dict.fromkeys((str(root), *more))), _of_aws(machine))
        setup.write()
        place = setup.write_shims(programs)
    except BaseException:
        shutil.rmtree(folder)
        raise
    toolkit.save_state("setup", str(folder))
    toolkit.add_path(str(place))
    for note in chosen.notes:
        sys.stdout.write(f"layercache: {note}\n")
    named = ", ".join(f"{name} ({real})" for name, real in programs.items())
    sys.stdout.write(f"layercache: later steps build with a cache, {chosen.store.location}: {named}\n")
    return 0


def _demand_no_build(given: Inputs) -> None:
    """What a `config` file has for builds is no contradiction: other steps may use it too."""
    for name in sorted(TO_BUILD):
        if given.given(name):
            raise InputError(
                f"{name}: it is for a build, and with setup: true there is none here; leave one of them out"
            )


def _kept(inputs: Inputs, machine: Machine, workspace: Path) -> Inputs:
    """What holds for later steps, with what the step's own environment said in the place of inputs."""
    values = {name: value for name, value in inputs.values.items() if name not in NOT_KEPT}
    tier = machine.environment.get(TIER)
    if tier and not inputs.given("tier"):
        values["tier"] = tier
    return Inputs({**values, **_credentials(inputs, machine), **_places(Inputs(values), workspace)})


def _of_aws(machine: Machine) -> Mapping[str, str]:
    """The variables of AWS's SDK, but for keys, which are kept as inputs."""
    keys = set(CREDENTIALS.values())
    return {name: value for name, value in machine.environment.items() if name.startswith(AWS) and name not in keys}


def _credentials(inputs: Inputs, machine: Machine) -> Mapping[str, Value]:
    """Those of the environment, which may be the step's alone."""
    if inputs.given(*CREDENTIALS):
        return {}
    found = {name: machine.environment.get(variable, "") for name, variable in CREDENTIALS.items()}
    return {name: value for name, value in found.items() if value}


def _places(inputs: Inputs, workspace: Path) -> Mapping[str, Value]:
    """Folders by whole paths: later steps may work elsewhere."""
    found: dict[str, Value] = {}
    for name, before in (("store", "local:"), ("tier", "")):
        text = inputs.text(name)
        if text and text.startswith(before) and not text.removeprefix(before).startswith(("/", "~")):
            found[name] = f"{before}{workspace / text.removeprefix(before)}"
    return found


def _programs(inputs: Inputs, machine: Machine) -> Mapping[str, str]:
    """Those that are on PATH; with an `engine` only its own."""
    asked = inputs.text("engine") or "auto"
    found = real_programs(machine.environment.get("PATH", os.defpath))
    return {program: real for program, real in found.items() if asked in {"auto", ENGINES[program]}}
