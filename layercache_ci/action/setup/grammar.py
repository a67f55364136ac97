"""Command lines as pflag reads them, which Docker, Podman and Buildah all use: `--name=value`, `--name value`,
`-n value`, `-nvalue`, and short flags in one word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from layercache_ci.dockerfile.go_numbers import boolean

NO_BUILD: Final = frozenset({"call", "check", "dry-run", "help", "list", "print", "version"})
"""Options with which nothing is built."""


class PassedOn(Exception):
    """The command is the real program's, uncached. Its text says why; it is empty for a command that builds nothing."""


@dataclass(frozen=True, slots=True)
class Option:
    """As it was given; `value` is None for a flag that stands alone."""

    name: str
    value: str | None

    @property
    def on(self) -> bool:
        """Of a flag. Raises PassedOn for a value that is none: the real program says so."""
        try:
            return self.value is None or boolean(self.value)
        except ValueError:
            raise PassedOn(f"--{self.name}={self.value} is neither true nor false") from None

    @property
    def word(self) -> str:
        return f"--{self.name}" if self.value is None else f"--{self.name}={self.value}"


@dataclass(frozen=True, slots=True)
class Grammar:
    """The options that are known: those that take a value, and those that take none, or only behind a `=`."""

    values: frozenset[str]
    flags: frozenset[str]
    short: Mapping[str, str]
    interspersed: bool = True
    """Whether options may stand behind an argument."""

    def read(self, words: Sequence[str]) -> tuple[tuple[Option, ...], tuple[str, ...]]:
        """The options, and the arguments. Raises PassedOn for an option that is not known."""
        options, rest = self.leading(words)
        arguments: list[str] = []
        while rest and rest[0] != "--":
            arguments.append(rest[0])
            more, rest = self.leading(rest[1:])
            if more and not self.interspersed:
                raise PassedOn(f"{more[0].word} stands behind {arguments[0]!r}")
            options += more
        return options, (*arguments, *rest[1:])

    def leading(self, words: Sequence[str]) -> tuple[tuple[Option, ...], tuple[str, ...]]:
        """The options that come first, and what is left, from the first argument or `--` on. Raises PassedOn."""
        rest = list(words)
        options: list[Option] = []
        while rest and rest[0].startswith("-") and rest[0] not in {"-", "--"}:
            word = rest.pop(0)
            options += [self._long(word[2:], rest)] if word.startswith("--") else self._short(word[1:], rest)
        return tuple(options), tuple(rest)

    def _long(self, word: str, rest: list[str]) -> Option:
        name, equals, value = word.partition("=")
        if name not in self.values | self.flags:
            raise PassedOn("" if name in NO_BUILD else f"--{name} is not known to it")
        if equals:
            return Option(name, value)
        return Option(name, self._next(name, rest) if name in self.values else None)

    def _short(self, letters: str, rest: list[str]) -> Iterator[Option]:
        """A value ends the word, with or without a `=` before it."""
        while letters:
            letter, letters = letters[0], letters[1:]
            name = self.short.get(letter)
            if name is None:
                raise PassedOn("" if letter in "hv" else f"-{letter} is not known to it")
            if letters.startswith("="):
                yield Option(name, letters[1:])
                return
            if name in self.values:
                yield Option(name, letters or self._next(name, rest))
                return
            yield Option(name, None)

    @staticmethod
    def _next(name: str, rest: list[str]) -> str:
        if not rest:
            raise PassedOn(f"--{name} has no value")
        return rest.pop(0)
