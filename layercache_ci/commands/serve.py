"""`layercache serve`: the loopback registry. `layercache build` starts it; people have no use for it."""

from __future__ import annotations

import argparse
import json
import sys

from layercache_ci.errors import InputError
from layercache_ci.registry.model import Service
from layercache_ci.registry.server import serve
from layercache_ci.settings import Machine


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Reads what to serve as JSON from standard input and prints its addresses as JSON."


def run(_arguments: argparse.Namespace) -> int:
    """Raises InputError where standard input does not say what to serve, or an address can't be listened on."""
    try:
        service = Service.from_json(json.load(sys.stdin))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"standard input: {error!r}: this command is for `layercache build` to start") from None
    try:
        serve(service, Machine.read().environment, sys.stdout)
    except OSError as error:
        raise InputError(f"standard input: sockets {service.sockets}: {error}") from error
