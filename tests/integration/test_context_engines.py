"""Which files of a context Buildah copies under an ignore file: its matcher has no library to compare with."""

from __future__ import annotations

import pytest

from layercache_ci.dockerfile.context import open_context
from tests.conftest import MakeEngine
from tests.lab.lab import Lab

FILES = ["a/b/c", "a/b/d", "a/c", "ab/c", "b/a/c", "b/x/c", "README.md", "x.md", "d/e/f/g", "d/e/h", "a+b", "aab"]
IGNORE_FILES = [
    "a",
    "**/c\n!**/x/c",
    "*\n!a/b",
    "**\n!a/b/c",
    "a\n!a/b/c",
    "a\n!ab/c",
    "**/b\n!a/b/c",
    "/a/\n!/b\n*b",
    "a+b",
    "ab*|b",
    "#a\n b\n",
    "**/e\n!d/e/f",
]


@pytest.mark.parametrize("name", ["buildah-1.28", "buildah-sid"])
def test_ignore_files_exclude_what_the_engine_leaves_out(lab: Lab, make_engine: MakeEngine, name: str) -> None:
    engine = make_engine(name)
    folder = lab.scratch()
    context = folder / "context"
    for file in FILES:
        (context / file).parent.mkdir(parents=True, exist_ok=True)
        (context / file).touch()
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(f"FROM {lab.busybox}\nCOPY . /copied/\nRUN cd /copied && find . -mindepth 1 && echo listed\n")

    for text in IGNORE_FILES:
        (context / ".dockerignore").write_text(text)
        printed = engine.run("build", "--network", "host", "-f", dockerfile, context).stdout.splitlines()
        copied = {line.removeprefix("./") for line in printed if line.startswith("./")}
        ours = {entry.path for entry in open_context(context, dockerfile, family="containers").entries}

        assert "listed" in printed
        assert (text, ours) == (text, copied)
