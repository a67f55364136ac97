"""Go's regular expressions in terms of Python's, as far as an ignore file can reach them.

moby turns a pattern into the text of a Go expression without escaping all of it: `|`, `{2}`, `\\d` and `[[:alpha:]]`
keep their meaning there, and `[*]` becomes something that nobody asked for. So the text is read by Go's own rules
(regexp/syntax, Perl flags) and written anew for `re`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

_Ranges = list[tuple[int, int]]

_LAST: Final = 0x10FFFF
_BOUNDS: Final = re.compile(r"\{(0|[1-9][0-9]*)(?:(,)(0|[1-9][0-9]*)?)?\}", re.ASCII)
_MOST_REPEATS: Final = 1000
_LETTERS: Final = MappingProxyType({"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11})
_CLASSES: Final = MappingProxyType(
    {
        "d": "09",
        "w": "09AZ__az",
        "s": "\t\n\f\r  ",
        "alnum": "09AZaz",
        "alpha": "AZaz",
        "ascii": "\x00\x7f",
        "blank": "\t\t  ",
        "cntrl": "\x00\x1f\x7f\x7f",
        "digit": "09",
        "graph": "!~",
        "lower": "az",
        "print": " ~",
        "punct": "!/:@[`{~",
        "space": "\t\r  ",
        "upper": "AZ",
        "word": "09AZ__az",
        "xdigit": "09AFaf",
    }
)
"""Perl's (one letter) and POSIX's classes, as pairs of first and last character."""


class BadRegexp(ValueError):
    """Go refuses this expression, or it uses Unicode classes, which are not read here."""


def compile_go(text: str) -> Callable[[str], object]:
    """A function that is true of the texts in which the expression finds anything at all. Raises BadRegexp."""
    try:
        expression = re.compile(_translate(text), re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadRegexp(str(error)) from error
    # anchored at its only beginning, it need not be tried at each character
    return expression.match if text.startswith("^") and "|" not in text else expression.search


def _translate(text: str) -> str:
    out: list[str] = []
    at = 0
    atom = repeated = False  # is there something to repeat, and is it a repetition already
    while at < len(text):
        char = text[at]
        bounds = _BOUNDS.match(text, at) if char == "{" else None
        if char in "*+?" or bounds:
            if repeated or not atom:
                raise BadRegexp("a repetition of nothing or of a repetition")
            operator = _repetition(bounds) if bounds else char
            out.append(operator)
            at = bounds.end() if bounds else at + 1
            at += text.startswith("?", at)  # lazy: what matches stays the same
            repeated = True
            continue
        repeated = False
        if char in "(|":
            out.append("(?:" if char == "(" else "|")
            atom, at = False, at + 1
            continue
        piece, at = _atom(text, at)
        out.append(piece)
        atom = atom or piece != ""
    return "".join(out)


def _repetition(bounds: re.Match[str]) -> str:
    low = int(bounds[1])
    high = low if bounds[2] is None else (int(bounds[3]) if bounds[3] else None)
    if max(low, high or 0) > _MOST_REPEATS or (high is not None and low > high):
        raise BadRegexp(f"{bounds[0]} repeats too often")
    return bounds[0]


def _atom(text: str, at: int) -> tuple[str, int]:
    char = text[at]
    if char == "[":
        return _char_class(text, at)
    if char == "\\":
        return _escape(text, at)
    plain = {"^": r"(?=\A)", "$": r"(?=\Z)", ".": ".", ")": ")"}
    return plain.get(char, re.escape(char)), at + 1


def _escape(text: str, at: int) -> tuple[str, int]:
    letter = text[at + 1 : at + 2]
    anchors = {"A": r"(?=\A)", "z": r"(?=\Z)", "b": r"(?:\b)", "B": r"(?:\B)"}
    if letter in anchors:
        return anchors[letter], at + 2
    if letter == "Q":
        literal, _, _ = text[at + 2 :].partition("\\E")
        return "".join(map(re.escape, literal)), min(len(text), at + 4 + len(literal))
    ranges = _perl_class(text, at)
    if ranges is not None:
        return _written(ranges, negated=False), at + 2
    code, at = _escaped_char(text, at)
    return re.escape(chr(code)), at


def _char_class(text: str, at: int) -> tuple[str, int]:
    at += 1
    negated = text.startswith("^", at)
    at += negated
    ranges: _Ranges = []
    first = True
    while first or not text.startswith("]", at):
        first = False
        end = text.find(":]", at + 2) if text.startswith("[:", at) else -1
        if end >= 0:
            ranges += _named_class(text[at + 2 : end])
            at = end + 2
            continue
        perl = _perl_class(text, at)
        if perl is not None:
            ranges += perl
            at += 2
            continue
        low, at = _class_char(text, at)
        high = low
        if text.startswith("-", at) and at + 1 < len(text) and text[at + 1] != "]":
            high, at = _class_char(text, at + 1)
        if high < low:
            raise BadRegexp("a range that runs backwards")
        ranges.append((low, high))
    return _written(ranges, negated=negated), at + 1


def _class_char(text: str, at: int) -> tuple[int, int]:
    if at >= len(text):
        raise BadRegexp("a missing ]")
    return _escaped_char(text, at) if text[at] == "\\" else (ord(text[at]), at + 1)


def _named_class(name: str) -> _Ranges:
    plain = name.removeprefix("^")
    if len(plain) == 1 or plain not in _CLASSES:
        raise BadRegexp(f"no class is called {name}")
    return _ranges(plain, negated=plain != name)


def _perl_class(text: str, at: int) -> _Ranges | None:
    letter = text[at + 1 : at + 2] if text[at : at + 1] == "\\" else ""
    if not letter or letter not in "dDsSwW":
        return None
    return _ranges(letter.lower(), negated=letter.isupper())


def _ranges(name: str, *, negated: bool) -> _Ranges:
    ends = _CLASSES[name]
    ranges = [(ord(low), ord(high)) for low, high in zip(ends[::2], ends[1::2], strict=True)]
    if not negated:
        return ranges
    starts = [0, *(high + 1 for _, high in ranges)]
    stops = [*(low - 1 for low, _ in ranges), _LAST]
    return [(low, high) for low, high in zip(starts, stops, strict=True) if low <= high]


def _written(ranges: _Ranges, *, negated: bool) -> str:
    inside = "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges)
    return f"[{'^' * negated}{inside}]"


def _escaped_char(text: str, at: int) -> tuple[int, int]:
    """The character that the escape at `at` stands for, and where the text goes on."""
    letter = text[at + 1 : at + 2]
    octal = re.compile(r"0[0-7]{0,2}|[1-7][0-7]{1,2}").match(text, at + 1)
    hexadecimal = re.compile(r"x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]+)\})").match(text, at + 1)
    if octal:
        return int(octal[0], 8), octal.end()
    if hexadecimal:
        code = int(hexadecimal[1] or hexadecimal[2], 16)
        if code <= _LAST:
            return code, hexadecimal.end()
    elif letter in _LETTERS:
        return _LETTERS[letter], at + 2
    elif letter and letter.isascii() and not letter.isalnum():
        return ord(letter), at + 2
    raise BadRegexp(f"\\{letter} is no escape")
