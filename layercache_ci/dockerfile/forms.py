"""One logical line: its instruction, its flags and its arguments, each kind of instruction in its own way.

Source: BuildKit v0.34.2, frontend/dockerfile/parser/split_command.go and line_parsers.go.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from layercache_ci.dockerfile.ast import Form
from layercache_ci.dockerfile.json_form import exec_form
from layercache_ci.dockerfile.text import SPACE, Refused, decode, encode, lower, printable

Arguments = tuple[Form, tuple[str, ...]]

BLANKS: Final = re.compile(r"[\t\v\f\r ]+")
_BYTE_SPACES: Final = "\t\n\v\f\r \x85\xa0"
"""What unicode.IsSpace has below 256. BuildKit asks it about single bytes in places."""


def first_word(line: str) -> str:
    """The word that names the instruction."""
    return BLANKS.split(line.strip(SPACE), maxsplit=1)[0]


def split_line(line: str, escape: str) -> tuple[str, tuple[str, ...], str]:
    """The instruction's word, its flags without quotes and escapes, and the rest, trimmed."""
    word, *rest = BLANKS.split(line.strip(SPACE), maxsplit=1)
    if not rest:
        return word, (), ""
    flags, arguments = _flags(rest[0], escape)
    return word, flags, arguments.strip(SPACE)


def keyword(word: str) -> str:
    """The instruction that a word names, in upper case; any other word as it is, its ASCII letters in upper case."""
    name = lower(word)
    if name.isascii() and name.upper() in _PARSERS:
        return name.upper()
    return re.sub("[a-z]+", lambda found: found.group().upper(), word)


def arguments(name: str, rest: str, escape: str) -> Arguments:
    """The form and the arguments of instruction `name`. An unknown one has one empty argument. Raises Refused."""
    parser = _PARSERS.get(name)
    return parser(rest, escape) if parser else ("shell", ("",))


def _flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """The words at the start that begin with `--`, and what follows them; a lone `--` ends them.

    BuildKit takes each byte for a character here, so a flag of other letters than ASCII comes out garbled.
    """
    text = encode(text).decode("latin-1")
    flags: list[str] = []
    at = 0
    while True:
        at = len(text) - len(text[at:].lstrip(_BYTE_SPACES))
        if not text.startswith("--", at):
            break
        flag, at = _flag(text, at, escape)
        if flag == "--":
            break
        flags.append(flag)
    return tuple(flags), decode(text[at:].encode("latin-1"))


def _flag(text: str, at: int, escape: str) -> tuple[str, int]:
    """The flag that starts at `at`, and where it ends."""
    flag: list[str] = []
    quote = ""
    while at < len(text) and (quote or text[at] not in _BYTE_SPACES):
        character = text[at]
        if character == quote:
            quote = ""
        elif not quote and character in ("'", '"'):
            quote = character
        else:
            if character == escape:
                at += 1
            flag.append(text[at : at + 1])
        at += 1
    return "".join(flag), at


@functools.cache
def _word_pattern(escape: str) -> re.Pattern[str]:
    """A word: escaped characters, quoted strings (a last one may be left open) and all else that is no space.

    An escape character at the very end is matched but is not part of the word.
    """
    e = re.escape(escape)
    return re.compile(rf"""((?:{e}.|'[^']*'?|"(?:{e}.|[^"{e}]+)*"?|[^{SPACE}'"{e}]+)*){e}?""", re.DOTALL)


def _words(rest: str, escape: str) -> list[str]:
    """Words as the shell would split them, quotes and escapes kept."""
    pattern = _word_pattern(escape)
    words: list[str] = []
    text = printable(rest).strip(SPACE)
    at = 0
    while at < len(text):
        found = pattern.match(text, at)
        if found is None or found.end() == at:
            at += 1
            continue
        if found.group(1):
            words.append(found.group(1))
        at = found.end()
    return words


def _whole(rest: str, _escape: str) -> Arguments:
    return "shell", (rest,) if rest else ()


def _split(rest: str, _escape: str) -> Arguments:
    return "shell", tuple(BLANKS.split(rest)) if rest else ()


def _quoted_words(rest: str, escape: str) -> Arguments:
    return "shell", tuple(_words(rest, escape))


def _exec_or(otherwise: Callable[[str, str], Arguments]) -> Callable[[str, str], Arguments]:
    def parse(rest: str, escape: str) -> Arguments:
        items = exec_form(rest)
        return otherwise(rest, escape) if items is None else ("exec", items)

    return parse


def _pairs(rest: str, escape: str) -> Arguments:
    """NAME=VALUE ..., or the old form of one pair: a name, blanks and all the rest."""
    words = _words(rest, escape)
    if words and "=" not in words[0]:
        pair = BLANKS.split(rest, maxsplit=1)
        if len(pair) < 2:
            raise Refused(f"{rest!r} has no value: write NAME=VALUE")
        return "shell", tuple(pair)
    flat: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Refused(f"{word!r} is no NAME=VALUE: write it so, or quote a value that has spaces")
        flat += (name, value)
    return "shell", tuple(flat)


def _health(rest: str, escape: str) -> Arguments:
    """The type, then a command."""
    data = encode(rest).decode("latin-1")
    kind = re.match(f"[^{_BYTE_SPACES}]*", data)
    size = kind.end() if kind else 0
    if size == 0:
        return "shell", ()
    name, command = (decode(part.encode("latin-1")) for part in (data[:size], data[size:].lstrip(_BYTE_SPACES)))
    form, args = _exec_or(_whole)(command, escape)
    return form, (name, *args)


_PARSERS: Final = MappingProxyType(
    {
        "ADD": _exec_or(_split),
        "ARG": _quoted_words,
        "CMD": _exec_or(_whole),
        "COPY": _exec_or(_split),
        "ENTRYPOINT": _exec_or(_whole),
        "ENV": _pairs,
        "EXPOSE": _split,
        "FROM": _split,
        "HEALTHCHECK": _health,
        "LABEL": _pairs,
        "MAINTAINER": _whole,
        "ONBUILD": lambda _rest, _escape: ("shell", ()),
        "RUN": _exec_or(_whole),
        "SHELL": _exec_or(_whole),
        "STOPSIGNAL": _whole,
        "USER": _whole,
        "VOLUME": _exec_or(_split),
        "WORKDIR": _whole,
    }
)
