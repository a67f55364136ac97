"""Text as Go has it: strings of bytes, mostly UTF-8, with Go's idea of a space and of lower case."""

from __future__ import annotations

import re
from typing import Final

from layercache_ci.dockerfile.shell_words import SPACES

SPACE: Final = "".join(sorted(SPACES))
"""For str.strip: Go's unicode.IsSpace."""
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_REPLACED: Final = re.compile("[\ud800-\udfff]")


class Refused(ValueError):
    """BuildKit refuses this piece of a Dockerfile. One line: what is wrong and what to write instead."""


def decode(data: bytes) -> str:
    """Bytes that are not UTF-8 become lone surrogates, one each."""
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """The bytes that `decode` was given."""
    return text.encode("utf-8", "surrogateescape")


def printable(text: str) -> str:
    """U+FFFD for each byte that is not UTF-8, as Go prints it."""
    return text if text.isascii() else _REPLACED.sub("\ufffd", text)


def lower(text: str) -> str:
    """Go's strings.ToLower as far as the result is ASCII: Python would make two characters of U+0130."""
    return text.replace("\u0130", "i").lower()
