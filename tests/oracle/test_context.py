"""The walk of the build context against fsutil's, filtered as BuildKit's client filters it."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layercache_ci.commands.context import as_json
from layercache_ci.dockerfile.context import open_context
from layercache_ci.errors import InputError
from tests.oracle.client import Oracle, Refused

quick = settings(
    deadline=None, max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
name = st.sampled_from(["a", "b", "ab", "a-b", "a.b", "A", ".a", "é", "a b", "_"])
path = st.lists(name, min_size=1, max_size=4).map("/".join)
mode = st.sampled_from([0o644, 0o755, 0o600, 0o4755, 0o2755, 0o1777, 0o000, 0o6711])
tree = st.dictionaries(
    path,
    st.one_of(
        st.tuples(st.just("file"), mode, st.integers(0, 9)),
        st.tuples(st.just("dir"), mode, st.just(0)),
        st.tuples(st.just("symlink"), path, st.just(0)),
        st.tuples(st.just("hardlink"), st.just(0), st.just(0)),
        st.tuples(st.just("fifo"), mode, st.just(0)),
    ),
    max_size=12,
)
piece = st.sampled_from(
    ["a", "b", "a/", "b/", "*", "**", "/**", "**/", "?", "ab", ".", "[ab]", "a/b", "a-b", "A", "/*"]
)
line = st.builds(
    lambda negated, pieces: "!" * negated + "".join(pieces), st.booleans(), st.lists(piece, min_size=1, max_size=4)
)


def make(root: Path, description: dict[str, Any]) -> None:
    """Makes what of the description can be made: a path may run through what is a file already."""
    files: list[Path] = []
    for relative, (kind, value, size) in description.items():
        target = root / relative
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if kind == "file":
                target.write_bytes(b"x" * size)
            elif kind == "dir":
                target.mkdir()
            elif kind == "symlink":
                target.symlink_to(value)
            elif kind == "hardlink" and files:
                target.hardlink_to(files[len(relative) % len(files)])
            elif kind == "fifo":
                os.mkfifo(target)
        except OSError:
            continue
        if kind == "file":
            files.append(target)
        if kind in ("file", "dir", "fifo"):
            target.chmod(value | (0o700 if kind == "dir" else 0))


def ours(root: Path) -> Any:
    """None where it is refused."""
    try:
        return as_json(open_context(root, root / "Dockerfile", family="buildkit"))["files"]
    except InputError:
        return None


def theirs(oracle: Oracle, root: Path, *, uid: int = 0) -> Any:
    ignore_file = root / ".dockerignore"
    try:
        patterns = []
        if ignore_file.is_file():
            patterns = oracle.ask("ignorefile", data=base64.b64encode(ignore_file.read_bytes()).decode())
        return oracle.ask("context", dir=str(root), ignore=patterns, uid=uid)
    except Refused:
        return None


@quick
@given(description=tree, lines=st.lists(line, max_size=5))
def test_generated_trees_are_listed_as_by_fsutil(oracle: Oracle, description: dict[str, Any], lines: list[str]) -> None:
    root = Path(tempfile.mkdtemp(prefix="layercache-context-"))
    try:
        make(root, description)
        if lines:
            (root / ".dockerignore").write_text("\n".join(lines))
        listed = ours(root)
        assert listed == theirs(oracle, root)
        assert listed is not None
    finally:
        shutil.rmtree(root)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A small project of the usual shape."""
    for relative in [
        "Dockerfile", "README.md", "README-secret.md", "docs/a.md", "docs/b/c.md", "src/main.py", "src/test/t.py",
        "src/node_modules/x/index.js", "node_modules/x/index.js", "node_modules/keep/me.js", "build/out/a.o",
        "build/out/b.o", "build/keep.txt", ".git/HEAD", ".env", "a/b/c/d/e.txt", "foo", "foo-bar/x", "foo/bar",
        "with space/x y.txt", "#odd", "[1]",
    ]:  # fmt: skip
        target = tmp_path / relative
        if target.parent.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(relative)
    return tmp_path


RULES = {
    "nothing": "",
    "comment": "# README.md\n #odd\n",
    "comment only in the first column": " # x\n\\#odd",
    "one file": "README.md",
    "a leading slash": "/README.md\n/docs",
    "a trailing slash": "docs/\nREADME.md/",
    "dots": "./README.md\nsrc/../docs",
    "outside": "../README.md\n..",
    "a star": "*.md",
    "a star one level down": "*/*.md",
    "a star two levels down": "*/*/*.md",
    "a question mark": "fo?",
    "any depth": "**/*.md",
    "a directory at any depth": "**/node_modules",
    "all below": "docs/**",
    "everything": "*",
    "everything, too": "**",
    "everything below one": "src/*",
    "an exception": "*.md\n!README.md",
    "the order counts": "*.md\n!README*.md\nREADME-secret.md",
    "the order counts the other way": "*.md\nREADME-secret.md\n!README*.md",
    "all but": "*\n!src\n!Dockerfile",
    "all but what is deep": "**\n!src/main.py\n!a/b/c/d/e.txt",
    "an exception below an excluded directory": "node_modules\n!node_modules/keep",
    "an exception with a wildcard": "node_modules\n!**/me.js",
    "an exception with a trailing star": "build\n!build/out/*",
    "an exception with two stars": "build\n!build/out/**",
    "excluded, excepted, excluded": "build\n!build/out\nbuild/out/a.o",
    "an exception that names a prefix": "foo-bar\n!foo",
    "an exception with a slash": "*\n!/src",
    "an exception with spaces": "*\n! src \n!with space/x y.txt",
    "a class": "[a-e]*",
    "a negated class": "[^a-e]*",
    "an escape": "\\[1\\]",
    "a class that looks like a name": "[1]",
    "the Dockerfile and itself": "Dockerfile\n.dockerignore",
    "CRLF": "*.md\r\n!README.md\r\n",
    "a byte order mark": "\ufeff*.md\n",
    "blank lines": "\n\n  \n*.md\n\n",
    "a lone exclamation mark": "!",
    "an exclamation mark and a slash": "!/",
    "a bad class": "[a-",
    "a bad class behind a match": "*\n[]",
    "a bad escape": "a\\",
    "a range that runs backwards": "[z-a]",
    "a range that runs backwards and is never tried": "*\n[z-a]",
    "an escape that is none": "\\y*",
    "a slash": "/",
    "a dot": ".",
}


@pytest.mark.parametrize("text", RULES.values(), ids=RULES.keys())
def test_every_rule_of_the_reference(oracle: Oracle, app: Path, text: str) -> None:
    (app / ".dockerignore").write_bytes(text.encode())
    assert ours(app) == theirs(oracle, app)


def test_special_files(oracle: Oracle, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o640)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        assert ours(tmp_path) == theirs(oracle, tmp_path)
    assert [(file["path"], file["size"]) for file in ours(tmp_path)] == [("fifo", 0), ("socket", 0)]


def test_links_of_both_kinds(oracle: Oracle, tmp_path: Path) -> None:
    (tmp_path / "first").write_text("text")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/second").hardlink_to(tmp_path / "first")
    (tmp_path / "absolute").symlink_to("/etc/passwd")
    (tmp_path / "untidy").symlink_to("./sub//../first/")
    os.link(tmp_path / "untidy", tmp_path / "untidy-too", follow_symlinks=False)
    (tmp_path / "directory").symlink_to("sub")
    assert ours(tmp_path) == theirs(oracle, tmp_path)
    (tmp_path / ".dockerignore").write_text("first")
    assert ours(tmp_path) == theirs(oracle, tmp_path)


def test_the_context_may_be_a_symbolic_link(oracle: Oracle, app: Path) -> None:
    link = app.with_name(app.name + "-link")
    link.symlink_to(app)
    assert ours(link) == theirs(oracle, link) == ours(app)


@pytest.mark.parametrize("lines", ["", "closed", "closed\n!closed/a", "closed/a", "*\n!open", "*\n!**/a"])
def test_a_directory_that_cannot_be_read(oracle: Oracle, lines: str) -> None:
    nobody = 65534 if os.geteuid() == 0 else 0  # root reads everything
    root = Path(tempfile.mkdtemp(prefix="layercache-context-"))
    try:
        root.chmod(0o755)
        (root / "open").mkdir(mode=0o755)
        (root / "closed").mkdir(mode=0)
        (root / ".dockerignore").write_text(lines)
        os.seteuid(nobody or os.geteuid())
        listed = ours(root)
        os.seteuid(os.getuid())
        assert listed == theirs(oracle, root, uid=nobody)
        assert (listed is None) == (lines in ("", "closed/a"))
    finally:
        os.seteuid(os.getuid())
        (root / "closed").chmod(0o700)
        shutil.rmtree(root)


def test_what_is_no_directory_is_refused_by_both(oracle: Oracle, app: Path) -> None:
    for root in (app / "missing", app / "foo"):
        assert ours(root) is theirs(oracle, root) is None
