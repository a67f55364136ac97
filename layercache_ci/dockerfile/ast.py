"""What a Dockerfile says, before any variable is expanded: the values that the parser returns.

Text keeps bytes that are not UTF-8 as lone surrogates (PEP 383), so that nothing is lost and no two files look alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Form = Literal["shell", "exec"]


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A here-document of a RUN, COPY or ADD: `3<<-"EOF"` has file descriptor 3, strips tabs and expands nothing.

    `content` is as written, leading tabs included: who uses it strips them where `strip_tabs` says so.
    """

    delimiter: str
    file_descriptor: int
    expand: bool
    strip_tabs: bool
    content: str


@dataclass(frozen=True, slots=True)
class Directive:
    """A parser directive, `# name=value`; the name is lower case."""

    name: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, its arguments raw: unexpanded, quotes kept.

    For ENV and LABEL `args` is key, value, key, value; for HEALTHCHECK the type (CMD or NONE) comes first; for ONBUILD
    it is empty, and `trigger` is the instruction to run later, on the same lines (its heredocs are the ONBUILD's, and
    its keyword may be unknown: BuildKit doesn't look). `original` is the logical line: continuation lines joined,
    comments and empty lines left out. Lines count from 1; `end_line` covers heredocs.
    """

    keyword: str
    flags: tuple[str, ...]
    form: Form
    args: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    trigger: Instruction | None
    original: str
    start_line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A whole Dockerfile, in the order of the file. `escape` is a backslash or a backtick."""

    escape: str
    directives: tuple[Directive, ...]
    instructions: tuple[Instruction, ...]
