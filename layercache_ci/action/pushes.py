"""How the images that this step left have been pushed since, by later steps or as a list: the next job's pushes are
spared what theirs had to find out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from layercache_ci.action import toolkit
from layercache_ci.action.config import with_config
from layercache_ci.action.inputs import read_inputs
from layercache_ci.action.request import common_settings
from layercache_ci.ci.choice import choose
from layercache_ci.engines.containers.pushed import Database, Pushed
from layercache_ci.settings import Machine


def keep_pushes(unpushed: str, folder: Path, machine: Machine) -> None:
    """`unpushed` is the JSON of pipeline.Result's. The store is not opened where no step has pushed anything. Raises
    CacheError, InputError."""
    values: Sequence[Mapping[str, Any]] = json.loads(unpushed)
    images = [
        (Pushed(value["namespace"], value["image"], tuple(value["tags"])), frozenset[str](value["layers"]))
        for value in values
    ]
    database = Database.of(machine)
    if not any(database.forms(layers, pushed.repositories) for pushed, layers in images):
        return
    inputs = with_config(read_inputs(machine.environment), Path.cwd()).check()
    chosen = choose(common_settings(inputs, machine, folder), machine)
    store = chosen.open(machine.environment, toolkit.warning)
    for pushed, layers in images:
        pushed.save(database, store, layers)
