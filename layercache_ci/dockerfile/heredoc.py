"""Here-documents: which words of a line announce one, and which line ends it.

Source: BuildKit v0.34.2, frontend/dockerfile/parser/parser.go. It reads the line with its shell lexer, whose escape is
always a backslash here, also under `# escape=`.
"""

from __future__ import annotations

import re
from typing import Final

from layercache_ci.dockerfile.ast import Heredoc, Instruction
from layercache_ci.dockerfile.expand import ExpansionError, process_words
from layercache_ci.dockerfile.text import Refused, printable

INSTRUCTIONS: Final = frozenset({"ADD", "COPY", "RUN"})
_HEREDOC: Final = re.compile(r"([0-9]*)<<(-?)[\t\n\f\r ]*([^<]*)\Z")
_MAX_DESCRIPTOR: Final = 2**64 - 1


def announced(instruction: Instruction) -> tuple[Heredoc, ...]:
    """The heredocs whose contents follow the instruction's line, still empty, in their order. Raises Refused."""
    target = instruction.trigger if instruction.keyword == "ONBUILD" and instruction.trigger else instruction
    if target.keyword not in INSTRUCTIONS or target.form == "exec" or "<<" not in instruction.original:
        return ()
    try:
        words = process_words(printable(instruction.original), {}, raw_quotes=True, raw_escapes=True, skip_unset=True)
    except ExpansionError:
        # A quote that isn't closed, say: the shell's business, and no heredoc.
        return ()
    return tuple(heredoc for heredoc in map(from_word, words) if heredoc)


def from_word(word: str) -> Heredoc | None:
    """The heredoc that a word such as `<<EOF` or `3<<-'EOF'` announces. Raises Refused."""
    found = _HEREDOC.match(word)
    if found is None or not found.group(3):
        return None
    descriptor, dash, rest = found.groups()
    try:
        words = process_words(rest, {}, skip_unset=True)
        if len(words) != 1:
            return None
        raw = process_words(rest, {}, skip_unset=True, raw_quotes=True)
    except ExpansionError as error:
        raise Refused(f"the heredoc {word!r} has no readable delimiter: {error}") from None
    if len(raw) != 1:
        raise Refused(f"the heredoc {word!r} has no readable delimiter: write a plain word such as <<EOF")
    return Heredoc(
        delimiter=words[0],
        file_descriptor=min(int(descriptor or "0"), _MAX_DESCRIPTOR),
        expand=_quotes(words[0]) == _quotes(raw[0]),
        strip_tabs=bool(dash),
        content="",
    )


def in_word(word: str) -> Heredoc | None:
    """BuildKit's MustParseHeredoc: as `from_word`, and None for what can't be read."""
    try:
        return from_word(word)
    except Refused:
        return None


def chomped(heredoc: Heredoc) -> str:
    """Its content, without the tabs at the beginning of lines that `<<-` leaves out."""
    return re.sub("^\t+", "", heredoc.content, flags=re.MULTILINE) if heredoc.strip_tabs else heredoc.content


def ends(heredoc: Heredoc, line: str) -> bool:
    """Whether `line` is the last of the heredoc."""
    line = line.rstrip("\r\n")
    return (line.lstrip("\t") if heredoc.strip_tabs else line) == heredoc.delimiter


def _quotes(word: str) -> int:
    return word.count("'") + word.count('"')
