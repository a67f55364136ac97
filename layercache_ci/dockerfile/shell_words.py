"""How BuildKit's shell lexer splits what it reads into words.

Source: BuildKit v0.34.2, frontend/dockerfile/shell/lex.go (wordsStruct).
"""

from __future__ import annotations

from typing import Final

SPACES: Final = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000").union(
    map(chr, range(0x2000, 0x200B))
)
"""Go's unicode.IsSpace; Python's str.isspace has four more."""


class Words:
    """Collects words. The buffer is the lexer's, which shares it with the words of what is nested."""

    __slots__ = ("_buffer", "_inside", "_words")

    def __init__(self, buffer: list[str]) -> None:
        self._buffer = buffer
        self._words: list[str] = []
        self._inside = False

    def add(self, text: str) -> None:
        """Text that spaces split."""
        for character in text:
            if character not in SPACES:
                self.add_raw(character)
            elif self._inside and self._buffer:
                self._end_word()

    def add_raw(self, text: str) -> None:
        """Text that was quoted or escaped."""
        if text:
            self._buffer.append(text)
        self._inside = True

    def finish(self) -> list[str]:
        """The words so far, the last one ended."""
        if self._buffer:
            self._end_word()
        return self._words

    def _end_word(self) -> None:
        self._words.append("".join(self._buffer))
        self._buffer.clear()
        self._inside = False
