"""Programs that are compiled from their published source, each at a version that its name gives, into the lab's bin."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.lab.paths import LabPaths
from tests.lab.run import run, say

GO_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -mod=readonly -trimpath", "GOGC": "400"}
)
"""The same wherever Go compiles something for tests, so that what programs share is compiled once: of Go's library, of
BuildKit and of gRPC alone some minutes. Its compiler is quicker where it collects its garbage less often."""
STRIPPED: Final = "-s -w"
"""For the linker: nobody debugs them."""


def find_program(name: str, paths: LabPaths) -> str | None:
    """The lab's, else this machine's."""
    return shutil.which(name, path=os.pathsep.join((str(paths.bin), os.environ.get("PATH", os.defpath))))


def run_go(*arguments: str, cwd: Path | None = None, **environment: str) -> None:
    """Go, the lab's or this machine's. Raises CommandFailed, with its output."""
    go = find_program("go", LabPaths.here()) or "go"
    run([go, *arguments], cwd=cwd, env={**os.environ, **GO_ENVIRONMENT, **environment})


def install_go_programs(paths: LabPaths, modules: Mapping[str, str]) -> None:
    """By a program's name its module@version; those that are not there yet."""
    paths.bin.mkdir(parents=True, exist_ok=True)
    for name, module in modules.items():
        if find_program(name, paths) is None:
            say(f"lab: {name} (a minute or two)")
            run_go("install", "-ldflags", STRIPPED, module, GOBIN=str(paths.bin))
