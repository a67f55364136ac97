"""BuildKit's shell lexer: one pass over one word, which expands its variables and splits it.

Source: BuildKit v0.34.2, frontend/dockerfile/shell/lex.go, on Unix (names are case-sensitive).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypedDict

from layercache_ci.dockerfile.shell_pattern import (
    BYTE_ORDER_MARK,
    PatternError,
    is_name_character,
    replace_all,
    replace_first,
    trim_prefix,
    trim_suffix,
)
from layercache_ci.dockerfile.shell_words import Words

END: Final = ""
"""What the scanner sees behind the last character."""
SPECIAL_PARAMETERS: Final = frozenset("@*#?-$!0")
UNCLOSED_BRACE: Final = "syntax error: missing '}': close the '${'"


class ExpansionError(ValueError):
    """The lexer refuses the word. One line: what is wrong and what to write instead."""


class Mode(TypedDict, total=False):
    """How the lexer differs from expanding an instruction's word; all are false by default."""

    raw_quotes: bool
    """Keep quotes in the result."""
    raw_escapes: bool
    """Keep escape characters in the result."""
    skip_unset: bool
    """Keep references to variables that are not set."""
    skip_quotes: bool
    """Take quotes for ordinary characters: what BuildKit does to the heredocs of COPY and ADD."""


class Lexer:
    """One pass over one word."""

    def __init__(self, word: str, lookup: Callable[[str], str | None], escape: str, mode: Mode) -> None:
        # Go's text/scanner drops a byte order mark at the start.
        self._text = word.removeprefix(BYTE_ORDER_MARK)
        self._at = 0
        self._lookup = lookup
        self._escape = escape
        self._raw_quotes = mode.get("raw_quotes", False)
        self._raw_escapes = mode.get("raw_escapes", False)
        self._skip_unset = mode.get("skip_unset", False)
        self._skip_quotes = mode.get("skip_quotes", False)
        self._buffer: list[str] = []
        self.unmatched: set[str] = set()

    def run(self) -> tuple[str, list[str]]:
        try:
            return self._until(END, raw_escapes=self._raw_escapes)
        except RecursionError:
            raise ExpansionError("substitutions are nested too deeply: use an ARG for the inner ones") from None
        except PatternError as error:
            raise ExpansionError(
                f"invalid pattern in substitution: {error}: "
                "in a pattern '\\' stands before '*', '?', '\\', '}' or '/' only; write '\\\\' for itself"
            ) from None

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._peek()
        self._at += len(character)
        return character

    def _until(self, stop: str, *, raw_escapes: bool, in_pattern: bool = False) -> tuple[str, list[str]]:
        """What stands before `stop`, expanded and split; `stop` is read too.

        In a pattern, a quoted escape character is doubled, since the pattern is read for escapes once more.
        """
        # BuildKit has one buffer for all levels: the words of `a${B:-c}d` are `cd`, while its result is `acd`.
        self._buffer.clear()
        words = Words(self._buffer)
        outer, self._raw_escapes = self._raw_escapes, raw_escapes
        result: list[str] = []
        while (character := self._peek()) != END:
            if character == stop:
                self._next()
                break
            result.append(self._piece(character, words, in_pattern=in_pattern))
        else:
            if stop != END:
                raise ExpansionError(UNCLOSED_BRACE if stop == "}" else "syntax error: missing '/' in '${NAME/…}'")
        self._raw_escapes = outer
        return "".join(result), words.finish()

    def _piece(self, character: str, words: Words, *, in_pattern: bool) -> str:
        """The next character, or what it introduces."""
        if character == "$":
            text = self._dollar()
            words.add(text)
        elif character == "<":
            text = self._less_than()
            words.add_raw(text)
        elif character == "'" and not self._skip_quotes:
            text = self._single_quotes(in_pattern=in_pattern)
            words.add_raw(text)
        elif character == '"' and not self._skip_quotes:
            text = self._double_quotes(in_pattern=in_pattern)
            words.add_raw(text)
        elif character == self._escape:
            # An escape character at the very end is dropped.
            text = self._next() * self._raw_escapes + self._next()
            words.add_raw(text)
        else:
            text = self._next()
            words.add(text)
        return text

    def _single_quotes(self, *, in_pattern: bool) -> str:
        self._next()
        end = self._text.find("'", self._at)
        if end < 0:
            raise ExpansionError("a single quote (') is not closed: close it or write it with an escape before it")
        text = self._text[self._at : end]
        self._at = end + 1
        if in_pattern:
            text = text.replace(self._escape, self._escape * 2)
        return f"'{text}'" if self._raw_quotes else text

    def _double_quotes(self, *, in_pattern: bool) -> str:
        self._next()
        result: list[str] = []
        while (character := self._peek()) != '"':
            if character == END:
                raise ExpansionError('a double quote (") is not closed: close it or write it with an escape before it')
            if character == "$":
                result.append(self._dollar())
            elif character == self._escape:
                result.append(self._escape_in_double_quotes(in_pattern=in_pattern))
            else:
                result.append(self._next())
        self._next()
        text = "".join(result)
        return f'"{text}"' if self._raw_quotes else text

    def _escape_in_double_quotes(self, *, in_pattern: bool) -> str:
        escape = self._next()
        if self._peek() in ('"', "$", escape):
            return escape * self._raw_escapes + self._next()
        doubled = self._raw_escapes and (in_pattern or not self._raw_quotes)
        return escape * 2 if doubled else escape

    def _less_than(self) -> str:
        """`<`, or `<<` with the blanks behind it: they belong to the word, which may be a heredoc."""
        text = self._next()
        if self._peek() == "<":
            text += self._next()
            while self._peek() in ("\t", "\r", " "):
                text += self._next()
        return text

    def _dollar(self) -> str:
        self._next()
        if self._peek() == "{":
            self._next()
            return self._braces()
        name = self._name()
        if not name:
            return "$"
        return self._plain(name, f"${name}")

    def _braces(self) -> str:
        """What follows `${`, to its `}`."""
        if self._peek() == END:
            raise ExpansionError(UNCLOSED_BRACE)
        if self._peek() in ("{", "}", ":"):
            raise ExpansionError("syntax error: bad substitution: write the name of a variable behind '${'")
        name = self._name()
        modifier = self._next()
        if modifier == END:
            raise ExpansionError(UNCLOSED_BRACE)
        if modifier == "}":
            return self._plain(name, f"${{{name}}}")
        if modifier == "/":
            return self._replaced(name)
        if modifier == ":":
            modifier += self._next()
        elif modifier not in "+-?#%":
            raise _unsupported(modifier)
        return self._modified(name, modifier)

    def _modified(self, name: str, modifier: str) -> str:
        """What follows `${NAME` and a modifier."""
        if modifier in (":#", ":%"):
            raise _unsupported(modifier)
        in_pattern = modifier in ("#", "%")
        operand, _ = self._until("}", raw_escapes=in_pattern, in_pattern=in_pattern)
        value = self._value(name)
        if value is None and self._skip_unset:
            return f"${{{name}{modifier}{operand}}}"
        missing = value is None or (value == "" and modifier.startswith(":"))
        match modifier[-1]:
            case "-":
                return operand if missing else value or ""
            case "+":
                return "" if missing else operand
            case "?":
                if missing:
                    raise _missing(name, operand, is_set=value is not None)
                return value or ""
            case "#" | "%":
                longest = operand.startswith(modifier)
                trim = trim_prefix if modifier == "#" else trim_suffix
                return trim(operand[longest:], value or "", longest=longest)
            case _:
                raise _unsupported(modifier)

    def _replaced(self, name: str) -> str:
        """What follows `${NAME/`."""
        everywhere = self._peek() == "/"
        if everywhere:
            self._next()
        pattern, _ = self._until("/", raw_escapes=True, in_pattern=True)
        # Escapes stay in the replacement: `${A/b/\}}` puts in both characters.
        replacement, _ = self._until("}", raw_escapes=True)
        value = self._value(name)
        if value is None and self._skip_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        replace = replace_all if everywhere else replace_first
        return replace(pattern, value or "", replacement)

    def _name(self) -> str:
        """A name, a number or a special parameter; empty if there is none."""
        first = self._peek()
        start = self._at
        if first.isdecimal():
            while self._peek().isdecimal():
                self._next()
        elif first in SPECIAL_PARAMETERS:
            self._next()
        else:
            while is_name_character(self._peek()):
                self._next()
        return self._text[start : self._at]

    def _value(self, name: str) -> str | None:
        value = self._lookup(name)
        if value is None:
            self.unmatched.add(name)
        return value

    def _plain(self, name: str, reference: str) -> str:
        value = self._value(name)
        if value is None:
            return reference if self._skip_unset else ""
        return value


def _unsupported(modifier: str) -> ExpansionError:
    return ExpansionError(
        f"unsupported modifier ({modifier}) in substitution: "
        "after the name there may be '}', ':-', '-', ':+', '+', ':?', '?', '#', '##', '%', '%%', '/' or '//'"
    )


def _missing(name: str, message: str, *, is_set: bool) -> ExpansionError:
    what = " ".join(message.split()) or f"is not allowed to be {'empty' if is_set else 'unset'}"
    return ExpansionError(f"{name}: {what}: give {name} a value (--build-arg {name}=VALUE, ARG or ENV)")
