"""What a step with `setup: true` leaves for the later steps of its job: a folder of programs that come first on PATH,
and a file that says with what cache they build."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Final

from layercache_ci.action.inputs import Inputs
from layercache_ci.action.setup.command import FIRST
from layercache_ci.settings import MARK, without_shims

PROGRAMS: Final = "bin"
SETTINGS: Final = "setup.json"
BUILDS: Final = "builds"
ENTRY: Final = Path(__file__).resolve().parent / "shim.py"
PRIVATE: Final = 0o600

SHIM: Final = """\
#!/bin/sh
# Made by layercache: a command that builds is cached, any other is the real program's.
case " {program}:$$ {program}:$PPID " in
*" ${{LAYERCACHE_STARTED:-none}} "*)  # the real program is a script that starts what stands behind it on PATH
    bin={place}
    PATH=:$PATH:
    PATH=${{PATH%%:"$bin":*}}:${{PATH#*:"$bin":}}
    PATH=${{PATH#:}}
    PATH=${{PATH%:}}
    exec {program} "$@"
    ;;
esac
export LAYERCACHE_STARTED={program}:$$
case "${{1-}}" in
{first} | -*)
    if [ -r {settings} ] && [ -x {python} ] && [ -r {entry} ]; then
        exec {python} -I {entry} {folder} {program} {real} "$@"
    fi
    ;;
esac
exec {real} "$@"
"""
"""For all else nothing but a shell is started: scripts ask for the state of a container many times a second."""


@dataclass(frozen=True, slots=True)
class Setup:
    """`inputs` are the step's; `environment` are variables that only steps of an action are given, the cache's tokens;
    `path` is where Python finds us and what we need; `defaults` are the step's variables for AWS's SDK, for later steps
    that have others unset."""

    folder: Path
    inputs: Inputs
    environment: Mapping[str, str]
    path: tuple[str, ...]
    defaults: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Setup:
        """Raises OSError and ValueError."""
        value = _read(folder / SETTINGS, inputs=dict, environment=dict, path=list, defaults=dict)
        inputs = {name: tuple(each) if isinstance(each, list) else each for name, each in value["inputs"].items()}
        return cls(folder, Inputs(inputs), value["environment"], tuple(value["path"]), value["defaults"])

    def write(self) -> None:
        """Into its folder, which nobody else can enter. Raises OSError."""
        (self.folder / BUILDS).mkdir()
        value = {
            "inputs": dict(self.inputs.values), "environment": dict(self.environment), "path": list(self.path),
            "defaults": dict(self.defaults),
        }  # fmt: skip
        handle = os.open(self.folder / SETTINGS, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(handle, "w") as file:
            json.dump(value, file)

    def write_shims(self, programs: Mapping[str, str]) -> Path:
        """For programs by their names, each by its own path; the folder to put on PATH. Raises OSError."""
        place = self.folder / PROGRAMS
        place.mkdir()
        (place / MARK).touch()
        for program, real in programs.items():
            words = {
                "settings": self.folder / SETTINGS, "python": sys.executable, "entry": ENTRY, "folder": self.folder,
                "program": program, "real": real, "place": place,
            }  # fmt: skip
            quoted = {name: shlex.quote(str(word)) for name, word in words.items()}
            (place / program).write_text(SHIM.format(first=" | ".join(FIRST[program]), **quoted))
            (place / program).chmod(0o755)
        return place

    def new_build(self) -> Path:
        """A folder for what one build leaves; by their names they are in the order of their beginning. Raises
        OSError."""
        return Path(tempfile.mkdtemp(prefix=f"{time.time_ns()}-", dir=self.folder / BUILDS))

    def builds(self) -> Iterator[Path]:
        """The folders of those that came to their end, in the order of their beginning."""
        for file in sorted((self.folder / BUILDS).glob(f"*/{Made.FILE}")):
            yield file.parent


@dataclass(frozen=True, slots=True)
class Made:
    """A build that came to its end, in a folder of its own; `pid` is the process that saves it."""

    FILE = "build.json"

    folder: Path
    title: str
    pid: int | None

    @classmethod
    def read(cls, folder: Path) -> Made:
        """Raises OSError and ValueError."""
        value = _read(folder / cls.FILE, title=str, pid=int | None)
        return cls(folder, value["title"], value["pid"])

    def write(self) -> None:
        """Raises OSError."""
        part = self.folder / f"{self.FILE}.part"
        part.write_text(json.dumps({"title": self.title, "pid": self.pid}))
        part.rename(self.folder / self.FILE)

    @property
    def report(self) -> Path:
        return self.folder / "report.json"

    @property
    def log(self) -> Path:
        """Of the save."""
        return self.folder / "save.log"


def _read(file: Path, **fields: type | UnionType) -> Mapping[str, Any]:
    """Raises OSError, and ValueError for what has not these fields: any step of the job may have written it."""
    value = json.loads(file.read_bytes())
    if isinstance(value, dict) and all(isinstance(value.get(name), kind) for name, kind in fields.items()):
        return value
    raise ValueError(f"{file}: it is damaged")


def real_programs(path: str) -> dict[str, str]:
    """The programs that there are, by name."""
    found = {program: shutil.which(program, path=without_shims(path)) for program in FIRST}
    return {program: str(Path(place).absolute()) for program, place in found.items() if place is not None}
