"""Ignore files (.dockerignore, .containerignore): where they are, what they say, which paths they exclude.

The rules are moby's (github.com/moby/patternmatcher v0.6.1, which BuildKit's client filters the build context with),
down to its quirks, since the files that an engine sees decide its keys. Buildah and Podman have rules of their own: a
reader that trims less, and an older matcher (containers/storage pkg/fileutils); see ContainersMatcher.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal, Protocol

from layercache_ci.dockerfile.gopath import GO_SPACE, BadPattern, clean, match
from layercache_ci.dockerfile.goregexp import BadRegexp, compile_go
from layercache_ci.errors import InputError

Family = Literal["buildkit", "containers"]
Kind = Literal["exact", "prefix", "suffix", "regexp", "refused"]
MatchInfo = Sequence[bool]
"""For each pattern whether it matched a directory: what lies below inherits it."""

_LITERAL_KINDS: Final[tuple[Kind, ...]] = ("exact", "prefix", "suffix")
_LONGEST_LINE: Final = 65535
_BOM: Final = b"\xef\xbb\xbf"
_MOBY_ESCAPES: Final = ".+()$"
"""moby means to escape `{`, `|` and `}` as well, but its table of bits has no room for them."""
_CONTAINERS_ESCAPES: Final = ".$"


class PatternError(InputError):
    """A pattern is refused; `pattern` is it, as it was given."""

    def __init__(self, pattern: str, problem: str) -> None:
        super().__init__(f'pattern "{pattern}": {problem}')
        self.pattern = pattern


class Matcher(Protocol):
    """What a walk of the context asks."""

    def match(self, path: str, parent: MatchInfo | None) -> tuple[bool, MatchInfo]:
        """Is `path` excluded, and what do paths below it inherit; `parent` is None at the top."""

    def may_reinclude_below(self, directory: str) -> bool:
        """Must an excluded directory be walked, since a `!` pattern may name something in it?"""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line: `text` is cleaned and without its `!`; `matches` raises PatternError where kind is "refused"."""

    text: str
    exclusion: bool
    kind: Kind
    matches: Callable[[str], bool]

    @property
    def stem(self) -> str:
        return self.text.removesuffix("/**").removesuffix("/*")


class PatternMatcher:
    """moby's patternmatcher.New: the patterns of an ignore file, the last that matches wins.

    Raises PatternError for one that moby refuses; a few it refuses only when it comes to try them,
    and so does `match`.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = _parse(patterns, _moby_pattern)
        self.exclusions = any(pattern.exclusion for pattern in self.patterns)
        simple = not self.exclusions and all(pattern.kind != "refused" for pattern in self.patterns)
        self._matches_any = _any_of(self.patterns) if simple else None
        self._only_prefix_exceptions = not any(
            pattern.exclusion and re.search(r"[*\[\]?^\\]", pattern.stem) for pattern in self.patterns
        )

    def match(self, path: str, parent: MatchInfo | None) -> tuple[bool, MatchInfo]:
        """MatchesUsingParentResults: as `matches_or_parent`, cheaper, for a walk that keeps what it learned above."""
        if self._matches_any is not None:
            candidates = [path] if parent is not None else [*_directories_above(path), path]
            hit = any(parent or ()) or any(map(self._matches_any, candidates))
            return hit, (hit,)
        matched = False
        results = []
        for index, pattern in enumerate(self.patterns):
            hit = parent is not None and parent[index]
            if not hit and pattern.exclusion == matched:
                hit = pattern.matches(path)
                if not hit and parent is None:
                    hit = any(map(pattern.matches, _directories_above(path)))
            results.append(hit)
            if hit:
                matched = not pattern.exclusion
        return matched, results

    def matches_or_parent(self, path: str) -> bool:
        """MatchesOrParentMatches: is `path` excluded, by itself or with a directory above it?"""
        return self.match(path, None)[0]

    def may_reinclude_below(self, directory: str) -> bool:
        """As fsutil decides whether to walk an excluded directory (filterFS.Walk)."""
        if not self._only_prefix_exceptions:
            return True
        below = directory + "/"
        return any(f"{pattern.stem}/".startswith(below) for pattern in self.patterns if pattern.exclusion)


class ContainersMatcher:
    """The matcher of Buildah and Podman (containers/storage pkg/fileutils, used by Buildah 1.28 to 1.43 in copier).

    It differs from moby's: a pattern is tried on the path and on that one directory above it that has as many
    components as the pattern, so `**/x` does not cover what is deep below x; `+ ( ) { } |` mean what they mean in a
    regular expression; and an excluded directory is walked when its name is the beginning of a `!` pattern. Raises
    PatternError for one that is refused.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = _parse(patterns, _containers_pattern)
        for pattern in self.patterns:
            if pattern.kind == "refused":
                pattern.matches("")
        self.exclusions = any(pattern.exclusion for pattern in self.patterns)
        self._steps = [
            (pattern.exclusion, pattern.matches, cache(pattern.matches), pattern.text.count("/"))
            for pattern in self.patterns
        ]

    def match(self, path: str, parent: MatchInfo | None) -> tuple[bool, MatchInfo]:
        """PatternMatcher.Matches; nothing is inherited."""
        del parent
        above = _directories_above(path)
        matched = False
        for exclusion, matches, directory_matches, depth in self._steps:
            if exclusion == matched and (matches(path) or (depth < len(above) and directory_matches(above[depth]))):
                matched = not exclusion
        return matched, ()

    def may_reinclude_below(self, directory: str) -> bool:
        """As Buildah's copierHandlerGet decides it: a prefix of the text, not of the components."""
        return any(
            f"{pattern.text.strip('/')}/".startswith(directory) for pattern in self.patterns if pattern.exclusion
        )


def read_ignore_file(data: bytes) -> tuple[str, ...]:
    """The patterns of an ignore file, as moby's ignorefile.ReadAll has them.

    Raises InputError for a line of 64 KiB or more.
    """
    patterns = []
    for number, line in enumerate(data.removeprefix(_BOM).split(b"\n"), start=1):
        if len(line) + (len(_BOM) if number == 1 and data.startswith(_BOM) else 0) > _LONGEST_LINE:
            raise InputError(f"line {number} of the ignore file has {len(line)} bytes; cut it below 64 KiB")
        text = line.removesuffix(b"\r").decode(errors="surrogateescape")
        if text.startswith("#"):
            continue
        text = text.strip(GO_SPACE)
        if not text:
            continue
        inverted = text.startswith("!")
        pattern = text[1:].strip(GO_SPACE) if inverted else text
        if pattern:
            pattern = clean(pattern)
            pattern = pattern[1:] if pattern.startswith("/") and pattern != "/" else pattern
        patterns.append("!" * inverted + pattern)
    return tuple(patterns)


def read_containers_ignore_file(data: bytes) -> tuple[str, ...]:
    """The patterns of an ignore file, as Buildah and Podman read it (openshift/imagebuilder ParseIgnore).

    No byte order mark is dropped, and no slash behind a `!`.
    """
    lines = data.decode(errors="surrogateescape").split("\n")
    return tuple(line.strip("/") for line in lines if line and not line.startswith("#") and line.strip("/"))


def find_ignore_file(context: Path, dockerfile: Path, *, family: Family) -> Path | None:
    """The ignore file that counts for a build, or None.

    BuildKit (frontend/dockerui): `<Dockerfile>.dockerignore` beside the Dockerfile, else the context's
    `.dockerignore`. Buildah and Podman (pkg/parse ContainerIgnoreFile): of `<Containerfile>.containerignore` and
    `<Containerfile>.dockerignore` the latter, else the context's `.containerignore`, else its `.dockerignore`.
    """
    beside = [dockerfile.with_name(dockerfile.name + suffix) for suffix in (".dockerignore", ".containerignore")]
    inside = [context / ".containerignore", context / ".dockerignore"]
    candidates = [beside[0], inside[1]] if family == "buildkit" else beside + inside
    return next((path for path in candidates if path.is_file()), None)


def _parse(patterns: Iterable[str], compiled: Callable[[str, bool, str], Pattern]) -> tuple[Pattern, ...]:
    parsed = []
    for written in patterns:
        text = written.strip(GO_SPACE)
        if not text:
            continue
        text = clean(text)
        exclusion = text.startswith("!")
        text = text[1:] if exclusion else text
        if not text:
            raise PatternError(written, 'it excepts nothing; write a path behind the "!" or remove the line')
        try:
            match(text, ".")  # only to see whether Go refuses it, which it looks for no further than this takes it
        except BadPattern as error:
            raise _refusal(written, error) from error
        parsed.append(compiled(text, exclusion, written))
    return tuple(parsed)


def _refusal(written: str, error: ValueError) -> PatternError:
    return PatternError(written, f"{error}; put a backslash before a character that is meant literally")


def _directories_above(path: str) -> list[str]:
    """`a`, `a/b` for `a/b/c`."""
    return [path[:at] for at, char in enumerate(path) if char == "/"] if "/" in path else []


def _moby_pattern(text: str, exclusion: bool, written: str) -> Pattern:
    """Pattern.compile and match: most patterns need no expression at all, and then mean just what they say."""
    kind, expression = _expression(text, _MOBY_ESCAPES)
    if kind == "regexp":
        return _regexp_pattern(text, exclusion, written, expression)
    matches = _any_of([Pattern(text, exclusion, kind, text.__eq__)])
    return Pattern(text, exclusion, kind, matches)


def _containers_pattern(text: str, exclusion: bool, written: str) -> Pattern:
    return _regexp_pattern(text, exclusion, written, _expression(text, _CONTAINERS_ESCAPES)[1])


def _regexp_pattern(text: str, exclusion: bool, written: str, expression: str) -> Pattern:
    try:
        found = compile_go(expression)
    except BadRegexp as error:
        refusal = _refusal(written, error)

        def refuse(path: str) -> bool:
            del path
            raise refusal

        return Pattern(text, exclusion, "refused", refuse)
    return Pattern(text, exclusion, "regexp", lambda path: found(path) is not None)


def _any_of(patterns: Sequence[Pattern]) -> Callable[[str], bool]:
    """Does any of the patterns match? Those that mean what they say are tried all at once."""
    texts = {kind: [pattern.text for pattern in patterns if pattern.kind == kind] for kind in _LITERAL_KINDS}
    starts = tuple(text[:-2] for text in texts["prefix"])
    ends = tuple(text[2:] for text in texts["suffix"])
    exact = {*texts["exact"], *(end[1:] for end in ends if end.startswith("/"))}
    others = [pattern.matches for pattern in patterns if pattern.kind == "regexp"]
    return lambda path: (
        path in exact or path.startswith(starts) or path.endswith(ends) or any(matches(path) for matches in others)
    )


def _expression(pattern: str, escapes: str) -> tuple[Kind, str]:
    """The Go expression that moby makes of a pattern, and whether it uses it at all."""
    kind: Kind = "exact"
    out = ["^"]
    at = 1 if pattern.startswith("\ufeff") else 0  # Go's text/scanner drops a byte order mark
    start = at
    while at < len(pattern):
        char, first = pattern[at], at == start
        at += 1
        if char == "*" and pattern.startswith("*", at):
            at += 1
            at += pattern.startswith("/", at)
            ends = at == len(pattern)
            out.append(".*" if ends else "(.*/)?")
            kind = "prefix" if ends and kind == "exact" else "regexp"
            kind = "suffix" if first else kind
        elif char in "*?":
            out.append("[^/]*" if char == "*" else "[^/]")
            kind = "regexp"
        elif char in escapes:
            out.append("\\" + char)
        elif char == "\\":
            out.append(char + pattern[at : at + 1])
            kind = "regexp" if at < len(pattern) else kind
            at += 1
        else:
            out.append(char)
            kind = "regexp" if char in "[]" else kind
    out.append("$")
    return kind, "".join(out)
