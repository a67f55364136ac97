"""Secrets that come by a pipe (`--secret id=x,src=/dev/fd/63`), which gives out what it holds once. We build more than
once: to export what a build made, and where it failed on the cache. Whoever came second would find the secret empty."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from layercache_ci.dockerfile.go_numbers import fields

SOURCES = frozenset({"src", "source"})


def kept(secret: str, folder: Path) -> str:
    """What `--secret` takes, with a file in `folder`, which is to be nobody else's, in the place of a pipe. Raises
    OSError where the pipe was read and what it held can't be written down."""
    try:
        parts = [field.partition("=") for field in fields(secret)]
    except ValueError:
        return secret
    if any((name.lower(), value) == ("type", "env") for name, _, value in parts):
        return secret
    files = [_file(value, folder) if name.lower() in SOURCES else None for name, _, value in parts]
    if not any(files):
        return secret
    paired = zip(parts, files, strict=True)
    return ",".join(_field(f"{name}{equals}{file or value}") for (name, equals, value), file in paired)


def _file(path: str, folder: Path) -> Path | None:
    """None where that is no pipe, or can't be read: the engine says so."""
    try:
        found = os.stat(path)  # noqa: PTH116 - as it was given
        if not stat.S_ISFIFO(found.st_mode):
            return None
        file = folder / f"secret-{found.st_dev:x}-{found.st_ino:x}"
        content = None if file.exists() else Path(path).read_bytes()
    except OSError:
        return None
    if content is not None:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            target.write(content)
    return file


def _field(text: str) -> str:
    """Of a line of comma-separated values."""
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if '"' in text or "," in text else text
