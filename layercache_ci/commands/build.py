"""`layercache build`: plan, restore, build, save, report."""

from __future__ import annotations

import argparse
import sys

from layercache_ci.commands.options import configure_build, configure_run, settings_of
from layercache_ci.pipeline import build
from layercache_ci.settings import Machine


def configure(parser: argparse.ArgumentParser) -> None:
    configure_build(parser)
    configure_run(parser)


def run(arguments: argparse.Namespace) -> int:
    machine = Machine.read()
    settings = settings_of(arguments, arguments.rest, machine)
    return build(settings, machine, say=say)


def say(line: str) -> None:
    """Our lines go to standard error, so that standard output stays the engine's own."""
    print(f"layercache: {line}", file=sys.stderr, flush=True)
