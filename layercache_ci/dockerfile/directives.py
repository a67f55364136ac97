"""Parser directives: `# syntax=`, `# escape=` and `# check=` at the top of a Dockerfile.

Source: BuildKit v0.34.2, frontend/dockerfile/parser/directives.go.
"""

from __future__ import annotations

import io
import re
from typing import Final

from layercache_ci.dockerfile.ast import Directive
from layercache_ci.dockerfile.json_form import load
from layercache_ci.dockerfile.text import BYTE_ORDER_MARK, SPACE, Refused, decode, lower, printable

MAX_LINE: Final = 64 * 1024
"""Bytes, the newline included: the buffer of Go's bufio.Scanner."""
NAMES: Final = frozenset({"syntax", "escape", "check"})
_BLANKS: Final = "\t\n\f\r "
_DIRECTIVE: Final = re.compile(rf"([a-zA-Z][a-zA-Z0-9]*)[{_BLANKS}]*=(.+)\Z")


class DirectiveReader:
    """Reads directives line by line, until the first line that is none."""

    def __init__(self, prefix: str = "#", line: int = 0) -> None:
        self._prefix = prefix
        self._line = line
        self._seen: set[str] = set()
        self.done = False

    def read(self, line: str) -> Directive | None:
        """The directive that `line` is, if it is one. Raises Refused where it comes twice."""
        self._line += 1
        found = None
        if not self.done and line.startswith(self._prefix):
            found = _DIRECTIVE.match(line.removeprefix(self._prefix).lstrip(SPACE))
        name = lower(found.group(1)) if found else ""
        if found is None or name not in NAMES:
            self.done = True
            return None
        if name in self._seen:
            raise Refused(f"a second {name!r} parser directive: keep one of them")
        self._seen.add(name)
        # Of a value that is all blanks BuildKit keeps the last one.
        return Directive(name, found.group(2).strip(_BLANKS) or found.group(2)[-1], self._line)


def detect_syntax(data: bytes) -> Directive | None:
    """The `syntax` directive by which BuildKit picks the frontend, or None for its own.

    Unlike the Dockerfile parser it also takes `// syntax=` and a JSON body with that key (line 0), skips a `#!` line,
    and allows no blanks before the comment sign. The image is the value up to its first space.
    """
    data = data.removeprefix(BYTE_ORDER_MARK)
    skipped = 0
    if data.startswith(b"#!"):
        data = data.partition(b"\n")[2]
        skipped = 1
    return _from_comments(data, "#", skipped) or _from_comments(data, "//", skipped) or _from_json(data, skipped)


def _from_comments(data: bytes, prefix: str, skipped: int) -> Directive | None:
    reader = DirectiveReader(prefix, skipped)
    for line in io.BytesIO(data):
        if len(line) > MAX_LINE - (not line.endswith(b"\n")):
            break
        try:
            directive = reader.read(decode(line.removesuffix(b"\n").removesuffix(b"\r")))
        except Refused:
            break
        if directive is None or directive.name == "syntax":
            return directive
    return None


def _from_json(data: bytes, skipped: int) -> Directive | None:
    try:
        body = load(decode(data))
    except ValueError:
        return None
    value = body.get("syntax") if isinstance(body, dict) else None
    return Directive("syntax", printable(value), skipped) if isinstance(value, str) else None
