"""A real builder finds a COPY in its cache exactly where our key says so, whatever changed in the context.

Its content checksum is no library that could be asked; tests/oracle/test_llb.py compares all the rest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layercache_ci.dockerfile.buildkit import Options, buildkit
from tests.conftest import MakeEngine
from tests.lab.engines import Engine
from tests.unit.dockerfile.planning import plan_of

pytestmark = pytest.mark.timeout(300)

COPIES = (
    "COPY a.txt /",
    "COPY sub /x",
    "COPY . /",
    "COPY link /x",
    "COPY flink /x",
    "COPY link/deep /x",
    "COPY sub/inner /x",
    "COPY h1 h2 /x/",
    "COPY a.txt sub /x/",
    "COPY sub a.txt /x/",
    "COPY *.txt /x/",
    "COPY */c.txt /x/",
    "COPY s* /x/",
    "COPY link/* /x/",
    "COPY --exclude=deep sub /x",
    "COPY --exclude=deep/* sub /x",
    "COPY --exclude=*.txt . /x",
    "COPY --exclude=**/d.txt . /x",
    "COPY --exclude=*.txt *.txt sub /x/",
    "COPY --exclude=zz flink /x/",
    "COPY --parents sub/deep/d.txt /x/",
    "COPY --parents ./sub/./deep /x/",
    "COPY --parents s*/deep /x/",
    "COPY --parents sub/**/d.txt /x/",
    "COPY --parents --exclude=deep sub copy /x/",
    "ADD --chmod=600 a.txt sub/c.txt /x/",
)
Change = Callable[[Path], object]


def _write(name: str, text: str) -> Change:
    return lambda root: (root / name).write_text(text)


def _link(name: str, target: str) -> Change:
    def change(root: Path) -> None:
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to(target)

    return change


def _no_hard_link(root: Path) -> None:
    (root / "h2").unlink()
    (root / "h2").write_text("hard")


def _times(root: Path) -> None:
    for path in root.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)


def _owners(root: Path) -> None:
    os.chown(root / "a.txt", 5, 5)
    os.chown(root / "sub", 5, 5)


CHANGES: dict[str, Change] = {
    "nothing": lambda _: None,
    "a file": _write("a.txt", "changed"),
    "a file of a folder": _write("sub/c.txt", "changed"),
    "a file deep in a folder": _write("sub/deep/d.txt", "changed"),
    "the same bytes again": _write("copy/c.txt", "c.txt"),
    "a new file": _write("new.txt", ""),
    "a new file in a folder": _write("sub/new.txt", ""),
    "a new file whose name begins so": _write("sub2", ""),
    "an empty folder": lambda root: (root / "sub" / "empty").mkdir(),
    "a mode": lambda root: (root / "a.txt").chmod(0o755),
    "a set user ID": lambda root: (root / "a.txt").chmod(0o4644),
    "the mode of a folder": lambda root: (root / "sub" / "deep").chmod(0o700),
    "the mode of the context": lambda root: root.chmod(0o700),
    "a name": lambda root: (root / "b.txt").rename(root / "z.txt"),
    "a name in a folder": lambda root: (root / "sub" / "old.txt").rename(root / "sub" / "new.txt"),
    "the name of a folder": lambda root: (root / "sub" / "other").rename(root / "sub" / "moved"),
    "where a link leads": _link("link", "copy"),
    "where a link to a file leads": _link("flink", "b.txt"),
    "where a link in a folder leads": _link("sub/inner", "deep/d.txt"),
    "a file instead of a hard link": _no_hard_link,
    "times": _times,
    "owners": _owners,
    "an attribute": lambda root: os.setxattr(root / "a.txt", "user.note", b"1"),
    "a fifo": lambda root: os.mkfifo(root / "sub" / "fifo"),
    "the ignore file": _write(".dockerignore", "sub/other\n"),
    "the ignore file, with an exception": _write(".dockerignore", "*.txt\n!a.txt\n"),
}


FEW = ("nothing", "a file", "a file deep in a folder", "a mode", "the mode of a folder", "where a link leads", "times")


def _context(root: Path, change: Change) -> Path:
    root.mkdir()
    folder = ("c.txt", "old.txt", "deep/d.txt", "other/o.txt")
    for name in ("a.txt", "b.txt", *(f"{top}/{name}" for top in ("sub", "copy") for name in folder)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(Path(name).name)
    (root / "h1").write_text("hard")
    (root / "h2").hardlink_to(root / "h1")
    for name, target in (("link", "sub"), ("flink", "a.txt"), ("sub/inner", "c.txt"), ("copy/inner", "c.txt")):
        (root / name).symlink_to(target)
    change(root)
    stages = [f"FROM scratch AS s{number}\n{line}\n" for number, line in enumerate(COPIES)]
    takes = [f"COPY --from=s{number} / /{number}/\n" for number in range(len(COPIES))]
    (root / "Dockerfile").write_text("".join([*stages, "FROM scratch\n", *takes]))
    return root


def _cached(engine: Engine, context: Path) -> dict[str, bool]:
    """Whether each COPY was in the builder's cache, by the name of its stage."""
    done = engine.plain("--progress=rawjson", context)
    found: dict[str, bool] = {}
    for vertex in _vertices(done.stderr):
        stage = str(vertex["name"]).removeprefix("[").partition(" ")[0]
        if stage.startswith("s"):
            found[stage] = found.get(stage, False) or bool(vertex.get("cached"))
    return found


def _vertices(output: str) -> Iterator[dict[str, object]]:
    for line in output.splitlines():
        if line.startswith("{"):
            yield from json.loads(line).get("vertexes") or ()


@pytest.mark.parametrize(
    "changes", [pytest.param(FEW, id="few"), pytest.param(tuple(CHANGES), id="all", marks=pytest.mark.all_rows)]
)
def test_what_a_builder_finds_has_a_known_key_and_nothing_else(
    make_engine: MakeEngine, tmp_path: Path, changes: tuple[str, ...]
) -> None:
    engine = make_engine("remote")
    known: set[str] = set()
    different: list[str] = []
    for number, name in enumerate(changes):
        context = _context(tmp_path / str(number), CHANGES[name])
        plan = plan_of(context, dialect=buildkit(Options()))
        cached = _cached(engine, context)
        for stage in list(plan.stages.values())[:-1]:
            (step,) = stage.steps
            if cached[stage.name] != (step.key in known):
                said = "found" if cached[stage.name] else "not found"
                different.append(f"{step.text}, changed: {name}: {said}")
        known.update(key for index in plan.stages for key in plan.chain(index)[1:])

    assert different == []
