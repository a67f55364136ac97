"""A row of the scenario suite: what is built, what changes, and what each step then does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e import expect_buildkit
from tests.lab.engines import BUILDKIT

BASE = "127.0.0.1:PORT/busybox:latest"
"""The base image in Dockerfiles and options here; the lab's registry has another port in each run."""

SITE = "/SITE"
"""The folder beside the build context, in options."""


@dataclass(frozen=True, slots=True)
class File:
    content: str | bytes = ""
    mode: int = 0o644
    owner: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    target: str


@dataclass(frozen=True, slots=True)
class Folder:
    mode: int = 0o755


@dataclass(frozen=True, slots=True)
class HardLink:
    """Another name, relative to the context, of a file that stands before it."""

    of: str


Node = str | bytes | File | Link | HardLink | Folder
"""A text or bytes alone are a file with mode 0644."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One scenario. A build on engine A, then what starts with `then_`, then a build on the emptied engine B.

    `expect` has a letter for each instruction behind a FROM, a blank between stages: `h` hit, `m` miss, `-` not run; an
    upper-case letter where the prediction has to be `unknown`. Engine A, which kept its cache, must do the same, but
    where `kept` says otherwise, for the reason in `kept_differs`. `newer` replaces `expect` on Buildah 1.43 and the
    Podman with it, and `kept_newer` then `kept`.
    """

    name: str
    dockerfile: str
    files: Mapping[str, Node] = field(default_factory=dict)
    """By path in the context; `../x` lies beside it, in the site."""
    options: tuple[str, ...] = ()
    engine_options: tuple[str, ...] = ()
    """The engine's own, for layercache behind `--`."""
    then_dockerfile: str | None = None
    then_files: Mapping[str, Node | None] = field(default_factory=dict)
    """Written over `files`; None removes."""
    then_options: tuple[str, ...] | None = None
    expect: str
    newer: str | None = None
    kept: str | None = None
    kept_newer: str | None = None
    kept_differs: str = ""
    result: Mapping[str, str] = field(default_factory=dict)
    """Files of the image after the change, with their content."""
    again: str | None = None
    """What an unchanged third build does, where it isn't a hit for every step."""
    everywhere: bool = False
    """Belongs to those that `make test` runs on every engine."""
    only: str = ""
    """`old` or `new`: for engines before or with heredocs only."""
    not_podman: str = ""
    """Why it is not for Podman."""

    def runs_on(self, engine: str) -> bool:
        if engine in BUILDKIT:
            refused = expect_buildkit.REFUSED_BY.get(engine, ())
            return self.name in expect_buildkit.EXPECT and self.name not in refused
        if self.not_podman and engine.startswith("podman"):
            return False
        return self.only in {"", "new" if is_newer(engine) else "old"}

    def expected(self, engine: str) -> str:
        if engine in BUILDKIT:
            return expect_buildkit.EXPECT[self.name]
        return self.newer if self.newer is not None and is_newer(engine) else self.expect

    def expected_of_kept(self, engine: str) -> str:
        """What an engine that kept its cache does, steps that do not run left out."""
        if engine in BUILDKIT:
            kept = expect_buildkit.KEPT.get(self.name)
        else:
            kept = self.kept_newer if is_newer(engine) else self.kept
        return (self.expected(engine).lower() if kept is None else kept).replace("-", "")

    def own_options(self, engine: str) -> tuple[str, ...]:
        """The options that stand behind `--`: Buildah's and Podman's."""
        return () if engine in BUILDKIT else self.engine_options

    def builds_the_same(self, engine: str) -> bool:
        """Whether the engine that kept its cache has the same image."""
        if engine in BUILDKIT:
            return self.name not in {*expect_buildkit.KEPT, *expect_buildkit.UNLIKE.get(engine, ())}
        return not self.kept_differs

    def write(self, site: Path, base: str, *, changed: bool) -> Path:
        """Write context and Dockerfile, before or after the change, below a new folder; gives the context."""
        context = site / "context"
        dockerfile = self.then_dockerfile if changed and self.then_dockerfile is not None else self.dockerfile
        files = {**self.files, **(self.then_files if changed else {})}
        if dockerfile:
            files.setdefault("Dockerfile", dockerfile)
        nodes = {path: node for path, node in files.items() if node is not None}
        write_tree(
            context, {path: node.replace(BASE, base) if isinstance(node, str) else node for path, node in nodes.items()}
        )
        return context

    def arguments(self, site: Path, base: str, *, changed: bool) -> list[str]:
        options = self.then_options if changed and self.then_options is not None else self.options
        return [option.replace(BASE, base).replace(SITE, str(site)) for option in options]


def is_newer(engine: str) -> bool:
    """Whether the Buildah in this engine of the lab is sid's."""
    return engine.endswith("-sid")


def write_tree(root: Path, nodes: Mapping[str, Node]) -> None:
    """Write files with exactly the modes asked for, whatever the umask is."""
    make_folder(root)
    for name, node in nodes.items():
        path = Path(os.path.normpath(root / name))
        make_folder(path.parent)
        match node:
            case Link(target):
                path.symlink_to(target)
            case HardLink(of):
                path.hardlink_to(root / of)
            case Folder(mode):
                path.mkdir(exist_ok=True)
                path.chmod(mode)
            case File(content, mode, owner):
                write_file(path, content, mode)
                shutil.chown(path, owner, owner)
            case str() | bytes():
                write_file(path, node, 0o644)


def make_folder(path: Path) -> None:
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir()
        path.chmod(0o755)


def write_file(path: Path, content: str | bytes, mode: int) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
