"""`layercache expand`: a word as BuildKit's lexer expands and splits it."""

from __future__ import annotations

import argparse
import json
import sys

from layercache_ci.dockerfile.expand import ExpansionError, environment, expand
from layercache_ci.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help='print {"result": TEXT, "words": [TEXT, ...]}')
    parser.add_argument("--escape", default="\\", metavar="C", help="the escape character (default: \\)")
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable; may be repeated, and the last of a name wins; without = the value is empty",
    )
    parser.add_argument("word", metavar="WORD", help="what to expand; behind -- if it starts with -")


def run(arguments: argparse.Namespace) -> int:
    """Prints the expansion. Raises InputError where the lexer refuses the word."""
    if len(arguments.escape) != 1:
        raise InputError(f"--escape {arguments.escape!r}: give one character, as a rule \\ or `")
    try:
        expansion = expand(arguments.word, environment(arguments.env), escape=arguments.escape)
    except ExpansionError as error:
        raise InputError(f"WORD {arguments.word!r}: {error}") from None
    text = json.dumps({"result": expansion.result, "words": expansion.words}) if arguments.json else expansion.result
    sys.stdout.write(text + "\n")
    return 0
