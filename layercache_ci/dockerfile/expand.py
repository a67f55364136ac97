"""Variable expansion and word splitting, as BuildKit's shell lexer does them.

The forms are those of the Dockerfile reference: `$NAME`, `${NAME}`, `:-`, `-`, `:+`, `+`, `:?`, `?`, `#`, `##`, `%`,
`%%`, `/`, `//`, each nested in each other, with escapes and both kinds of quotes. Step keys depend on the results, so
BuildKit's surprises are kept too: shell_lexer.py and shell_pattern.py name them where they are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Unpack

from layercache_ci.dockerfile.shell_lexer import ExpansionError, Lexer, Mode

__all__ = [
    "Expansion",
    "ExpansionError",
    "Mode",
    "environment",
    "expand",
    "names_used",
    "process_word",
    "process_words",
]


@dataclass(frozen=True, slots=True)
class Expansion:
    """A word expanded."""

    result: str
    """The whole as one word."""
    words: tuple[str, ...]
    """The whole split at spaces that are not quoted, also those that came out of variables."""
    unmatched: frozenset[str]
    """The variables that it refers to and that are not set."""


def expand(word: str, env: Mapping[str, str], *, escape: str = "\\", **mode: Unpack[Mode]) -> Expansion:
    """`word` expanded with the variables of `env`; `escape` is one character. Raises ExpansionError."""
    lexer = Lexer(word, env.get, escape, mode)
    result, words = lexer.run()
    return Expansion(result, tuple(words), frozenset(lexer.unmatched))


def process_word(word: str, env: Mapping[str, str], *, escape: str = "\\", **mode: Unpack[Mode]) -> str:
    """BuildKit's ProcessWord: `word` expanded, as one word. Raises ExpansionError."""
    return expand(word, env, escape=escape, **mode).result


def process_words(word: str, env: Mapping[str, str], *, escape: str = "\\", **mode: Unpack[Mode]) -> tuple[str, ...]:
    """BuildKit's ProcessWords: `word` expanded and split at unquoted spaces. Raises ExpansionError."""
    return expand(word, env, escape=escape, **mode).words


def names_used(word: str, *, escape: str = "\\", skip_quotes: bool = False) -> frozenset[str]:
    """The variables that `word` refers to, in defaults, patterns and replacements too. Raises ExpansionError."""
    # Nothing is set and references are kept: what depends on values, as `?` and patterns do, can't refuse.
    lexer = Lexer(word, lambda _: None, escape, {"skip_unset": True, "skip_quotes": skip_quotes})
    lexer.run()
    return frozenset(lexer.unmatched)


def environment(pairs: Iterable[str]) -> dict[str, str]:
    """BuildKit's EnvsFromSlice: NAME=VALUE each, the last of a name wins, and without `=` the value is empty."""
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
