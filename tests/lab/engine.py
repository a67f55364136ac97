"""An engine of the lab as tests see it: an environment in which this engine, and no other, is found."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.removal import clear


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine with a storage of its own, empty at first.

    Anything that runs with `environment` finds this engine, and no other, as `buildah`, `podman` and `skopeo` or as
    `docker` on its PATH, with its own storage, configuration and temporary folder.
    """

    name: str
    program: str
    """`buildah`, `podman` or `buildkit`: what `layercache build --engine` takes."""
    folder: Path
    environment: Mapping[str, str]
    registry: str
    """host:PORT where this engine finds the lab's registry, without TLS. Every engine finds the same images under
    the lab's own address too, but pushes only to this one."""
    prefix: tuple[str, ...]
    """Comes before every command: what makes it run as the right user."""
    layercache: tuple[str, ...]
    """The command `layercache` for this engine, prefix included."""
    resources: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, repr=False, compare=False)
    """Daemons and networks of its own."""

    def run(
        self, *arguments: str | Path, check: bool = True, cwd: Path | None = None, program: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs the engine: `buildah`, `podman` or, for BuildKit, `docker`.

        Raises AssertionError with its whole output when check is asked for and it fails.
        """
        own = "docker" if self.program == "buildkit" else self.program
        argv = [*self.prefix, str(self.folder / "bin" / (program or own)), *map(str, arguments)]
        return call(argv, self.environment, check=check, cwd=cwd or self.folder)

    def plain(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs the build command that layercache replaces, with what the engine kept."""
        command = ("buildx", "build") if self.program == "buildkit" else ("build", "--layers")
        return self.run(*command, *arguments, check=check)

    def build(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs `layercache build --engine <this one>` with these arguments."""
        argv = [*self.layercache, "build", "--engine", self.program, *map(str, arguments)]
        return call(argv, self.environment, check=check, cwd=self.folder)

    def remove(self) -> None:
        """Stops its daemons, unmounts what it left mounted and deletes its storage."""
        try:
            self.resources.close()
        finally:
            clear(self.folder)


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
