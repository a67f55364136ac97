"""The patterns of `${NAME#PATTERN}`, `${NAME%PATTERN}` and `${NAME/PATTERN/REPLACEMENT}`, as BuildKit matches them.

A pattern has `*` (any run of characters) and `?` (one character), neither of which matches a newline, and no bracket
expressions. A backslash makes the next `*`, `?` or backslash stand for itself, whatever the Dockerfile's escape
character is; before `}` and `/` it is dropped, and anywhere else it is an error. BuildKit makes a regular expression of
Go's out of a pattern; step keys depend on its results, so those that surprise are kept and named where they are made.

Source: BuildKit v0.34.2, frontend/dockerfile/shell/lex.go (convertShellPatternToRegex, trimPrefix, trimSuffix), and
Go's regexp.ReplaceAllString.
"""

from __future__ import annotations

import re
from typing import Final

BYTE_ORDER_MARK: Final = "\ufeff"


class PatternError(ValueError):
    """The pattern has an escape that BuildKit refuses."""


def is_name_character(character: str) -> bool:
    """Whether Go's unicode package has it as a letter or a decimal digit, or it is `_`."""
    return character.isalpha() or character.isdecimal() or character == "_"


def trim_prefix(pattern: str, value: str, *, longest: bool) -> str:
    """`value` without the shortest or longest prefix that matches. Raises PatternError."""
    found = _compile(pattern, longest=longest).match(value)
    return value if found is None else value[found.end() :]


def trim_suffix(pattern: str, value: str, *, longest: bool) -> str:
    """`value` without the shortest or longest suffix that matches. Raises PatternError.

    Like BuildKit, this trims a prefix with both reversed. So an unpaired backslash at the end of a pattern comes to
    escape the character before it.
    """
    return trim_prefix(_reverse(pattern), value[::-1], longest=longest)[::-1]


def replace_first(pattern: str, value: str, replacement: str) -> str:
    """`value` with the first, longest match replaced by the text as it is. Raises PatternError."""
    found = _compile(pattern, longest=True).search(value)
    return value if found is None else value[: found.start()] + replacement + value[found.end() :]


def replace_all(pattern: str, value: str, replacement: str) -> str:
    """`value` with every longest match replaced. Raises PatternError.

    Here, and not in `replace_first`, BuildKit takes `replacement` as a template of Go's regexp package.
    """
    expression = _compile(pattern, longest=True)
    pieces: list[str] = []
    last_end = search_from = 0
    while search_from <= len(value) and (found := expression.search(value, search_from)):
        pieces.append(value[last_end : found.start()])
        # Go leaves out an empty match right after another match; Python's re.sub would not.
        if found.end() > last_end or found.start() == 0:
            pieces.append(_fill(replacement, found.group()))
        last_end = found.end()
        search_from = max(search_from + 1, last_end)
    pieces.append(value[last_end:])
    return "".join(pieces)


def _compile(pattern: str, *, longest: bool) -> re.Pattern[str]:
    """An expression whose match ends where Go's would.

    Only the last star decides where a match ends, so that the others can take the nearest place and never go back: a
    pattern of many stars stays cheap.
    """
    head, *rest = _between_stars(pattern)
    if not rest:
        return re.compile(head)
    *middle, last = rest
    expression = head + "".join(f"(?>.*?{part})" for part in middle)
    return re.compile(f"{expression}.*{last}" if longest else f"{expression}.*?{last}")


def _between_stars(pattern: str) -> list[str]:
    """The expressions of what stands between the `*` of a pattern."""
    parts = [""]
    # Go's text/scanner drops a byte order mark at the start.
    characters = iter(pattern.removeprefix(BYTE_ORDER_MARK))
    for character in characters:
        if character == "*":
            parts.append("")
        elif character == "?":
            parts[-1] += "."
        elif character == "\\":
            escaped = next(characters, "")
            if not escaped or escaped not in "*?\\}/":
                raise PatternError(f"invalid escape '\\{escaped}'")
            parts[-1] += re.escape(escaped)
        else:
            parts[-1] += re.escape(character)
    return parts


def _reverse(pattern: str) -> str:
    """The pattern back to front, each escape still before its character."""
    return "".join(reversed(re.findall(r"\\.|.", pattern, re.DOTALL)))


def _fill(template: str, match: str) -> str:
    """What Go's Regexp.Expand makes of a template: `$0` is the match, `$$` a `$`, and any other name is empty."""
    pieces: list[str] = []
    while True:
        before, dollar, template = template.partition("$")
        pieces.append(before)
        if not dollar:
            return "".join(pieces)
        if template.startswith("$"):
            pieces.append("$")
            template = template[1:]
            continue
        name, rest = _template_name(template)
        if not name:
            pieces.append("$")
        else:
            template = rest
            if name == "0":
                pieces.append(match)


def _template_name(template: str) -> tuple[str, str]:
    """The name at the start of a template, bare or in braces, and what follows it; the name is empty where none is."""
    start = end = int(template.startswith("{"))
    while end < len(template) and is_name_character(template[end]):
        end += 1
    name = template[start:end]
    if start == 0:
        return name, template[end:]
    return (name, template[end + 1 :]) if template[end : end + 1] == "}" else ("", template)
