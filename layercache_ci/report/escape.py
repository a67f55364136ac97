"""Text that is not ours, for Markdown, HTML and mermaid: it is shown as it is, and is never markup.

Punctuation goes as character references, which no part of Markdown takes for structure (CommonMark 0.31, 2.5), so there
is nothing to get out of: neither a cell, a fence nor a tag. A comment about `fence` says where they must not be used.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that show nothing, or turn the text around them."""
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
JOINER: Final = "&#8288;"
"""Between a sign and a name, so that GitHub finds neither a user nor an issue in them: it looks when all is text."""
NOT_PLAIN: Final = re.compile(r"(?<=www)\.|[^A-Za-z0-9 /=,.\-]", re.IGNORECASE)
NOT_IN_LABELS: Final = re.compile(r"[^A-Za-z0-9 /.\-]")


def visible(text: str, limit: int) -> str:
    """One line of at most `limit` characters, with a sign for each that can't be seen."""
    words = " ".join(text[: 4 * limit].split())
    shown = "".join(REPLACEMENT if unicodedata.category(char) in UNSEEN else char for char in words)
    return shown if len(shown) <= limit and len(text) <= 4 * limit else f"{shown[: limit - 1]}…"


def prose(text: str, limit: int) -> str:
    """For running text and for cells of tables."""
    return NOT_PLAIN.sub(lambda found: f"&#{ord(found[0])};{JOINER if found[0] in '@#' else ''}", visible(text, limit))


def code(text: str, limit: int) -> str:
    """The same in the letters of code."""
    return "<code>" + NOT_PLAIN.sub(lambda found: f"&#{ord(found[0])};", visible(text, limit)) + "</code>"


def label(text: str, limit: int) -> str:
    """For what stands between the quotes of mermaid's nodes, which has character references of its own (`#34;`)."""
    return NOT_IN_LABELS.sub(lambda found: f"#{ord(found[0])};", visible(text, limit))


def fence(lines: list[str], limit: int) -> list[str]:
    """A block of code whose lines, of at most `limit` characters each, stand there letter by letter: whoever masks
    secrets in them finds them, which he would not between character references."""
    shown = [visible(line, limit) for line in lines]
    longest = max((len(run) for line in shown for run in re.findall(r"`+", line)), default=0)
    marks = "`" * max(3, longest + 1)
    return [f"{marks}text", *shown, marks]
