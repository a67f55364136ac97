"""`layercache gc`: remove from a store what is too old, too much, or named by nothing."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from layercache_ci.ci.choice import choose
from layercache_ci.commands.options import configure_store, with_store
from layercache_ci.errors import CacheError, InputError
from layercache_ci.report.text import size
from layercache_ci.settings import BuildSettings, Machine, parse_age
from layercache_ci.store.model import Removed, Retention

FAILED = 1


def configure(parser: argparse.ArgumentParser) -> None:
    configure_store(parser)
    parser.add_argument("--max-size", metavar="SIZE", help="what may stay; the least recently used goes first")
    parser.add_argument("--max-age", metavar="AGE", help="remove what was not used for so long: 14d, 12h")
    parser.add_argument("--unreferenced", action="store_true", help="remove blobs that no record names")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")


def run(arguments: argparse.Namespace) -> int:
    """0 where it was done, 1 where the store failed."""
    machine = Machine.read()
    settings = with_store(BuildSettings(context="."), arguments, machine)
    age = None if arguments.max_age is None else parse_age(arguments.max_age, name="--max-age")
    rules = Retention(
        max_size=settings.max_size, max_age=age, unreferenced=arguments.unreferenced, dry_run=arguments.dry_run
    )
    if rules == Retention(dry_run=rules.dry_run):
        raise InputError("gc: there is nothing to go by; give --max-size, --max-age or --unreferenced")
    # What is given here is for this time; a tier has a limit of its own.
    chosen = choose(replace(settings, max_size=None, tier=None), machine)
    if chosen.policy.scopes.write is None:
        raise InputError(f"gc: this run may not write into the store: {chosen.policy.why}; give --mode read-write")
    store = chosen.open(machine.environment)
    try:
        removed = store.prune(rules)
    except CacheError as error:
        print(f"layercache: {error}", file=sys.stderr)
        return FAILED
    print(_line(removed, dry_run=rules.dry_run), f"({store.location})")
    return 0


def _line(removed: Removed, *, dry_run: bool) -> str:
    verb = "would remove" if dry_run else "removed"
    return f"{verb} {removed.records} records, {removed.blobs} blobs, {size(removed.size)}"
