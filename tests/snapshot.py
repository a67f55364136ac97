"""Everything that can be seen of a folder's files. As a program it prints the snapshot of the folder that it is given:
`python snapshot.py FOLDER`, for the engines of another user."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

Snapshot = dict[str, list[object]]


def snapshot(root: Path) -> Snapshot:
    """Path → mode, owners, device, size, time, attributes and content (or its digest) of each file below `root`."""
    return {str(path.relative_to(root)): describe(path, is_root=path == root) for path in walk(root)}


def walk(folder: Path) -> Iterator[Path]:
    yield folder
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *files))


def describe(path: Path, *, is_root: bool) -> list[object]:
    status = path.lstat()
    names = os.listxattr(path, follow_symlinks=False)
    attributes = {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names}
    content = None
    if stat.S_ISREG(status.st_mode):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    elif stat.S_ISLNK(status.st_mode):
        content = str(path.readlink())
    size = None if stat.S_ISDIR(status.st_mode) else status.st_size
    # No tar holds the time of an image's root directory: an engine has the moment of its pull there.
    time = None if is_root else status.st_mtime_ns
    return [status.st_mode, status.st_uid, status.st_gid, status.st_rdev, size, time, attributes, content]


if __name__ == "__main__":
    json.dump(snapshot(Path(sys.argv[1])), sys.stdout)
