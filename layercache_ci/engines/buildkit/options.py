"""The user's options that stand behind `--`, as buildx reads them (spf13/pflag; docker/buildx, commands/build.go)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from layercache_ci.dockerfile.go_numbers import TRUE

VALUED: Final = frozenset(
    {
        "--add-host", "--allow", "--annotation", "--attest", "--build-arg", "--build-context", "--builder",
        "--cache-from", "--cache-to", "--call", "--cgroup-parent", "--cpu-period", "--cpu-quota", "--cpu-shares",
        "--cpuset-cpus", "--cpuset-mems", "--file", "--iidfile", "--isolation", "--label", "--memory", "--memory-swap",
        "--metadata-file", "--network", "--no-cache-filter", "--output", "--platform", "--policy", "--print",
        "--progress", "--provenance", "--sbom", "--secret", "--security-opt", "--shm-size", "--ssh", "--tag",
        "--target", "--ulimit",
    }
)  # fmt: skip
"""Those that take a word of their own."""
SHORT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "D": "--debug", "c": "--cpu-shares", "f": "--file", "m": "--memory", "o": "--output", "q": "--quiet",
        "t": "--tag",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Option:
    """By its long name. `value` is None for a flag that stands alone; so it is for what is no option, or none that is
    known, and then the name is the word. `words` is what was written of it."""

    name: str
    value: str | None
    words: tuple[str, ...]

    @property
    def on(self) -> bool:
        """Of a flag."""
        return self.value is None or self.value in TRUE


def options_of(words: Sequence[str]) -> Iterator[Option]:
    """Every option, in order."""
    rest = iter(words)
    for word in rest:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            if equals:
                yield Option(name, value, (word,))
            else:
                yield _with_its_value(name, word, rest)
        elif word.startswith("-") and word[1:2] in SHORT:
            yield from _short(word, rest)
        else:
            yield Option(word, None, (word,))


def values_of(words: Sequence[str], name: str) -> tuple[str, ...]:
    """What an option was given, as often as it was."""
    return tuple(option.value or "" for option in options_of(words) if option.name == name)


def is_on(words: Sequence[str], name: str) -> bool:
    """A flag; the last one counts."""
    return [option.on for option in options_of(words) if option.name == name][-1:] == [True]


def _with_its_value(name: str, word: str, rest: Iterator[str]) -> Option:
    if name not in VALUED:
        return Option(name, None, (word,))
    following = next(rest, None)
    return Option(name, following or "", (word,) if following is None else (word, following))


def _short(word: str, rest: Iterator[str]) -> Iterator[Option]:
    """Flags in one word; a value ends it, with or without a `=` before it."""
    letters = word[1:]
    while letters:
        name, letters = SHORT.get(letters[0], f"-{letters[0]}"), letters[1:]
        if letters.startswith("=") and len(letters) > 1:
            yield Option(name, letters[1:], (f"{name}={letters[1:]}",))
            return
        if name in VALUED and letters:
            yield Option(name, letters, (f"{name}={letters}",))
            return
        yield _with_its_value(name, name, rest)
