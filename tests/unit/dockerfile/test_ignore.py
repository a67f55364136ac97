"""Each case is what moby's libraries say of it (tests/oracle/test_ignore.py compares by the thousand)."""

from __future__ import annotations

from pathlib import Path

import pytest

from layercache_ci.dockerfile.ignore import (
    ContainersMatcher,
    Family,
    PatternMatcher,
    find_ignore_file,
    read_containers_ignore_file,
    read_ignore_file,
)
from layercache_ci.errors import InputError


@pytest.mark.parametrize(
    ("data", "patterns"),
    [
        (b"", ()),
        (b"\xef\xbb\xbfa\nb", ("a", "b")),
        (b"a\r\nb\r\n", ("a", "b")),
        (b"#a\n #a\n", ("#a",)),
        (b"  a \t\n\n \n", ("a",)),
        (b"/a\n//b\n/", ("a", "b", "/")),
        (b"a/\n./b\nc/../d\n../e", ("a", "b", "d", "../e")),
        (b"!a\n! /b\n!\n", ("!a", "!b", "!")),
        (b"!#a\n\\#b", ("!#a", "\\#b")),
        (b"\xc2\xa0a\xc2\x85\x1c", ("a\xc2\x85\x1c".encode("latin-1").decode(),)),
        (b"\xffa", ("\udcffa",)),
    ],
)
def test_reading(data: bytes, patterns: tuple[str, ...]) -> None:
    assert read_ignore_file(data) == patterns


def test_a_line_of_64_kib_is_refused() -> None:
    with pytest.raises(InputError, match=r"line 2 .* 65536 bytes; cut it below 64 KiB"):
        read_ignore_file(b"a\n" + b"b" * 65536)


@pytest.mark.parametrize(
    ("data", "patterns"),
    [
        (b"/a/\n!/b\n#c\n //d", ("a", "!/b", " //d")),
        (b"\xef\xbb\xbfa\r\n/\n", ("\ufeffa\r",)),
    ],
)
def test_reading_as_buildah_and_podman(data: bytes, patterns: tuple[str, ...]) -> None:
    assert read_containers_ignore_file(data) == patterns


@pytest.mark.parametrize(
    ("patterns", "excluded", "kept"),
    [
        (["a"], ["a", "a/b", "a/b/c"], ["b", "b/a", "ab"]),
        (["*"], ["a", "a/b", ".a"], []),
        (["*.md"], ["a.md", ".md"], ["a/b.md", "amd"]),
        (["*/*.md"], ["a/b.md"], ["b.md", "a/b/c.md"]),
        (["**/*.md"], ["a.md", "a/b/c.md"], ["a.mdx"]),
        (["**/a"], ["a", "b/a", "b/a/c"], ["ba"]),
        (["**a"], ["a", "ba", "b/ca"], ["ab"]),
        (["a/**"], ["a/b", "a/b/c"], ["a", "ab"]),
        (["a**"], ["a", "ab/c"], ["ba"]),
        (["a/**/b"], ["a/b", "a/c/b", "a/c/d/b"], ["ab"]),
        (["?"], ["a", "é"], ["ab"]),
        (["[a-c]x", "[^a-c]y"], ["ax", "dy"], ["dx", "ay"]),
        (["\\*"], ["*"], ["a"]),
        (["a.b"], ["a.b"], ["aab"]),
        (["*", "!a"], ["b", "b/a"], ["a", "a/b"]),
        (["*.md", "!README*.md", "README-secret.md"], ["a.md", "README-secret.md"], ["README.md"]),
        (["a", "!a/b", "a/b/c"], ["a", "a/c", "a/b/c"], ["a/b", "a/b/d"]),
        (["!a", "a"], ["a"], []),
        (["a", "!**/b"], ["a"], ["a/b", "a/c/b"]),
        (["  a  ", "", "   "], ["a"], ["b"]),
        (["a|b*"], ["a", "ac", "xb", "bcd"], ["c"]),  # moby does not escape the bar
        (["a{2}*"], ["aa", "aab"], ["a{2}"]),  # nor the braces
        (["a{2}"], ["a{2}"], ["aa"]),
        (["[[:digit:]]", "\\d"], ["1"], ["d", "a"]),
        (["[*]"], ["[]", "^^]", "]"], ["*"]),
        (["a+b*"], ["a+b"], ["aab"]),
        (["\ufeffa*"], ["ab"], ["\ufeffab"]),
        (["*", "[z-a]"], ["a"], []),  # refused only when it is tried, which it never is
    ],
)
def test_matching(patterns: list[str], excluded: list[str], kept: list[str]) -> None:
    matcher = PatternMatcher(patterns)
    assert [path for path in excluded + kept if matcher.matches_or_parent(path)] == excluded


@pytest.mark.parametrize("pattern", ["!", "[", "[]", "[^]", "[a", "[a-]", "[-a]", "a\\", "a[", "!["])
def test_what_is_refused_at_once(pattern: str) -> None:
    with pytest.raises(InputError) as caught:
        PatternMatcher([pattern])
    assert str(caught.value).startswith(f'pattern "{pattern}": ')


@pytest.mark.parametrize("pattern", ["[z-a]", "*\\y", "*\\1", "*{2}", "*{2000}", "?{2,1}", "[[:new:]]", "*\\pL", "x*["])
def test_what_is_refused_when_it_is_tried(pattern: str) -> None:
    with pytest.raises(InputError, match="put a backslash"):
        PatternMatcher([pattern]).match("a", None)


@pytest.mark.parametrize(
    ("patterns", "entered"),
    [
        (["a"], False),
        (["a", "!b"], False),
        (["a", "!ab"], False),
        (["a", "!a/b"], True),
        (["a", "!a"], True),
        (["a", "!a/**"], True),
        (["a", "!b/*"], False),
        (["a", "!*/b"], True),
        (["a", "!b/[c]"], True),
    ],
)
def test_which_excluded_directories_are_entered(patterns: list[str], *, entered: bool) -> None:
    assert PatternMatcher(patterns).may_reinclude_below("a") == entered


@pytest.mark.parametrize(
    ("patterns", "excluded", "kept"),
    [
        (["a"], ["a", "a/b/c"], ["b/a"]),
        (["**/a"], ["a", "b/a", "b/a/x/y"], ["a/x", "b/c/a/x"]),
        (["*", "!a"], ["b"], ["a", "a/b"]),
        (["a|b"], ["a", "ac", "xb"], ["c"]),
        (["**", "!a/b"], ["a", "a/c", "c"], ["a/b", "a/b/d"]),
        (["a/**", "b**"], ["a/b", "a/b/c", "bc"], ["a", "c/b"]),
        (["*", "!/a"], ["a"], []),
    ],
)
def test_buildah_and_podman_match_otherwise(patterns: list[str], excluded: list[str], kept: list[str]) -> None:
    matcher = ContainersMatcher(patterns)
    assert [path for path in excluded + kept if matcher.match(path, None)[0]] == excluded


def test_buildah_and_podman_enter_what_a_pattern_begins_with() -> None:
    matcher = ContainersMatcher(["a", "!ab/c"])
    assert matcher.may_reinclude_below("a")
    assert not matcher.may_reinclude_below("b")
    with pytest.raises(InputError, match="a\\+\\+"):
        ContainersMatcher(["a++"])


@pytest.mark.parametrize(
    ("files", "family", "found"),
    [
        ([], "buildkit", None),
        (["context/.dockerignore"], "buildkit", "context/.dockerignore"),
        (["context/.containerignore"], "buildkit", None),
        (["context/.dockerignore", "else/File.dockerignore"], "buildkit", "else/File.dockerignore"),
        (["else/File.containerignore", "else/.dockerignore"], "buildkit", None),
        ([], "containers", None),
        (["context/.dockerignore"], "containers", "context/.dockerignore"),
        (["context/.dockerignore", "context/.containerignore"], "containers", "context/.containerignore"),
        (["context/.containerignore", "else/File.dockerignore"], "containers", "else/File.dockerignore"),
        (["else/File.containerignore"], "containers", "else/File.containerignore"),
        (["else/File.containerignore", "else/File.dockerignore"], "containers", "else/File.dockerignore"),
    ],
)
def test_which_ignore_file_counts(tmp_path: Path, files: list[str], family: Family, found: str | None) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "else").mkdir()
    for file in files:
        (tmp_path / file).touch()
    path = find_ignore_file(tmp_path / "context", tmp_path / "else/File", family=family)
    assert path == (tmp_path / found if found else None)
