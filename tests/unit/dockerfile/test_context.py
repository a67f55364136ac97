from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path

import pytest

from layercache_ci import cli
from layercache_ci.dockerfile.context import Context, Entry, open_context, walk
from layercache_ci.dockerfile.ignore import PatternMatcher
from layercache_ci.errors import InputError


def tree(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(file)
    return root


def names(entries: tuple[Entry, ...] | list[Entry]) -> list[str]:
    return [entry.path for entry in entries]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    tree(tmp_path, "a/b/c.py", "a/b.py", "a-b/c.py", "z.py", "z.txt", "[x].py")
    (tmp_path / "to-a").symlink_to("a")
    (tmp_path / "a/up").symlink_to("../../../z.py")
    (tmp_path / "a/root").symlink_to("/a-b/./")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "chain").symlink_to("to-a/root")
    (tmp_path / "dangling").symlink_to("nowhere/at/all")
    return open_context(tmp_path, tmp_path / "Dockerfile", family="buildkit")


def test_the_order_is_by_component(context: Context) -> None:
    assert names(context.entries) == [
        "[x].py", "a", "a/b", "a/b/c.py", "a/b.py", "a/root", "a/up", "a-b", "a-b/c.py", "chain", "dangling", "loop",
        "to-a", "z.py", "z.txt",
    ]  # fmt: skip


def test_finding_entries(context: Context) -> None:
    assert context.get("/a/./b.py/") is context.get("a/b.py")
    assert context.get("a/b.py") is not None
    assert context.get(".") is None
    assert context.get("to-a/b.py") is None
    assert names(context.under("a")) == ["a/b", "a/b/c.py", "a/b.py", "a/root", "a/up"]
    assert names(context.under("a/b")) == ["a/b/c.py"]
    assert names(context.under("to-a")) == names(context.under("z.py")) == names(context.under("missing")) == []
    assert context.under(".") == context.under("/") == context.entries
    assert [entry.path for entry in context.children("a")] == ["a/b", "a/b.py", "a/root", "a/up"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.py", ["[x].py", "z.py"]),
        ("/z.*", ["z.py", "z.txt"]),
        ("*/*.py", ["a/b.py", "a-b/c.py"]),  # and by way of links, the same ones
        ("a*", ["a", "a-b"]),
        ("**/c.py", ["a-b/c.py"]),
        ("to-?/*.py", ["a/b.py"]),
        ("[[]x].py", ["[x].py"]),
        ("\\[x].py", ["[x].py"]),
        ("[^a]-?", []),
        ("z.py", ["z.py"]),
        ("missing*", []),
    ],
)
def test_wildcards(tmp_path: Path, context: Context, pattern: str, found: list[str]) -> None:
    (tmp_path / "loop").unlink()
    context = Context(context.root, None, tuple(walk(tmp_path, None)))
    assert names(context.glob(pattern)) == found


def test_a_bad_wildcard_is_refused(context: Context) -> None:
    with pytest.raises(InputError, match=r'source "z\[": .*backslash'):
        context.glob("z[")


@pytest.mark.parametrize(
    ("path", "followed"),
    [
        (".", ""),
        ("a/b.py", "a/b.py"),
        ("to-a", "a"),
        ("to-a/b/c.py", "a/b/c.py"),
        ("chain/c.py", "a-b/c.py"),
        ("a/up", "z.py"),
        ("/../../a", "a"),
        ("dangling/x", "nowhere/at/all/x"),
        ("missing/../a", "a"),
    ],
)
def test_following_links(context: Context, path: str, followed: str) -> None:
    assert context.follow(path) == followed


def test_a_loop_of_links_is_refused(context: Context) -> None:
    with pytest.raises(InputError, match=r'"loop/x" .* circle'):
        context.follow("loop/x")


def test_excluded_directories_are_listed_for_what_is_in_them(tmp_path: Path) -> None:
    tree(tmp_path, "a/b/keep", "a/b/drop", "a/c/drop", "d/drop")
    assert names(walk(tmp_path, PatternMatcher(["*", "!a/b/keep"]))) == ["a", "a/b", "a/b/keep"]


def test_directories_that_are_excluded_for_good_are_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, "a/b/c", "d/e/f")
    entered: list[str] = []
    scandir = os.scandir

    def watched(path: str) -> object:
        entered.append(os.path.relpath(path, tmp_path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watched)
    assert names(walk(tmp_path, PatternMatcher(["a", "!d/e", "d"]))) == []
    assert entered == [".", "d", "d/e"]


def test_a_deep_tree_needs_no_deep_stack(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 200)
    (tmp_path / deep).mkdir(parents=True)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        entries = walk(tmp_path, PatternMatcher(["**/e", "!x"]))
    finally:
        sys.setrecursionlimit(limit)
    assert entries[-1].path == deep


def test_modes_sizes_and_links(tmp_path: Path) -> None:
    tree(tmp_path, "file")
    (tmp_path / "file").chmod(0o4711)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    (tmp_path / "link").symlink_to("./else//where")
    (tmp_path / "second").hardlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "fifo", 0o600)
    listed = [
        (entry.path, entry.type, entry.mode, entry.size, entry.link, entry.special) for entry in walk(tmp_path, None)
    ]
    assert listed == [
        ("fifo", "file", 0o600, 0, "", "fifo"),
        ("file", "file", 0o4711, 4, "", ""),
        ("link", "symlink", 0o777, 13, "./else//where", ""),
        ("second", "file", 0o4711, 4, "file", ""),
        ("tmp", "dir", 0o1777, 0, "", ""),
    ]


def test_a_name_that_is_no_utf_8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).touch()
    (tmp_path / "\U0001f600").touch()
    assert names(walk(tmp_path, None)) == ["\U0001f600", "\udcff"]
    assert names(walk(tmp_path, PatternMatcher(["\udcff"]))) == ["\U0001f600"]


@pytest.mark.parametrize(("name", "problem"), [("missing", "does not exist"), ("file", "is not a directory")])
def test_a_context_that_is_none(tmp_path: Path, name: str, problem: str) -> None:
    tree(tmp_path, "file")
    with pytest.raises(InputError, match=f'build context ".*/{name}" {problem}: name the directory'):
        open_context(tmp_path / name, tmp_path / "Dockerfile", family="buildkit")


def test_the_engines_read_their_own_ignore_files(tmp_path: Path) -> None:
    tree(tmp_path, "a", "b")
    (tmp_path / ".dockerignore").write_text(".*\n!/a\na")
    (tmp_path / ".containerignore").write_text(".*\nb")
    docker = open_context(tmp_path, tmp_path / "Dockerfile", family="buildkit")
    assert (docker.ignore_file, names(docker.entries)) == (tmp_path / ".dockerignore", ["b"])
    podman = open_context(tmp_path, tmp_path / "Dockerfile", family="containers")
    assert (podman.ignore_file, names(podman.entries)) == (tmp_path / ".containerignore", ["a"])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree(tmp_path, "a b", "c", "Dockerfile")
    (tmp_path / "a b").chmod(0o640)
    (tmp_path / "File.dockerignore").write_text("*\n!a b\n")
    assert cli.run(["context", "--json", str(tmp_path), "-f", str(tmp_path / "File")]) == 0
    assert capsys.readouterr().out == (
        f'{{"ignore_file": "{tmp_path}/File.dockerignore", '
        '"files": [{"path": "a b", "type": "file", "mode": "0640", "size": 3, "link": ""}]}\n'
    )


def test_the_command_without_json(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    tree(tmp_path, "a/b", "c")
    assert cli.run(["context", str(tmp_path)]) == 0
    assert capsysbinary.readouterr().out == b"a\na/b\nc\n"


def test_the_command_refuses_a_bad_pattern_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".dockerignore").write_text("ok\n[a-\n")
    assert cli.run(["context", "--json", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith(
        f': {tmp_path}/.dockerignore:2: pattern "[a-": a character class that is not closed, is empty, '
        "or has a bare -; put a backslash before a character that is meant literally\n"
    )
    assert captured.err.count("\n") == 1


def test_the_command_refuses_a_dockerfile_that_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree(tmp_path, "Dockerfile")
    assert (
        cli.run(["context", str(tmp_path)]) == cli.run(["context", str(tmp_path), "-f", f"{tmp_path}/Dockerfile"]) == 0
    )
    capsys.readouterr()
    assert cli.run(["context", str(tmp_path), "-f", f"{tmp_path}/missing"]) == 2
    assert f'Dockerfile "{tmp_path}/missing" does not exist: name one' in capsys.readouterr().err


def test_an_ignore_file_that_is_refused_while_it_is_tried(tmp_path: Path) -> None:
    tree(tmp_path, "a")
    (tmp_path / ".dockerignore").write_bytes(b"\xef\xbb\xbfok\r\n#x\r\n![z-a] \r\n[z-a]\r\n")
    with pytest.raises(InputError, match=r'/\.dockerignore:4: pattern "\[z-a\]": a range that runs backwards; put'):
        open_context(tmp_path, tmp_path / "Dockerfile", family="buildkit")
    (tmp_path / ".dockerignore").write_bytes(b"x" * 70000)
    with pytest.raises(InputError, match=r"/\.dockerignore: line 1 of the ignore file has 70000 bytes"):
        open_context(tmp_path, tmp_path / "Dockerfile", family="buildkit")
