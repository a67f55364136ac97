"""The engines of the lab: each is a folder of wrappers for PATH and an environment, and can be had emptied at will."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.lab.configuration import write_configuration, write_home
from tests.lab.paths import CHECKOUT, LARGE, USER, LabPaths

PROGRAMS: Final = ("buildah", "podman", "skopeo")


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table: which program, of which Debian, as whom."""

    program: str
    sid: bool = False
    rootless: bool = False


KINDS: Final = MappingProxyType(
    {
        "buildah-1.28": Kind("buildah"),
        "podman-4.3": Kind("podman"),
        "buildah-sid": Kind("buildah", sid=True),
        "podman-sid": Kind("podman", sid=True),
        "buildah-rootless": Kind("buildah", rootless=True),
        "podman-rootless": Kind("podman", rootless=True),
    }
)


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine with a storage of its own, empty at first.

    Anything that runs with `environment` finds this engine, and no other, as `buildah`, `podman` and `skopeo` on its
    PATH, with its own storage, configuration and temporary folder.
    """

    name: str
    program: str
    """`buildah` or `podman`: what `layercache build --engine` takes."""
    folder: Path
    environment: Mapping[str, str]
    prefix: tuple[str, ...]
    """Comes before every command: what makes it run as the right user."""
    layercache: tuple[str, ...]
    """The command `layercache` for this engine, prefix included."""

    def run(
        self, *arguments: str | Path, check: bool = True, cwd: Path | None = None, program: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs the engine. Raises AssertionError with its whole output when check is asked for and it fails."""
        argv = [*self.prefix, str(self.folder / "bin" / (program or self.program)), *map(str, arguments)]
        return call(argv, self.environment, check=check, cwd=cwd or self.folder)

    def build(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs `layercache build --engine <this one>` with these arguments."""
        argv = [*self.layercache, "build", "--engine", self.program, *map(str, arguments)]
        return call(argv, self.environment, check=check, cwd=self.folder)

    def remove(self) -> None:
        """Unmounts what the engine left mounted and deletes its storage."""
        unmount_below(self.folder)
        # not rmtree: layercache may be removing a part of it at the same time
        subprocess.run(["rm", "-rf", "--", self.folder], check=True)


def unmount_below(folder: Path) -> None:
    """Unmounts everything under a folder, the innermost first."""
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        point = line.split()[4]
        if point.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", point], check=True)


def call(
    argv: Sequence[str], environment: Mapping[str, str], *, check: bool, cwd: Path
) -> subprocess.CompletedProcess[str]:
    """A finished process with its output as text. Raises AssertionError with that output when check and it failed."""
    done = subprocess.run(
        argv, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        check=False,
    )  # fmt: skip
    if check and done.returncode:
        raise AssertionError(f"{shlex.join(argv)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def make_engine(name: str, paths: LabPaths, session: Path, registry: str) -> Engine:
    """An emptied engine in a new folder of the session. Raises RuntimeError when the lab is not installed."""
    kind = KINDS[name]
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=session))
    for part in ("bin", "tmp"):
        (folder / part).mkdir()
    for program in PROGRAMS:
        _write_wrapper(folder / "bin" / program, program, paths if kind.sid else None)
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(folder / "tmp"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    if kind.rootless:
        return _rootless(name, kind, folder, environment, registry)
    environment |= write_configuration(folder, folder, [registry], newer=kind.sid)
    layercache = (str(CHECKOUT / ".venv/bin/layercache"),)
    return Engine(name, kind.program, folder, MappingProxyType(environment), (), layercache)


def _write_wrapper(wrapper: Path, program: str, other: LabPaths | None) -> None:
    """This machine's program, or the one of the other tree in a mount namespace that lives as long as it runs."""
    if other is None:
        command = f'exec /usr/bin/{program} "$@"'
    else:
        if not other.sid.is_dir():
            raise RuntimeError(f"{other.sid} is not there: make lab sets it up")
        shared = dict.fromkeys(map(str, (Path("/tmp"), Path(LARGE), CHECKOUT, other.folder)))
        enter = [str(CHECKOUT / "tests/lab/in-root"), str(other.sid), ":".join(shared), program]
        command = f'exec unshare --mount --propagation private {shlex.join(enter)} "$@"'
    wrapper.write_text(f"#!/bin/sh\n{command}\n")
    wrapper.chmod(0o755)


def _rootless(name: str, kind: Kind, folder: Path, environment: dict[str, str], registry: str) -> Engine:
    """The same for the lab's ordinary user, whose home, and with it the storage, is a new folder."""
    user = pwd.getpwnam(USER)
    python = folder / "python"
    environment |= write_home(folder, [registry], newer=kind.sid)
    shutil.copytree(CHECKOUT / "layercache_ci", python / "layercache_ci", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    environment |= {"USER": USER, "LOGNAME": USER, "PYTHONPATH": str(python)}
    prefix = ("setpriv", "--reuid", USER, "--regid", USER, "--init-groups", "--")
    layercache = (*prefix, f"{user.pw_dir}/venv/bin/python", "-m", "layercache_ci")
    return Engine(name, kind.program, folder, MappingProxyType(environment), prefix, layercache)
