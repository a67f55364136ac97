"""Go's path functions that Dockerfiles and ignore files are read with: filepath.Clean and Match, strings.TrimSpace."""

from __future__ import annotations

import posixpath
import re
from typing import Final

GO_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""unicode.IsSpace; str.strip() alone would also take U+001C to U+001F."""


class BadPattern(ValueError):
    """filepath.ErrBadPattern."""


def clean(path: str) -> str:
    """filepath.Clean: the shortest path of the same meaning, `.` for an empty one."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def match(pattern: str, name: str) -> bool:
    """filepath.Match: does the pattern match all of the name?

    Raises BadPattern as late as Go does: a piece behind the first that does not match is never looked at.
    """
    at = 0
    while pattern:
        star, piece, pattern = _split(pattern)
        if star and not piece:
            return "/" not in name[at:]
        matches = re.compile(_expression(piece)).match
        slash = name.find("/", at)
        last = at if not star else (len(name) if slash < 0 else slash)
        tries = (found.end() for start in range(at, last + 1) if (found := matches(name, start)))
        end = next((end for end in tries if pattern or end == len(name)), None)
        if end is None:
            return False
        at = end
    return at == len(name)


def _split(pattern: str) -> tuple[bool, str, str]:
    """Is there a star in front, the piece up to the next star, and the rest."""
    piece = pattern.lstrip("*")
    star = piece != pattern
    found = re.match(r"(?:[^\\\[*]|\\[\s\S]?|\[(?:[^\\\]]|\\[\s\S])*(?:\\$|\]|$))*", piece)
    end = found.end() if found else 0
    return star, piece[:end], piece[end:]


def _expression(piece: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(piece):
        char = piece[at]
        at += 1
        if char == "?":
            out.append("[^/]")
        elif char == "[":
            expression, at = _char_class(piece, at)
            out.append(expression)
        elif char == "\\":
            if at == len(piece):
                raise BadPattern("a backslash with nothing behind it")
            out.append(re.escape(piece[at]))
            at += 1
        else:
            out.append(re.escape(char))
    return "".join(out)


def _char_class(pattern: str, at: int) -> tuple[str, int]:
    """What the class that opened before `at` matches; an upside-down range matches nothing, and is no error."""
    negated = pattern.startswith("^", at)
    at += negated
    ranges: list[str] = []
    first = True
    while first or not pattern.startswith("]", at):
        first = False
        low, at = _class_char(pattern, at)
        high = low
        if pattern[at] == "-":
            high, at = _class_char(pattern, at + 1)
        if low <= high:
            ranges.append(f"\\U{ord(low):08x}-\\U{ord(high):08x}")
    if not ranges:
        return (r"[\s\S]" if negated else r"(?!)"), at + 1
    return f"[{'^' * negated}{''.join(ranges)}]", at + 1


def _class_char(pattern: str, at: int) -> tuple[str, int]:
    if pattern[at : at + 1] in ("", "-", "]"):
        raise BadPattern("a character class that is not closed, is empty, or has a bare -")
    at += pattern[at] == "\\"
    if at + 1 >= len(pattern):
        raise BadPattern("a character class that is not closed")
    return pattern[at], at + 1
