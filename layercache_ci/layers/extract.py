"""A layer's tar → the files of an overlayfs lower directory, by GNU tar and whiteouts of our own.

A whiteout in a layer is an empty file `.wh.NAME` (NAME of the layers below is gone) or `.wh..wh..opq` (all that the
layers below have in this directory is gone): OCI image-spec, layer.md. overlayfs has a character device 0/0 and an
extended attribute instead (kernel, Documentation/filesystems/overlayfs.rst).
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from layercache_ci.errors import BlobDamaged, CacheError

_PREFIX: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_RESERVED: Final = ".wh..wh."

_TAR: Final = (
    "env",
    "--unset=TAR_OPTIONS",
    "LC_ALL=C",
    "tar",
    "--extract",
    "--file=-",
    "--preserve-permissions",
    "--same-owner",
    "--numeric-owner",
    "--xattrs",
    "--xattrs-include=*",
    "--delay-directory-restore",  # a tar may come back to a directory after it has left it
    "--blocking-factor=128",  # a pipe's worth: 0.7 of the time that records of 10 KiB take
    "--warning=no-timestamp",
    "--quoting-style=escape",  # one line a message, whatever the names
)
_NO_DEVICE: Final = (": Cannot mknod: Operation not permitted", ": Exiting with failure status due to previous errors")
_DISK_FULL: Final = ("Wrote only ", *(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)))
_STATUSES: Final = (0, 2)
"""What GNU tar exits with when it extracts well or not; env and other tars have other ways to say that they can't."""
_MESSAGE: Final = 300


class CannotExtract(CacheError):
    """This machine can't extract: no GNU tar, a disk that is full or read-only. That is not the layer's fault."""


@dataclass(frozen=True, slots=True)
class Owners:
    """The user and group IDs of all files of a layer."""

    uids: frozenset[int]
    gids: frozenset[int]


def extract(pieces: Iterable[bytes], diff_id: str, folder: Path, *, rootless: bool = False) -> Owners:
    """Extract a layer's tar into the empty `folder`, and turn its whiteouts into overlayfs's.

    Needs the rights of root or, with `rootless`, those of root in a user namespace: device nodes are skipped then, and
    opaque directories are marked with `user.overlay.opaque`. Raises BlobDamaged where the tar's digest is not
    `diff_id`, CannotExtract where no layer could be extracted, CacheError where GNU tar fails for another reason.
    """
    with tempfile.TemporaryFile() as messages:
        with subprocess.Popen((*_TAR, f"--directory={folder}"), stdin=subprocess.PIPE, stderr=messages) as tar:
            try:
                found = _feed(pieces, tar.stdin)
            except BaseException:
                tar.kill()
                raise
        messages.seek(0)
        said = messages.read().decode(errors="replace").splitlines()
    if full := next((line for line in said for reason in _DISK_FULL if reason in line), None):
        raise CannotExtract(f"{folder} can't be written: {full[:_MESSAGE]}")
    if tar.returncode not in _STATUSES:
        raise CannotExtract(f"GNU tar is needed, and can't be run: {said[0][:_MESSAGE] if said else tar.returncode}")
    if found != diff_id:
        raise BlobDamaged(f"the layer's tar is {found}")
    if tar.returncode and not (rootless and all(line.endswith(_NO_DEVICE) for line in said)):
        raise CacheError(f"tar failed with {tar.returncode}: {said[0][:_MESSAGE] if said else 'no message'}")
    return _finish(folder, "user.overlay.opaque" if rootless else "trusted.overlay.opaque")


def _feed(pieces: Iterable[bytes], stdin: IO[bytes] | None) -> str:
    """Hand the tar on, and return its digest."""
    assert stdin is not None  # noqa: S101 - it is a pipe
    digest, gone = hashlib.sha256(), False
    for piece in pieces:
        digest.update(piece)
        if not gone:
            try:
                stdin.write(piece)
            except BrokenPipeError:
                gone = True  # tar has failed and says why, or has seen the end of the archive before that of the layer
    with suppress(BrokenPipeError):
        stdin.close()
    return f"sha256:{digest.hexdigest()}"


def _finish(folder: Path, opaque: str) -> Owners:
    uids, gids = set[int](), set[int]()
    folders = [os.fspath(folder)]
    while folders:
        whiteouts = []
        with os.scandir(current := folders.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                uids.add(status.st_uid)
                gids.add(status.st_gid)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.name.startswith(_PREFIX):
                    whiteouts.append(entry.name)
        if whiteouts:
            _convert(Path(current), whiteouts, opaque)
    return Owners(frozenset(uids), frozenset(gids))


def _convert(folder: Path, whiteouts: Sequence[str], opaque: str) -> None:
    """Make overlayfs's whiteouts of a layer's; the folder keeps its times."""
    before = folder.stat()
    for name in whiteouts:
        (folder / name).unlink()
        hidden = folder / name.removeprefix(_PREFIX)
        if name == _OPAQUE:
            os.setxattr(folder, opaque, b"y")
        elif name.startswith(_RESERVED):
            continue
        elif not os.path.lexists(hidden):
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0))
        elif hidden.is_dir() and not hidden.is_symlink():
            os.setxattr(hidden, opaque, b"y")  # made anew by this layer: what was below must not show through
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
