"""`layercache build`: plan, restore, build, save, report."""

from __future__ import annotations

import argparse
import signal
import sys

from layercache_ci.commands.options import configure_build, configure_run, settings_of
from layercache_ci.handover import end
from layercache_ci.pipeline import build
from layercache_ci.report.progress import Voice
from layercache_ci.settings import Machine


def configure(parser: argparse.ArgumentParser) -> None:
    configure_build(parser)
    configure_run(parser)


def run(arguments: argparse.Namespace) -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, end)
    machine = Machine.read()
    settings = settings_of(arguments, arguments.rest, machine)
    terminal = settings.progress == "tty" or (settings.progress == "auto" and machine.terminal)
    return build(settings, machine, voice=Voice(sys.stderr, terminal=terminal)).code
