"""Reads a Dockerfile exactly as BuildKit does: what it accepts is accepted, what it refuses is refused.

Source: BuildKit v0.34.2, frontend/dockerfile/parser/parser.go.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from layercache_ci.dockerfile import forms, heredoc
from layercache_ci.dockerfile.ast import Directive, Dockerfile, Heredoc, Instruction
from layercache_ci.dockerfile.directives import MAX_LINE, DirectiveReader
from layercache_ci.dockerfile.instructions import check
from layercache_ci.dockerfile.text import BYTE_ORDER_MARK, SPACE, Refused, decode, encode
from layercache_ci.errors import DockerfileError

DEFAULT_ESCAPE: Final = "\\"


def parse(data: bytes, *, name: str) -> Dockerfile:
    """The Dockerfile that `data` is; `name` is what messages call it.

    Raises DockerfileError, with the line, for whatever BuildKit refuses before it looks at variables. A Dockerfile of
    ARGs only is accepted, as BuildKit's parser does: that there is nothing to build is for the planner to say.
    """
    reader = _Reader(data)
    try:
        instructions = tuple(reader.instructions())
    except Refused as error:
        raise DockerfileError(str(error), file=name, line=reader.start) from None
    if not instructions:
        raise DockerfileError("there is no instruction in it: begin with FROM", file=name, line=max(reader.line, 1))
    dockerfile = Dockerfile(reader.escape, tuple(reader.directives), instructions)
    check(dockerfile, name)
    return dockerfile


class _Reader:
    """Goes through the file once. `line` is the physical line read last, `start` the one that an error is about."""

    def __init__(self, data: bytes) -> None:
        self._lines = self._physical_lines(data)
        self._directive_reader = DirectiveReader()
        self.directives: list[Directive] = []
        self.escape = DEFAULT_ESCAPE
        self.line = 0
        self.start = 1

    def instructions(self) -> Iterator[Instruction]:
        """Each instruction with its heredocs. Raises Refused."""
        for line in self._lines:
            self.start = self.line
            text = line.rstrip("\r\n").lstrip(SPACE)
            self._read_directive(text)
            text, goes_on = self._without_continuation("" if text.startswith("#") else text)
            if not text and not goes_on:
                continue
            logical = self._continued(text) if goes_on else text
            instruction = parse_line(logical, self.escape, self.start, self.line)
            heredocs = tuple(map(self._filled, heredoc.announced(instruction)))
            trigger = instruction.trigger and replace(instruction.trigger, end_line=self.line)
            yield replace(instruction, heredocs=heredocs, trigger=trigger, end_line=self.line)

    def _physical_lines(self, data: bytes) -> Iterator[str]:
        for line in io.BytesIO(data):
            self.line += 1
            if len(line) > MAX_LINE - (not line.endswith(b"\n")):
                self.start = self.line
                raise Refused(f"the line is longer than {MAX_LINE - 1} bytes: break it with {self.escape}")
            yield decode(line.removeprefix(BYTE_ORDER_MARK) if self.line == 1 else line)

    def _read_directive(self, text: str) -> None:
        directive = self._directive_reader.read(text)
        if directive is None:
            return
        self.directives.append(directive)
        if directive.name == "escape":
            if directive.value not in ("\\", "`"):
                raise Refused(f"escape={directive.value!r}: it must be a backslash (\\) or a backtick (`)")
            self.escape = directive.value

    def _continued(self, text: str) -> str:
        """The logical line that `text` begins. Comments and empty lines inside it are left out, leading blanks kept."""
        parts = [text]
        for line in self._lines:
            body = line.rstrip("\r\n")
            start = body.lstrip(SPACE)
            if not start or start.startswith("#"):
                continue
            part, goes_on = self._without_continuation(body)
            parts.append(part)
            if not goes_on:
                break
        # Bytes that only together are UTF-8 may meet here.
        return decode(encode("".join(parts)))

    def _without_continuation(self, line: str) -> tuple[str, bool]:
        """The line without the escape character that continues it, and whether there was one. Two don't continue it."""
        trimmed = line.rstrip(" \t")
        if trimmed.endswith(self.escape) and not trimmed.endswith(self.escape * 2):
            return trimmed.removesuffix(self.escape), True
        return line, False

    def _filled(self, empty: Heredoc) -> Heredoc:
        """The heredoc with the lines that follow, up to its delimiter."""
        content: list[str] = []
        for line in self._lines:
            if heredoc.ends(empty, line):
                return replace(empty, content="".join(content))
            content.append(line)
        raise Refused(f"a heredoc is not closed: write a line {empty.delimiter!r} where it ends")


def parse_line(line: str, escape: str, start_line: int, end_line: int) -> Instruction:
    """One logical line as an instruction, without its heredocs and unchecked. Raises Refused."""
    word, flags, rest = forms.split_line(line, escape)
    name = forms.keyword(word)
    form, args = forms.arguments(name, rest, escape)
    trigger = None
    if name == "ONBUILD" and rest:
        trigger = _trigger(rest, escape, start_line, end_line)
    return Instruction(name, flags, form, args, (), trigger, line, start_line, end_line)


def _trigger(rest: str, escape: str, start_line: int, end_line: int) -> Instruction:
    # The checks refuse it as a trigger; a chain of them, read to its end, may be longer than Python's stack.
    if forms.first_word(rest).upper() == "ONBUILD":
        return Instruction("ONBUILD", (), "shell", (), (), None, rest, start_line, end_line)
    return parse_line(rest, escape, start_line, end_line)
