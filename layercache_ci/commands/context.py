"""`layercache context`: the files of a build context that BuildKit's client would send."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from layercache_ci.dockerfile.context import Context, Entry, open_context
from layercache_ci.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", type=Path, help="the build context")
    parser.add_argument("-f", "--file", type=Path, metavar="FILE", help="the Dockerfile (default: DIR/Dockerfile)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of one path a line")


def run(arguments: argparse.Namespace) -> int:
    """Raises InputError for a context, Dockerfile or ignore file that is missing or that BuildKit's client refuses."""
    directory: Path = arguments.directory
    file: Path = arguments.file or directory / "Dockerfile"
    context = open_context(directory, file, family="buildkit")
    beside = file.with_name(f"{file.name}.dockerignore")
    if arguments.file and not file.exists() and context.ignore_file != beside:
        raise InputError(f'Dockerfile "{file}" does not exist: name one relative to the current directory')
    if arguments.json:
        json.dump(as_json(context), sys.stdout)
        sys.stdout.write("\n")
        return 0
    for entry in context.entries:
        sys.stdout.buffer.write(entry.path.encode(errors="surrogateescape") + b"\n")
    return 0


def as_json(context: Context) -> dict[str, Any]:
    """Sizes are in bytes; `link` is the target of a symbolic link, or the first path of a hard-linked file."""
    return {
        "ignore_file": None if context.ignore_file is None else str(context.ignore_file),
        "files": [_file(entry) for entry in context.entries],
    }


def _file(entry: Entry) -> dict[str, Any]:
    return {
        "path": entry.path,
        "type": entry.type,
        "mode": f"{entry.mode:04o}",
        "size": entry.size,
        "link": entry.link,
    }
