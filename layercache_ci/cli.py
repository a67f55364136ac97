"""The command line: one file per verb in layercache_ci.commands, this one only finds it."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, NoReturn

from layercache_ci import __version__
from layercache_ci.errors import EngineError, InputError, PlanError

COMMANDS: Final = MappingProxyType(
    {
        "build": "build an image, restoring and saving its steps",
        "plan": "show stages, steps, keys and what the store holds of them",
        "stats": "say what the store holds, and in which scope",
        "gc": "remove from the store what is old, too much, or named by nothing",
        "doctor": "say what works on this machine",
        "builder": "list and remove the BuildKit builders that layercache made",
        "parse": "print a Dockerfile as BuildKit's parser reads it",
        "expand": "expand a word as BuildKit's lexer does",
        "context": "list the files of a build context that BuildKit's client would send",
        "serve": "hand the cache to BuildKit as a registry (started by build)",
    }
)
"""Each verb is a module layercache_ci.commands.<verb> with `configure(parser)` and `run(arguments) -> exit code`; only
the one asked for is imported, since start-up time is a feature."""
ONLY_TELL: Final = frozenset({"context", "doctor", "expand", "parse", "plan", "stats"})
"""Whoever has read enough of what they print (`| head`) may go."""
UNREAD: Final = 141
"""As shells have it of a program that SIGPIPE ended."""
TAKE_ENGINE_OPTIONS: Final = frozenset({"build", "plan"})
"""What follows `--` goes to the engine as it is."""


class Parser(argparse.ArgumentParser):
    """argparse with one line for an error."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def run(argv: Sequence[str]) -> int:
    """The exit code: the verb's own, or 2 with one line on stderr for a wrong input."""
    parser = Parser(prog="layercache", description="A layer cache for container builds in CI.")
    parser.add_argument("--version", action="version", version=f"layercache {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    asked = next((word for word in argv if not word.startswith("-")), None)
    for verb, summary in COMMANDS.items():
        sub = verbs.add_parser(verb, help=summary, description=summary, allow_abbrev=False)
        if verb == asked:
            importlib.import_module(f"layercache_ci.commands.{verb}").configure(sub)
    own, rest = _split(argv) if asked in TAKE_ENGINE_OPTIONS else (list(argv), [])
    try:
        arguments = parser.parse_args(own)
        arguments.rest = rest
        code: int = importlib.import_module(f"layercache_ci.commands.{arguments.verb}").run(arguments)
        if arguments.verb in ONLY_TELL:
            sys.stdout.flush()
    except (InputError, PlanError) as error:
        print(f"layercache: {error}", file=sys.stderr)
        return 2
    except EngineError as error:
        print(f"layercache: {error}", file=sys.stderr)
        return 125
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        if arguments.verb not in ONLY_TELL:
            raise
        # the interpreter would complain once more, of what it still has to write
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    return code


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is ours and, behind `--`, what is the engine's."""
    words = list(argv)
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]
