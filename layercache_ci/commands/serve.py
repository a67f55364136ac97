"""`layercache serve`: the loopback registry. `layercache build` starts it; people have no use for it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Final

from layercache_ci.errors import InputError
from layercache_ci.registry.model import Service
from layercache_ci.registry.server import serve
from layercache_ci.settings import Machine

FAILED: Final = 2


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Reads what to serve as JSON from standard input and prints its addresses as JSON."


def run(_arguments: argparse.Namespace) -> int:
    """Raises InputError where standard input does not say what to serve."""
    try:
        service = Service.from_json(json.load(sys.stdin))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"standard input: {error!r}: this command is for `layercache build` to start") from None
    try:
        serve(service, Machine.read().environment, sys.stdout)
    except OSError as error:
        # an address can't be listened on, or whoever started us is gone already; the threads that serve would be
        # waited for, for ever
        sys.stderr.write(f"layercache: standard input: sockets {service.sockets}: {error}\n")
        sys.stderr.flush()
        os._exit(FAILED)
