"""What a COPY, ADD or bind mount takes out of the build context, as hashes: names, modes and bytes, no times."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from layercache_ci.dockerfile.context import Context, Entry
from layercache_ci.dockerfile.plan import EXPLAINING, digest
from layercache_ci.dockerfile.treehash import StatCache, hash_files

MOST_EXPLAINED: Final = 500
WILDCARDS: Final = frozenset("*?[")
COMPRESSED: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
"""gzip, bzip2, xz and Zstandard."""
TAR_MAGIC: Final = b"ustar"
TAR_MAGIC_END: Final = 257 + len(TAR_MAGIC)


@dataclass(frozen=True, slots=True)
class Item:
    """One source of a COPY: a directory with all below it, or a file under the name that it will get."""

    type: str
    name: str
    entries: tuple[Entry, ...]


@dataclass(slots=True)
class Content:
    """Hashes files of one context once, however many steps copy them."""

    context: Context
    cache: StatCache | None
    workers: int
    named_owner: int | None = None
    """The user whose name Buildah to 1.28 writes down beside its files: itself. None where it leaves names out."""
    _hashes: dict[str, str] = field(default_factory=dict)

    def items(self, source: str) -> list[Item]:
        """What one source argument, already expanded, means: every match of a wildcard is an item of its own.

        An item that is a symbolic link stands for what it points to, under the link's name. An absent source gives
        nothing: the engine will say so itself.
        """
        if WILDCARDS.intersection(source):
            return [self._item(entry.path) for entry in self.context.glob(source)]
        path = source.strip("/")
        if posixpath.normpath(path or ".") == ".":
            return [Item("dir", "", self.context.entries)]
        return [self._item(path)] if self.context.get(self.context.follow(path)) else []

    def _item(self, path: str) -> Item:
        real = self.context.follow(path)
        entry = self.context.get(real)
        if entry is None or entry.type == "dir":
            return Item("dir", real, self.context.under(real))
        return Item("file", posixpath.basename(path), (entry,))

    def ingredients(self, items: Sequence[Item], *, mode: str | None) -> dict[str, str]:
        """`tree`, which is the key, and `file:` entries that explain a change. `mode` is that of a --chmod, which
        replaces the files' own."""
        hashes = self.hashes(entry for item in items for entry in item.entries)
        lines: list[str] = []
        files: dict[str, str] = {}
        for item in items:
            lines.append(f"item {item.type} {item.name if item.type == 'file' else ''}")
            below = len(item.name) + 1 if item.type == "dir" and item.name else 0
            first: dict[str, str] = {}
            for entry in item.entries:
                name = entry.path[below:] if item.type == "dir" else ""
                described = _describe(entry, hashes, mode)
                if entry.uid == self.named_owner:
                    described += " own"
                if entry.type == "file" and first.setdefault(entry.link or entry.path, name) != name:
                    described = f"hard link {first[entry.link]}"
                lines.append(f"{name}\0{described}")
                files[entry.path] = described
        return {"tree": digest(*lines), **explaining(files)}

    def is_archive(self, item: Item) -> bool:
        """Whether a file looks like what ADD unpacks: a tar, or compressed data, which may hold one."""
        try:
            with (self.context.root / item.entries[0].path).open("rb") as file:
                start = file.read(TAR_MAGIC_END)
        except OSError:
            return False
        return start.startswith(COMPRESSED) or start.endswith(TAR_MAGIC)

    def hashes(self, entries: Iterable[Entry]) -> Mapping[str, str]:
        """sha256, hex, of every regular file among `entries` (and of those asked for before), by path."""
        wanted = {entry.path: entry for entry in entries if entry.type == "file" and entry.path not in self._hashes}
        if wanted:
            found = hash_files(self.context.root, wanted.values(), cache=self.cache, workers=self.workers)
            self._hashes.update(found)
        return self._hashes


def single(place: Path) -> Context:
    """A context that holds one file, or nothing where there is none."""
    try:
        status = place.lstat()
    except OSError:
        return Context(place.parent, None, ())
    link = str(place.readlink()) if stat.S_ISLNK(status.st_mode) else ""
    kind: Literal["file", "symlink"] = "symlink" if link else "file"
    entry = Entry(place.name, kind, stat.S_IMODE(status.st_mode), status.st_size, link, uid=status.st_uid)
    return Context(place.parent, None, (entry,))


def _describe(entry: Entry, hashes: Mapping[str, str], mode: str | None) -> str:
    if entry.type == "symlink":
        return f"symlink {entry.link}"
    # setuid and setgid are stripped from what comes out of a context
    shown = mode or f"{entry.mode & 0o1777:04o}"
    return f"{entry.type} {shown} {hashes.get(entry.path, entry.special)}"


def explaining(files: Mapping[str, str]) -> dict[str, str]:
    """`file:` ingredients of files as they were described: one each; beyond a limit, one a folder with files."""
    if len(files) <= MOST_EXPLAINED:
        return {f"{EXPLAINING}{path}": digest(described)[:16] for path, described in files.items()}
    folders: dict[str, list[str]] = {}
    for path, described in files.items():
        folders.setdefault(posixpath.dirname(path) or ".", []).append(f"{path}\0{described}")
    if len(folders) > MOST_EXPLAINED:
        return {}
    return {f"{EXPLAINING}{folder}/": digest(*lines)[:16] for folder, lines in folders.items()}
