"""The stores that the contract is held against: a new one is a class here and a line in the table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import pytest
from _pytest.mark import ParameterSet

from layercache_ci.store.local import LocalStore
from layercache_ci.store.model import Scopes, Store
from layercache_ci.store.tier import TierStore
from tests.contract.github import NOT_OF_PACKS, GithubBackend
from tests.contract.s3 import RcloneBackend, S3Backend, VersityBackend

OWN = Scopes(("own",), "own")


class Backend(Protocol):
    """A store's far side, for opening it as often as wanted and for doing to it what accidents do."""

    def __init__(self, folder: Path) -> None: ...

    def open(self, scopes: Scopes = OWN, max_size: int = 1 << 40) -> Store: ...

    def alter_blob(self, digest: str, at: int) -> None:
        """Another byte at that offset, as many bytes as before."""

    def truncate_blob(self, digest: str, size: int) -> None: ...

    def remove_blob(self, digest: str) -> None: ...

    def damage_records(self, *, how: str) -> None:
        """All of them: "truncate", "alter", "empty" or "remove"."""

    def age(self, seconds: float) -> None:
        """As if all that is there had been written and used so much earlier."""

    def count_records(self) -> int: ...


class LocalBackend:
    def __init__(self, folder: Path) -> None:
        self.root = folder / "store"

    def open(self, scopes: Scopes = OWN, max_size: int = 1 << 40) -> LocalStore:
        return LocalStore(self.root, scopes=scopes, max_size=max_size)

    def alter_blob(self, digest: str, at: int) -> None:
        path = self._blob(digest)
        data = bytearray(path.read_bytes())
        data[at] ^= 0xFF
        path.write_bytes(data)

    def truncate_blob(self, digest: str, size: int) -> None:
        os.truncate(self._blob(digest), size)

    def remove_blob(self, digest: str) -> None:
        self._blob(digest).unlink()

    def damage_records(self, *, how: str) -> None:
        for path in self._records():
            data = path.read_bytes()
            match how:
                case "truncate":
                    path.write_bytes(data[:-10])
                case "alter":
                    middle = len(data) // 2
                    path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
                case "empty":
                    path.write_bytes(b"")
                case _:
                    path.unlink()

    def age(self, seconds: float) -> None:
        for path in self.root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                status = path.stat()
                os.utime(path, (status.st_atime - seconds, status.st_mtime - seconds))

    def count_records(self) -> int:
        return sum(1 for _ in self._records())

    def _records(self) -> Iterator[Path]:
        folder = self.root / "lc1/records"
        return folder.iterdir() if folder.exists() else iter(())

    def _blob(self, digest: str) -> Path:
        return self.root / "lc1/blobs/sha256" / digest.removeprefix("sha256:")


class TierBackend:
    """A tier before a local store that stands for the remote one. Accidents happen to both."""

    def __init__(self, folder: Path) -> None:
        self.remote = LocalBackend(folder / "remote")
        self.near = LocalBackend(folder / "near")

    def open(self, scopes: Scopes = OWN, max_size: int = 1 << 40) -> TierStore:
        remote = self.remote.open(scopes, max_size)
        return TierStore(remote, self.near.root, scopes=scopes, max_size=max_size, warn=lambda _: None)

    def alter_blob(self, digest: str, at: int) -> None:
        self._to_both(digest, lambda backend: backend.alter_blob(digest, at))

    def truncate_blob(self, digest: str, size: int) -> None:
        self._to_both(digest, lambda backend: backend.truncate_blob(digest, size))

    def remove_blob(self, digest: str) -> None:
        self._to_both(digest, lambda backend: backend.remove_blob(digest))

    def damage_records(self, *, how: str) -> None:
        self.remote.damage_records(how=how)
        self.near.damage_records(how=how)

    def age(self, seconds: float) -> None:
        self.remote.age(seconds)
        self.near.age(seconds)

    def count_records(self) -> int:
        return self.remote.count_records()

    def _to_both(self, digest: str, happen: Callable[[LocalBackend], None]) -> None:
        happen(self.remote)
        if self.near.open().contains([digest]):
            happen(self.near)


BACKENDS: Mapping[str, type[Backend]] = MappingProxyType(
    {
        "local": LocalBackend,
        "minio": S3Backend,
        "versity": VersityBackend,
        "rclone": RcloneBackend,
        "github": GithubBackend,
        "tier": TierBackend,
    }
)

INAPPLICABLE: Mapping[str, Mapping[str, str]] = MappingProxyType({"github": NOT_OF_PACKS})
"""By backend: tests that it can't be held to, and why."""

ALL_ROWS: frozenset[str] = frozenset({"versity", "rclone"})
"""Those that are part of the whole matrix only."""


def names() -> list[ParameterSet]:
    """The backends as parameters of a test."""
    marked = {True: [pytest.mark.all_rows], False: []}
    return [pytest.param(name, marks=marked[name in ALL_ROWS], id=name) for name in sorted(BACKENDS)]
