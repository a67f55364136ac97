"""Buildah and Podman: each engine is a folder of wrappers for PATH, and an environment."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.lab.configuration import write_configuration, write_home
from tests.lab.engine import Engine
from tests.lab.paths import CHECKOUT, LARGE, USER, LabPaths

PROGRAMS: Final = ("buildah", "podman", "skopeo")


@dataclass(frozen=True, slots=True)
class Containers:
    """A row of the table: which program, of which Debian, as whom."""

    program: str
    sid: bool = False
    rootless: bool = False

    def make(self, name: str, paths: LabPaths, folder: Path, registry: str) -> Engine:
        """An emptied engine in a new folder."""
        for part in ("bin", "tmp"):
            (folder / part).mkdir()
        for program in PROGRAMS:
            _write_wrapper(folder, program, paths if self.sid else None)
        environment = {
            **os.environ,
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "TMPDIR": str(folder / "tmp"),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        if self.rootless:
            return self._rootless(name, folder, environment, registry)
        environment |= write_configuration(folder, folder, [registry], newer=self.sid)
        layercache: tuple[str, ...] = (str(CHECKOUT / ".venv/bin/layercache"),)
        if self.sid:
            blobs = folder / "blobs"
            blobs.mkdir()
            environment["LAYERCACHE_LAB_BLOBS"] = str(blobs)
            own = (str(CHECKOUT / "tests/lab/own-blobs"), str(blobs))
            layercache = ("unshare", "--mount", "--propagation", "private", *own, *layercache)
        return Engine(name, self.program, folder, MappingProxyType(environment), registry, (), layercache)

    def _rootless(self, name: str, folder: Path, environment: dict[str, str], registry: str) -> Engine:
        """The same for the lab's ordinary user, whose home, and with it the storage, is a new folder."""
        user = pwd.getpwnam(USER)
        code, target = CHECKOUT / "layercache_ci", folder / "python/layercache_ci"
        environment |= write_home(folder, [registry], newer=self.sid)
        shutil.copytree(code, target, ignore=shutil.ignore_patterns("__pycache__"))
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)
        environment |= {"USER": USER, "LOGNAME": USER, "PYTHONPATH": str(target.parent)}
        prefix = ("setpriv", "--reuid", USER, "--regid", USER, "--init-groups", "--")
        layercache = (*prefix, f"{user.pw_dir}/venv/bin/python", "-m", "layercache_ci")
        engine = Engine(name, self.program, folder, MappingProxyType(environment), registry, prefix, layercache)
        engine.resources.callback(_end_pause, folder / "runtime")
        return engine


def _end_pause(runtime: Path) -> None:
    """An ordinary user's Podman leaves a process that holds its namespaces."""
    for file in runtime.rglob("pause.pid"):
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(file.read_text()), signal.SIGKILL)


def _write_wrapper(folder: Path, program: str, other: LabPaths | None) -> None:
    """This machine's program, or the one of the other tree in a mount namespace that lives as long as it runs; in a
    folder that may lie on a file system of its own."""
    if other is None:
        command = f'exec /usr/bin/{program} "$@"'
    else:
        if not other.sid.is_dir():
            raise RuntimeError(f"{other.sid} is not there: make lab sets it up")
        shared = dict.fromkeys(map(str, (Path("/tmp"), Path(LARGE), folder.parent, CHECKOUT, other.folder)))
        enter = [str(CHECKOUT / "tests/lab/in-root"), str(other.sid), ":".join(shared), program]
        command = f'exec unshare --mount --propagation private {shlex.join(enter)} "$@"'
    wrapper = folder / "bin" / program
    wrapper.write_text(f"#!/bin/sh\n{command}\n")
    wrapper.chmod(0o755)
