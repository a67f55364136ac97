"""Ignore files and patterns against moby's patternmatcher and ignorefile, COPY wildcards against filepath.Match."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layercache_ci.dockerfile.gopath import BadPattern, match
from layercache_ci.dockerfile.ignore import MatchInfo, PatternMatcher, read_ignore_file
from layercache_ci.errors import InputError
from tests.oracle.client import Oracle, Refused

PATHS = [
    "a", "b", "ab", "aa", "abc", ".", ".a", "a.b", "a/b", "a/b/a", "b/a", "b/a/b", "a/b/a/b", "a-b", "a^b", "]", "a]",
    "[", "a[b]", "a b", "a\\b", "*", "a*", "a?b", "a/.a", "a{2}", "a|b", "a+b", "(a)", "a$", "é", "aé/b", "1", "a1/_",
    "a\nb", "é/é", "d", "\t", "-", "a/a/a/a/a/b", "!a", "#a", "^", "b^",
]  # fmt: skip
quick = settings(
    deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
piece = st.sampled_from(
    [
        *"*?[]^-!\\/.ab |+{}$()1#c",
        *("**", "**/", "/**", "..", "é", "[a-b]", "[^a]", "[[:alpha:]]", "[!a]", "[]a]", "[b-a]", "[\\d]", "{2}"),
        *("\\d", "\\.", "\\*", "\\1", "\\x", "\\Q", "\\b"),
    ]
)
pattern_text = st.lists(piece, min_size=1, max_size=7).map("".join)
tame_piece = st.sampled_from(["a", "b", "a/", "b/", "*", "**", "/**", "**/", "?", "ab", ".", "[ab]", "a/b"])
tame_pattern = st.builds(
    lambda negated, pieces: "!" * negated + "".join(pieces), st.booleans(), st.lists(tame_piece, min_size=1, max_size=4)
)


def verdicts(patterns: list[str]) -> list[dict[str, Any]] | None:
    """What ours says of each of PATHS, errors as None; None where the patterns are refused at once."""
    try:
        matcher = PatternMatcher(patterns)
    except InputError:
        return None
    return [{"alone": attempt(matcher, path), "walked": attempt_walk(matcher, path)} for path in PATHS]


def attempt(matcher: PatternMatcher, path: str) -> bool | None:
    try:
        return matcher.matches_or_parent(path)
    except InputError:
        return None


def attempt_walk(matcher: PatternMatcher, path: str) -> bool | None:
    parts = path.split("/")
    info: MatchInfo | None = None
    excluded = False
    try:
        for depth in range(len(parts)):
            excluded, info = matcher.match("/".join(parts[: depth + 1]), info)
    except InputError:
        return None
    return excluded


def moby_verdicts(oracle: Oracle, patterns: list[str]) -> list[dict[str, Any]] | None:
    try:
        said = oracle.ask("ignore", patterns=patterns, paths=PATHS)
    except Refused:
        return None
    return [{key: None if isinstance(value, str) else value for key, value in verdict.items()} for verdict in said]


def differences(ours: list[dict[str, Any]] | None, theirs: list[dict[str, Any]] | None) -> Any:
    if ours is None or theirs is None:
        return None if ours == theirs else f"refused by {'us' if ours is None else 'moby'} only"
    return [(path, us, them) for path, us, them in zip(PATHS, ours, theirs, strict=True) if us != them] or None


@quick
@given(patterns=st.lists(pattern_text, min_size=1, max_size=3))
def test_wild_patterns_match_as_moby_s(oracle: Oracle, patterns: list[str]) -> None:
    assert differences(verdicts(patterns), moby_verdicts(oracle, patterns)) is None


@quick
@given(patterns=st.lists(tame_pattern, min_size=1, max_size=6))
def test_lists_with_exceptions_match_as_moby_s(oracle: Oracle, patterns: list[str]) -> None:
    assert differences(verdicts(patterns), moby_verdicts(oracle, patterns)) is None


@quick
@given(data=st.one_of(st.binary(max_size=60), st.text("ab#! \t\r\n/.\\*\ufeff\u00a0\x1c\x85").map(str.encode)))
def test_ignore_files_are_read_as_moby_s(oracle: Oracle, data: bytes) -> None:
    theirs = oracle.ask("ignorefile", data=base64.b64encode(data).decode())
    ours = [as_go_writes_json(pattern) for pattern in read_ignore_file(data)]
    assert ours == theirs


def as_go_writes_json(text: str) -> str:
    """Go's JSON has U+FFFD for each byte that is no UTF-8."""
    return re.sub("[\udc80-\udcff]", "\ufffd", text)


@pytest.mark.parametrize("length", [65533, 65534, 65535, 65536])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\nb\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"c\n"])
def test_a_long_line_is_refused_from_the_same_length_on(oracle: Oracle, length: int, end: bytes, start: bytes) -> None:
    data = start + b"a" * length + end
    try:
        theirs = oracle.ask("ignorefile", data=base64.b64encode(data).decode())
    except Refused:
        with pytest.raises(InputError, match="64 KiB"):
            read_ignore_file(data)
    else:
        assert list(read_ignore_file(data)) == theirs


@quick
@given(pattern=pattern_text, name=st.sampled_from(PATHS))
def test_copy_wildcards_match_as_filepath_match(oracle: Oracle, pattern: str, name: str) -> None:
    try:
        theirs = oracle.ask("match", pattern=pattern, name=name)
    except Refused:
        with pytest.raises(BadPattern):
            match(pattern, name)
    else:
        assert match(pattern, name) == theirs
