"""Programs that are compiled from their published source, each at a version that its name gives, into the lab's bin."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from tests.lab.paths import LabPaths
from tests.lab.run import run, say


def find_program(name: str, paths: LabPaths) -> str | None:
    """The lab's, else this machine's."""
    return shutil.which(name, path=os.pathsep.join((str(paths.bin), os.environ.get("PATH", os.defpath))))


def install_go_programs(paths: LabPaths, modules: Mapping[str, str]) -> None:
    """By a program's name its module@version; those that are not there yet."""
    paths.bin.mkdir(parents=True, exist_ok=True)
    for name, module in modules.items():
        if find_program(name, paths) is None:
            say(f"lab: {name} (a minute or two)")
            run(["go", "install", module], env={**os.environ, "GOBIN": str(paths.bin)})
