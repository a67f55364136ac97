"""The build context: which files an engine would see, in the order in which BuildKit's client sends them."""

from __future__ import annotations

import os
import posixpath
import stat
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from layercache_ci.dockerfile.gopath import BadPattern, clean, match
from layercache_ci.dockerfile.ignore import (
    ContainersMatcher,
    Family,
    Matcher,
    MatchInfo,
    PatternError,
    PatternMatcher,
    find_ignore_file,
    read_containers_ignore_file,
    read_ignore_file,
)
from layercache_ci.errors import InputError

Fingerprint = tuple[int, int, int, int, int]
"""Device, inode, size, mtime and ctime in nanoseconds: while they stay the same, so does the content."""

_MOST_LINKS: Final = 255


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory or symbolic link of the context.

    `path` is relative to the context, with slashes. `mode` holds the permission bits with setuid, setgid and sticky.
    `size` is in bytes, 0 for a directory. `link` is the target of a symbolic link, and for a file that is a hard link
    the path of the first entry with the same inode. `special` is empty for what has content, else "fifo", "socket" or
    "char 1:3" and "block 8:0": such a thing is sent as a `file` without content.
    """

    path: str
    type: Literal["file", "dir", "symlink"]
    mode: int
    size: int = 0
    link: str = ""
    special: str = ""
    fingerprint: Fingerprint = (0, 0, 0, 0, 0)
    uid: int = 0
    """Of the owner here; engines make the files that they copy root's, or whose --chown says."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the engine sees of `root`: `entries` in fsutil's order, a directory before its content, names by bytes."""

    root: Path
    ignore_file: Path | None
    entries: tuple[Entry, ...]
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {entry.path: index for index, entry in enumerate(self.entries)})

    def get(self, path: str) -> Entry | None:
        """The entry at a path (`/a/./b` means `a/b`); symbolic links are not followed. None for the root."""
        index = self._index.get(_relative(path))
        return None if index is None else self.entries[index]

    def under(self, path: str) -> tuple[Entry, ...]:
        """All entries below a directory, itself left out; `.` and `/` are the root."""
        return self.entries[slice(*self._span(_relative(path)))]

    def children(self, path: str) -> Iterator[Entry]:
        """The entries directly in a directory."""
        at, end = self._span(_relative(path))
        while at < end:
            entry = self.entries[at]
            yield entry
            at = self._span(entry.path)[1] if entry.type == "dir" else at + 1

    def glob(self, pattern: str) -> tuple[Entry, ...]:
        """The entries that a COPY source with wildcards names, in order.

        Go's filepath.Match, component by component, as filepath.Glob does it: `*` and `?` stay within a name, there is
        no `**`, and a symbolic link on the way is followed within the context. Raises InputError for a bad pattern.
        """
        found = [""]
        try:
            for part in filter(None, _relative(pattern).split("/")):
                found = [
                    child.path
                    for directory in found
                    for child in self.children(self.follow(directory))
                    if match(part, posixpath.basename(child.path))
                ]
        except BadPattern as error:
            raise InputError(f'source "{pattern}": {error}; put a backslash before what is meant literally') from error
        indexes = sorted({self._index[path] for path in found if path})
        return tuple(self.entries[index] for index in indexes)

    def follow(self, path: str) -> str:
        """The path with its symbolic links resolved inside the context, `` for the root.

        What is missing stays as it is; `..` stops at the root. Raises InputError for a loop.
        """
        rest = [part for part in _relative(path).split("/") if part][::-1]
        at: list[str] = []
        links = 0
        while rest:
            part = rest.pop()
            if part == "..":
                at = at[:-1]
                continue
            entry = self.get("/".join([*at, part]))
            if entry is None or entry.type != "symlink":
                at.append(part)
                continue
            links += 1
            if links > _MOST_LINKS:
                raise InputError(f'"{path}" in the build context: its symbolic links run in a circle; break it')
            at = [] if entry.link.startswith("/") else at
            rest += [piece for piece in entry.link.split("/") if piece not in ("", ".")][::-1]
        return "/".join(at)

    def _span(self, directory: str) -> tuple[int, int]:
        if not directory:
            return 0, len(self.entries)
        start = self._index.get(directory)
        if start is None:
            return 0, 0
        after = _order(directory) + b"\x01"  # a name holds no byte below: the first that follows all below it
        return start + 1, bisect_left(self.entries, after, lo=start + 1, key=lambda entry: _order(entry.path))


def open_context(root: Path, dockerfile: Path, *, family: Family) -> Context:
    """The context of a build: `root` walked with the ignore file that counts for `dockerfile` and this engine.

    Raises InputError for a context that is missing or can't be read, and for an ignore file that the engine refuses.
    """
    if not root.is_dir():
        problem = "is not a directory" if root.exists() else "does not exist"
        raise InputError(f'build context "{root}" {problem}: name the directory with the files to copy')
    ignore_file = find_ignore_file(root, dockerfile, family=family)
    if ignore_file is None:
        return Context(root, None, tuple(walk(root, None)))
    read, matcher = (
        (read_ignore_file, PatternMatcher) if family == "buildkit" else (read_containers_ignore_file, ContainersMatcher)
    )
    try:
        data = ignore_file.read_bytes()
        patterns = read(data)
    except OSError as error:
        raise InputError(f"{ignore_file}: {error.strerror}; make it readable") from error
    except InputError as error:
        raise InputError(f"{ignore_file}: {error}") from error
    try:
        return Context(root, ignore_file, tuple(walk(root, matcher(patterns))))
    except PatternError as error:
        line = next(line for line, text in enumerate(data.split(b"\n"), start=1) if error.pattern in read(text))
        raise InputError(f"{ignore_file}:{line}: {error}") from error


@dataclass(slots=True)
class _Directory:
    """A directory that the walk is in."""

    item: os.DirEntry[str] | None
    path: str
    listing: Iterator[os.DirEntry[str]]
    match_info: MatchInfo | None
    listed: bool


def walk(root: Path, matcher: Matcher | None) -> list[Entry]:
    """The entries below `root`, as fsutil's walk with these exclusions lists them, in its order.

    An excluded directory is listed all the same when something in it is not; one in which nothing can be re-included
    is not entered. Raises InputError for a directory that can't be read, unless it is excluded.
    """
    entries: list[Entry] = []
    inodes: dict[int, str] = {}
    top = _listing(os.path.realpath(root), str(root), excluded=False)
    inside = [_Directory(None, "", top, None, listed=True)]
    while inside:
        directory = inside[-1]
        item = next(directory.listing, None)
        if item is None:
            inside.pop()
            continue
        path = f"{directory.path}/{item.name}" if directory.path else item.name
        is_dir = item.is_dir(follow_symlinks=False)
        excluded, info = matcher.match(path, directory.match_info) if matcher else (False, None)
        if not excluded:
            _list_with_parents(item, path, inside, entries, inodes)
        elif not (is_dir and matcher and matcher.may_reinclude_below(path)):
            continue
        if is_dir:
            listing = _listing(item.path, path, excluded=excluded)
            inside.append(_Directory(item, path, listing, info, listed=not excluded))
    return entries


def _list_with_parents(
    item: os.DirEntry[str], path: str, inside: list[_Directory], entries: list[Entry], inodes: dict[int, str]
) -> None:
    try:
        for directory in inside:
            if not directory.listed and directory.item is not None:
                entries.append(_entry(directory.item, directory.path, inodes))
                directory.listed = True
        entries.append(_entry(item, path, inodes))
    except FileNotFoundError:
        return  # it went away under the walk: neither the engine nor we see it


def _listing(directory: str, shown: str, *, excluded: bool) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as found:
            return iter(sorted(found, key=lambda item: os.fsencode(item.name)))
    except FileNotFoundError:
        return iter(())
    except PermissionError as error:
        if excluded:
            return iter(())
        raise _unreadable(shown, error) from error
    except OSError as error:
        raise _unreadable(shown, error) from error


def _unreadable(shown: str, error: OSError) -> InputError:
    return InputError(
        f'directory "{shown}" of the build context: {error.strerror}; make it readable or name it in the ignore file'
    )


def _entry(item: os.DirEntry[str], path: str, inodes: dict[int, str]) -> Entry:
    status = item.stat(follow_symlinks=False)
    mode = status.st_mode
    fingerprint = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if stat.S_ISDIR(mode):
        return Entry(path, "dir", stat.S_IMODE(mode), fingerprint=fingerprint, uid=status.st_uid)
    first = inodes.setdefault(status.st_ino, path) if status.st_nlink > 1 else path
    if stat.S_ISLNK(mode):
        link = os.readlink(item.path)  # noqa: PTH115 - Path.readlink() would tidy up the target
        return Entry(path, "symlink", stat.S_IMODE(mode), status.st_size, link, "", fingerprint, status.st_uid)
    link = "" if first == path else first
    return Entry(path, "file", stat.S_IMODE(mode), status.st_size, link, _special(status), fingerprint, status.st_uid)


def _special(status: os.stat_result) -> str:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISFIFO(mode):
        return "fifo"
    if stat.S_ISSOCK(mode):
        return "socket"
    kind = "char" if stat.S_ISCHR(mode) else "block"
    return f"{kind} {os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


def _relative(path: str) -> str:
    cleaned = clean("/" + path)
    return cleaned[1:]


def _order(path: str) -> bytes:
    """Sorts as the walk does: by component, by bytes."""
    return os.fsencode(path).replace(b"/", b"\0")
