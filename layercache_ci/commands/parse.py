"""`layercache parse`: a Dockerfile as BuildKit's parser reads it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from layercache_ci.dockerfile.ast import Dockerfile, Instruction
from layercache_ci.dockerfile.parser import parse
from layercache_ci.dockerfile.text import printable
from layercache_ci.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print all of it as one JSON object")
    parser.add_argument("file", type=Path, metavar="FILE", help="the Dockerfile")


def run(arguments: argparse.Namespace) -> int:
    file: Path = arguments.file
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}: name a Dockerfile that can be read") from error
    dockerfile = parse(data, name=str(file))
    text = json.dumps(as_json(dockerfile)) if arguments.json else "\n".join(listing(dockerfile))
    sys.stdout.write(text + "\n")
    return 0


def as_json(dockerfile: Dockerfile) -> dict[str, Any]:
    """The value that `--json` prints; bytes that are not UTF-8 are U+FFFD in it."""
    return {
        "version": 1,
        "escape": dockerfile.escape,
        "directives": [
            {"name": directive.name, "value": printable(directive.value), "line": directive.line}
            for directive in dockerfile.directives
        ],
        "instructions": list(map(_instruction, dockerfile.instructions)),
    }


def listing(dockerfile: Dockerfile) -> list[str]:
    """A line for each directive and instruction, for people."""
    lines = [f"{item.line:>9}  # {item.name}={item.value}" for item in dockerfile.directives]
    for item in dockerfile.instructions:
        span = f"{item.start_line}" if item.start_line == item.end_line else f"{item.start_line}-{item.end_line}"
        heredocs = "".join(f" [{len(each.content)} characters in {each.delimiter}]" for each in item.heredocs)
        lines.append(f"{span:>9}  {item.original.strip()}{heredocs}")
    return list(map(printable, lines))


def _instruction(instruction: Instruction) -> dict[str, Any]:
    return {
        "keyword": printable(instruction.keyword),
        "flags": list(map(printable, instruction.flags)),
        "form": instruction.form,
        "args": list(map(printable, instruction.args)),
        "heredocs": [
            {
                "delimiter": printable(heredoc.delimiter),
                "file_descriptor": heredoc.file_descriptor,
                "expand": heredoc.expand,
                "strip_tabs": heredoc.strip_tabs,
                "content": printable(heredoc.content),
            }
            for heredoc in instruction.heredocs
        ],
        "trigger": instruction.trigger and _instruction(instruction.trigger),
        "original": printable(instruction.original),
        "start_line": instruction.start_line,
        "end_line": instruction.end_line,
    }
