"""What BuildKit's content checksum sees of the files that a COPY, ADD or bind mount takes out of a build context.

Names come from the folder that is taken; mode, bytes and extended attributes from each entry; no times, no owners (the
client sends all as root's). Source: BuildKit v0.34.2, cache/contenthash/{checksum,tarsum}.go and
solver/llbsolver/ops/file.go.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layercache_ci.dockerfile.content import Content, explaining
from layercache_ci.dockerfile.context import Context, Entry
from layercache_ci.dockerfile.gopath import BadPattern, match
from layercache_ci.dockerfile.ignore import PatternMatcher
from layercache_ci.dockerfile.plan import digest
from layercache_ci.errors import InputError

CAPABILITY: Final = "security.capability"
Listed = tuple[str, Entry | None]
"""A name relative to what was asked for, and its entry: None where a link leads nowhere."""


@dataclass(frozen=True, slots=True)
class Selector:
    """What one source argument takes. `path` is absolute and clean; the patterns are those of `--parents` and
    `--exclude`."""

    path: str
    wildcard: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


def content_ingredients(content: Content, selectors: Sequence[Selector]) -> dict[str, str]:
    """`tree`, which is the key, and `file:` entries that explain a change. Raises InputError for a bad pattern."""
    listed = [list(_selected(content.context, selector)) for selector in selectors]
    hashes = content.hashes(entry for items in listed for _, entry in items if entry is not None)
    trees = []
    files: dict[str, str] = {}
    for items in listed:
        lines: list[str] = []
        for name, entry in items:
            described = "missing"
            if entry is not None:
                described = f"{_describe(entry, hashes)}{_attributes(content.context.root / entry.path)}"
                files[entry.path] = described
            lines.append(f"{name}\0{described}")
        trees.append(digest(*lines))
    return {"tree": digest(*trees), **explaining(files)}


def has_wildcards(path: str) -> bool:
    """Whether Go's path.Match would see more in it than a name; what a backslash precedes is meant literally."""
    characters = iter(path)
    for character in characters:
        if character == "\\":
            next(characters, None)
        elif character in "*?[":
            return True
    return False


def _selected(context: Context, selector: Selector) -> Iterator[Listed]:
    try:
        if selector.wildcard:
            yield from _of_wildcard(context, selector)
        elif selector.include or selector.exclude:
            yield from _filtered(context, context.follow(selector.path), "", selector)
        else:
            yield from _whole(context, context.follow(selector.path), "")
    except BadPattern as error:
        raise InputError(
            f'source "{selector.path}": {error}; put a backslash before what is meant literally'
        ) from error


def _whole(context: Context, path: str, name: str) -> Iterator[Listed]:
    """A file or link, or a directory, itself first (but for the root, whose mode does not count), and all below it."""
    entry = context.get(path)
    if path:
        yield name, entry
    if not path or (entry is not None and entry.type == "dir"):
        for below in context.under(path):
            yield f"{name}/{below.path[len(path) :].lstrip('/')}", below


def _of_wildcard(context: Context, selector: Selector) -> Iterator[Listed]:
    parts = selector.path.strip("/").split("/")
    fixed = next(index for index, part in enumerate(parts) if has_wildcards(part))
    found = [context.follow("/".join(parts[:fixed]))]
    start = len(found[0])
    for part in parts[fixed:]:
        children = [child for folder in found for child in context.children(folder)]
        found = [child.path for child in children if match(part, posixpath.basename(child.path))]
    for path in found:
        yield from _filtered(context, path, path[start:], selector)


def _filtered(context: Context, path: str, name: str, selector: Selector) -> Iterator[Listed]:
    """What the patterns leave of one match. A directory is there for its own sake or for that of what is in it."""
    include = PatternMatcher(selector.include) if selector.include else None
    exclude = PatternMatcher(selector.exclude) if selector.exclude else None
    pending: list[Listed] = []
    for relative, entry in _whole(context, path, ""):
        listed = name + relative
        while pending and not listed.startswith(f"{pending[-1][0]}/"):
            pending.pop()
        candidate = relative.lstrip("/")
        wanted = include is None or include.matches_or_parent(candidate)
        wanted = wanted and not (exclude is not None and exclude.matches_or_parent(candidate))
        if wanted:
            yield from pending
            pending.clear()
        # only what no directory of the selection holds is followed
        at_top = not relative or (not path and "/" not in candidate)
        if entry is not None and entry.type == "dir" and not wanted:
            pending.append((listed, entry))
        elif wanted and entry is not None and entry.type == "symlink" and at_top:
            yield from _whole(context, context.follow(entry.path), listed)
        elif wanted:
            yield listed, entry


def _describe(entry: Entry, hashes: Mapping[str, str]) -> str:
    if entry.type == "symlink":
        return f"symlink {entry.link}"
    return f"{entry.type} {entry.mode:04o} {hashes.get(entry.path, entry.special)}"


def _attributes(path: Path) -> str:
    """The extended attributes that count, such as capabilities; empty for almost every file."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return ""
    counted = sorted(name for name in names if name == CAPABILITY or not name.startswith(("security.", "system.")))
    return "".join(f" {name}={os.getxattr(path, name, follow_symlinks=False).hex()}" for name in counted)
