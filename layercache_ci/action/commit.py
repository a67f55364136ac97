"""The files of a commit as a folder, without the network: what BuildKit's git source makes of it (its source/git), out
of the objects that the workspace's repository has.

Git works in an empty repository of ours, which only borrows the objects, and with nobody's configuration. So nothing of
the user's is written, no hook or filter of theirs runs (Git LFS's neither: BuildKit has none, and leaves its pointers),
no owner is in the way, and no remote is asked for what a partial clone has not.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layercache_ci.errors import CacheError

HASH: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SHA256: Final = 64
GITLINK: Final = "160000 "
UMASK: Final = 0o022
"""As BuildKit has it: a runner's own would be in the files' modes, and so in the image."""
ROOT_MODE: Final = 0o755
GIT: Final = "git"
ALONE: Final = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "HOME": os.devnull,
    "LC_ALL": "C",
}


@dataclass(frozen=True, slots=True)
class _Git:
    """Git in a repository of ours with a work tree, both named to it."""

    repository: Path
    tree: Path
    environment: Mapping[str, str]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Raises OSError where it can't be started."""
        return subprocess.run(
            [GIT, f"--git-dir={self.repository}", f"--work-tree={self.tree}", *words],
            cwd=self.tree, env=self.environment, umask=UMASK, check=False,
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="surrogateescape",
        )  # fmt: skip

    def demand(self, what: str, *words: str) -> str:
        """Its output. Raises CacheError, in which `what` and its first line say what is wrong, where it fails."""
        done = self.run(*words)
        if done.returncode != 0:
            said = next(iter(done.stderr.strip().splitlines()), f"exit code {done.returncode}")
            raise CacheError(f"{what}: {said}")
        return done.stdout


def export_commit(commit: str, workspace: Path, place: Path, origin: str, environment: Mapping[str, str]) -> None:
    """Write its files into the new folder `place`, alone in a new folder with a repository of the commit, by which
    buildx names it and the URL `origin` in a provenance. Raises CacheError with the reason where that can't be done,
    and leaves nothing then."""
    objects = _objects(workspace)
    if objects is None:
        raise CacheError("the workspace holds no git repository")
    if not HASH.fullmatch(commit):
        raise CacheError(f"{commit!r} is no commit")
    git = _Git(place.parent / ".git", place, {"PATH": environment.get("PATH", os.defpath), **ALONE})
    try:
        place.mkdir(parents=True)
        place.chmod(ROOT_MODE)
        _borrow(git, objects, sha256=len(commit) == SHA256)
        _demand_plain(git, commit)
        git.demand("not all of the commit is here", "checkout", "--quiet", commit, "--", ".")
        git.demand("git config", "config", "remote.origin.url", origin)
        (git.repository / "HEAD").write_text(f"{commit}\n")
    except BaseException as error:
        shutil.rmtree(place.parent, ignore_errors=True)
        if isinstance(error, OSError):
            absent = isinstance(error, FileNotFoundError) and error.filename == GIT
            raise CacheError("there is no git" if absent else f"git: {error}") from error
        raise


def _objects(workspace: Path) -> Path | None:
    """Where the repository of the workspace keeps its objects (gitrepository-layout(5)); None where there is none."""
    place = workspace / ".git"
    try:
        if place.is_file():
            place = workspace / place.read_text().removeprefix("gitdir:").strip()
        common = place / "commondir"  # of a worktree
        if common.is_file():
            place /= common.read_text().strip()
        objects = (place / "objects").resolve()
        return objects if objects.is_dir() else None
    except (OSError, ValueError):
        return None


def _borrow(git: _Git, objects: Path, *, sha256: bool) -> None:
    """Make an empty repository that finds those objects. Raises OSError and CacheError."""
    git.demand("git init", "init", "--quiet", "--template=", *(["--object-format=sha256"] if sha256 else []))
    information = git.repository / "objects/info"
    information.mkdir(exist_ok=True)
    (information / "alternates").write_bytes(os.fsencode(objects) + b"\n")


def _demand_plain(git: _Git, commit: str) -> None:
    """Raises CacheError where there is no such commit, or where it has what only BuildKit fetches."""
    listed = git.run("ls-tree", "-r", "-z", commit)
    if listed.returncode != 0:
        raise CacheError(f"the repository in the workspace has no commit {commit}")
    if any(entry.startswith(GITLINK) for entry in listed.stdout.split("\0")):
        raise CacheError("the commit has submodules")
