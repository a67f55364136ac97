"""`layercache builder ls|rm`: the builders that layercache made where the user's own could not export a cache."""

from __future__ import annotations

import argparse

from layercache_ci.engines.buildkit.ours import list_ours, remove_ours
from layercache_ci.settings import Machine


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ls|rm")
    actions.add_parser("ls", help="list them: name, status, the docker that each is in", allow_abbrev=False)
    remove = actions.add_parser("rm", help="remove one, or all, with container and cache", allow_abbrev=False)
    remove.add_argument("name", metavar="NAME", nargs="?", help="the one to remove (default: all)")


def run(arguments: argparse.Namespace) -> int:
    machine = Machine.read()
    listed = list_ours(machine)
    if arguments.action == "ls":
        for builder in listed:
            print(f"{builder.name}  {builder.status or 'unknown'}  {builder.endpoint}")
        return 0
    for name in [builder.name for builder in listed] if arguments.name is None else [arguments.name]:
        remove_ours(name, machine)
        print(name)
    return 0
