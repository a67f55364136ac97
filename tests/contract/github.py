"""The GitHub cache as a store under test: a server of its own for each, and accidents to what it keeps."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

from layercache_ci.errors import CacheError
from layercache_ci.store.github import open_github
from layercache_ci.store.github.keys import is_record_key
from layercache_ci.store.github.pack import Location, head_size, read_head
from layercache_ci.store.github.store import GithubStore
from layercache_ci.store.model import Scopes
from tests.fakes.github_cache import serve
from tests.fakes.github_cache.caches import Entry
from tests.fakes.github_cache.rest import TOKEN

_WHOLE = "blobs come and go with the entry in which they lie, and with its record"
_SCOPED = "a scope that is not read hides its blobs too"

NOT_OF_PACKS: Mapping[str, str] = MappingProxyType(
    {
        "test_a_record_serves_only_as_deep_as_its_blobs_are_there": _WHOLE,
        "test_a_record_whose_layer_is_gone_is_succeeded": _WHOLE,
        "test_a_truncated_blob_is_not_held": _WHOLE,
        "test_shared_layers_stay_with_the_record_that_stays": _WHOLE,
        "test_a_stage_keeps_a_newest_record": _WHOLE,
        "test_a_store_is_its_model": _WHOLE,
        "test_blobs_that_no_record_names_go_where_that_is_asked_for": _WHOLE,
        "test_shared_layers_stay_with_what_is_in_use": _WHOLE,
        "test_a_scope_that_may_not_be_read_is_not_seen": _SCOPED,
    }
)
"""Tests of the contract that ask for something that packs don't have, and why. What they have instead is in
tests/integration/store/github."""


class GithubBackend:
    version = 2

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "home"
        stack = ExitStack()
        self.server = stack.enter_context(serve())
        weakref.finalize(self, stack.close)

    def open(self, scopes: Scopes = Scopes(("own",), "own"), max_size: int = 1 << 40) -> GithubStore:  # noqa: B008 - a value
        token = self.server.token(scopes.read, scopes.write)
        environment = self.server.environment(token, version=self.version) | {
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_REPOSITORY": "octo/repo",
            "GITHUB_API_URL": self.server.url,
        }
        return open_github("", environment=environment, scopes=scopes, folder=self.folder, max_size=max_size)

    def alter_blob(self, digest: str, at: int) -> None:
        for path in self._spooled(digest):
            _alter(path, at)
        for entry, place in self._packed(digest):
            _alter(entry.path, place.offset + at)

    def truncate_blob(self, digest: str, size: int) -> None:
        for path in self._spooled(digest):
            os.truncate(path, size)
        for entry, place in self._packed(digest):
            os.truncate(entry.path, place.offset + size)

    def remove_blob(self, digest: str) -> None:
        for path in self._spooled(digest):
            path.unlink()
        for entry, _ in self._packed(digest):
            self.server.caches.remove(entry)

    def damage_records(self, *, how: str) -> None:
        """Their heads: the blobs behind them stay, unless it is the whole entry that is removed."""
        for entry in self.server.caches.complete():
            data = bytearray(entry.path.read_bytes())
            end = head_size(bytes(data))
            match how:
                case "truncate":
                    data[end - 10 : end] = bytes(10)
                case "alter":
                    data[end // 2] ^= 1
                case _:
                    data[:end] = bytes(end)
            entry.path.write_bytes(data)

    def age(self, seconds: float) -> None:
        for entry in self.server.caches.complete():
            entry.created -= seconds
            entry.accessed -= seconds
        for path in self.folder.rglob("*"):
            if path.is_file():
                status = path.stat()
                os.utime(path, (status.st_atime - seconds, status.st_mtime - seconds))

    def count_records(self) -> int:
        return sum(is_record_key(entry.key) for entry in self.server.caches.complete())

    def _spooled(self, digest: str) -> Iterator[Path]:
        return self.folder.glob(f"github-*/lc1/blobs/sha256/{digest.removeprefix('sha256:')}")

    def _packed(self, digest: str) -> Iterator[tuple[Entry, Location]]:
        for entry in self.server.caches.complete():
            try:
                head = read_head(entry.key, entry.path.read_bytes())
            except CacheError:
                continue
            place = head.locations.get(digest)
            if place is not None and place.entry == entry.key:
                yield entry, place


class GithubV1Backend(GithubBackend):
    version = 1


def _alter(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
