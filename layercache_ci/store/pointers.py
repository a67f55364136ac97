"""Records of a local store, and the pointers by which they are found.

`records/<identity>` is a step record. A pointer is a symbolic link to one: `scopes/<scope>/<name>`, where the name
stands for a step key of a namespace, or for a stage of it. A record that no pointer names is not found any more.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from layercache_ci.errors import CacheError
from layercache_ci.store import serial
from layercache_ci.store.folder import Folder, folder_name
from layercache_ci.store.model import StepRecord

RECORDS: Final = "records"
SCOPES: Final = "scopes"

_OF_ONE_FILE: Final = frozenset(
    (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EIO, errno.EISDIR, errno.ELOOP, errno.EBADMSG, errno.EUCLEAN)
)
"""What may be wrong with a file while those beside it can be read."""

_IDENTITY: Final = re.compile(r"[0-9a-f]{64}")


def step_name(namespace: str, key: str) -> str:
    return _name("step", namespace, key)


def stage_name(namespace: str, stage: str) -> str:
    return _name("stage", namespace, stage)


def names(record: StepRecord) -> frozenset[str]:
    """Of all the pointers that may lead to it."""
    steps = (step_name(record.namespace, step.key) for step in record.chain)
    return frozenset((stage_name(record.namespace, record.stage), *steps))


def read_pointer(folder: Folder, scope: str, name: str) -> str | None:
    """The identity of the record that a pointer names, None where there is none. Raises OSError."""
    return target(folder.path(f"{SCOPES}/{folder_name(scope)}/{name}"))


def target(path: Path) -> str | None:
    try:
        identity = path.readlink().name
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL):  # not there, or no link
            return None
        raise
    return identity if _IDENTITY.fullmatch(identity) else None


def write_pointer(folder: Folder, scope_folder: str, name: str, identity: str) -> None:
    folder.point(f"{SCOPES}/{scope_folder}/{name}", f"../../{RECORDS}/{identity}")


def use_pointer(folder: Folder, scope: str, name: str) -> None:
    """The record that it names was used now."""
    with suppress(FileNotFoundError):
        os.utime(folder.path(f"{SCOPES}/{folder_name(scope)}/{name}"))


def read_record(folder: Folder, identity: str) -> StepRecord | None:
    """None where it is gone, can't be read, or is not what its identity says. Raises OSError where that is not the
    matter of this record alone."""
    try:
        json_bytes = serial.decompress(folder.path(f"{RECORDS}/{identity}").read_bytes())
        return serial.from_json(json_bytes) if serial.identity(json_bytes) == identity else None
    except CacheError:
        return None
    except OSError as error:
        if error.errno in _OF_ONE_FILE:
            return None
        raise


def scope_pointers(folder: Folder, scope_folder: str) -> Iterator[tuple[str, str | None]]:
    """Every pointer of a scope: its name and the identity that it names."""
    with suppress(FileNotFoundError), os.scandir(folder.path(f"{SCOPES}/{scope_folder}")) as entries:
        for entry in entries:
            yield entry.name, target(Path(entry.path)) if entry.is_symlink() else None


def _name(kind: str, namespace: str, rest: str) -> str:
    text = f"{kind}\0{namespace}\0{rest}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
