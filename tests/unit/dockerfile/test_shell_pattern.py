from __future__ import annotations

import pytest

from layercache_ci.dockerfile.shell_pattern import PatternError, replace_all, replace_first, trim_prefix, trim_suffix


@pytest.mark.parametrize(
    ("pattern", "value", "shortest", "longest"),
    [
        ("", "ab", "ab", "ab"),
        ("*", "ab", "ab", ""),
        ("?", "ab", "b", "b"),
        ("*b", "abab", "ab", ""),
        ("a*b*", "a1b2b3", "2b3", ""),
        ("*\n*c", "a\nbcdc\nc", "dc\nc", "\nc"),
        ("a.b", "axb", "axb", "axb"),
        (r"\*\?\\", "*?\\x", "x", "x"),
        (r"\}\/", "}/x", "x", "x"),
        ("[ab]", "a", "a", "a"),
        ("\ufeffa", "ab", "b", "b"),
    ],
)
def test_trim_prefix(pattern: str, value: str, shortest: str, longest: str) -> None:
    assert trim_prefix(pattern, value, longest=False) == shortest
    assert trim_prefix(pattern, value, longest=True) == longest


@pytest.mark.parametrize(
    ("pattern", "value", "shortest", "longest"),
    [
        ("b*", "abab", "aba", "a"),
        (r"\**", "a**", "a*", "a"),
        (r"*\*", "a*b*", "a*b", ""),
        ("*\\", "ab*", "ab", "ab"),
        ("👽", "🚀👽", "🚀", "🚀"),
    ],
)
def test_trim_suffix(pattern: str, value: str, shortest: str, longest: str) -> None:
    assert trim_suffix(pattern, value, longest=False) == shortest
    assert trim_suffix(pattern, value, longest=True) == longest


@pytest.mark.parametrize("pattern", ["\\", "\\x", "\\\\\\", "a\\$"])
def test_an_escape_of_anything_else_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError, match="invalid escape"):
        replace_first(pattern, "value", "")


def test_an_escape_at_the_end_of_a_suffix_reaches_back() -> None:
    with pytest.raises(PatternError, match=r"invalid escape '\\b'"):
        trim_suffix("ab\\", "ab", longest=True)


def test_replace_first_takes_the_text_as_it_is_and_replace_all_as_a_template() -> None:
    assert replace_first("a", "aba", "$0$$") == "$0$$ba"
    assert replace_all("a", "aba", "<$0${0}$$$1$x${x}$00${$>") == "<aa$${$>b<aa$${$>"


def test_replace_all_puts_an_empty_match_between_all_characters() -> None:
    assert replace_all("", "ab", ".") == ".a.b."
    assert replace_all("*", "ab\ncd", ".") == ".\n."


def test_a_pattern_of_many_stars_is_cheap() -> None:
    assert trim_prefix("*a" * 40 + "b", "a" * 2000, longest=True) == "a" * 2000
