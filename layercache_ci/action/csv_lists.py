"""The CSV of a list as docker's actions-toolkit reads it (Util.getList: csv-parse with relax_quotes, relax_column_count
and skip_empty_lines), which Python's own reader takes otherwise: a quote within a value is a part of it, so is one that
is closed within it, and one that nobody closes is an error. tests/data/lists.json has what comes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

QUOTE: Final = '"'
LINE_END: Final = re.compile(r"\r\n|\n|\r")
END: Final = re.compile(r"[,\r\n]|\Z")
"""Of a field."""


def records(text: str) -> Iterator[list[str]]:
    """The fields of each. What is quoted may hold commas and line ends, and `""` is a quote there. Raises ValueError
    with the line of a quote that is not closed."""
    record: list[str] = []
    at, begins = 0, True
    while begins or at < len(text):
        field, quoted, at = _field(text, at)
        record.append(field)
        begins = text[at : at + 1] == ","
        if not begins:
            if quoted or len(record) > 1 or field:
                yield record
            record = []
        at += 1 if begins else _line_end(text, at)


def _field(text: str, start: int) -> tuple[str, bool, int]:
    """The one that begins there, whether it was quoted, and where it ends."""
    field = ""
    if text.startswith(QUOTE, start):
        field, start = _quoted(text, start)
        if END.match(text, start):
            return field, True, start
        field = f"{QUOTE}{field}{QUOTE}"
    found = END.search(text, start)
    at = found.start() if found else len(text)
    return field + text[start:at], False, at


def _quoted(text: str, start: int) -> tuple[str, int]:
    at = start + 1
    while (at := text.find(QUOTE, at)) >= 0:
        if not text.startswith(QUOTE, at + 1):
            return text[start + 1 : at].replace(QUOTE * 2, QUOTE), at + 1
        at += 2
    raise ValueError(f"the double quote in line {len(LINE_END.findall(text, 0, start)) + 1} is not closed")


def _line_end(text: str, at: int) -> int:
    found = LINE_END.match(text, at)
    return len(found[0]) if found else 0
