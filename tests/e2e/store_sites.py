"""The stores of the scenario suite: each a place of its own for one scenario, named as a user names it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from layercache_ci.store.github.keys import is_record_key
from tests.contract import s3
from tests.fakes.github_cache import serve
from tests.lab.act import serve_act_cache
from tests.lab.s3 import ACCESS_KEY, BUCKET, SECRET_KEY

DEFAULT: Final = "default"
"""The scope of a run outside of CI, which those of the suite are."""


class StoreSite(Protocol):
    @property
    def options(self) -> tuple[str, ...]:
        """What `layercache build` is given."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What stands in its environment besides."""

    def records(self) -> frozenset[str]:
        """The names of what holds records there."""


class LocalSite:
    environment: Mapping[str, str] = MappingProxyType({})

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def options(self) -> tuple[str, ...]:
        return ("--store", f"local:{self._folder}")

    def records(self) -> frozenset[str]:
        return frozenset(path.name for path in self._folder.glob("*/records/*"))


class S3Site:
    """A prefix of its own on a server that the whole run shares."""

    kind = "minio"
    environment: Mapping[str, str] = MappingProxyType(
        {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    )

    def __init__(self, folder: Path) -> None:
        self._prefix = folder.parent.name + folder.name

    @property
    def url(self) -> str:
        return s3.server(self.kind).url

    @property
    def options(self) -> tuple[str, ...]:
        return ("--store", f"s3://{BUCKET}/{self._prefix}", "--s3-endpoint", self.url)

    def records(self) -> frozenset[str]:
        listed = s3.client(self.kind).list_objects_v2(Bucket=BUCKET, Prefix=f"{self._prefix}/lc1/records/")
        return frozenset(entry["Key"] for entry in listed.get("Contents", ()))


class VersitySite(S3Site):
    kind = "versity"


class RcloneSite(S3Site):
    kind = "rclone"


class GithubSite:
    """A cache service of its own, which takes and gives what GitHub's does."""

    version = 2
    options = ("--store", "github")

    def __init__(self, _folder: Path) -> None:
        stack = ExitStack()
        self.server = stack.enter_context(serve())
        weakref.finalize(self, stack.close)

    @property
    def environment(self) -> Mapping[str, str]:
        return self.server.environment(self.server.token((DEFAULT,), DEFAULT), version=self.version)

    def records(self) -> frozenset[str]:
        """Packs; a pack holds the record of one stage as one build left it."""
        return frozenset(entry.key for entry in self.server.caches.complete() if is_record_key(entry.key))


class GithubV1Site(GithubSite):
    version = 1


class ActSite:
    """The cache server that act brings: it speaks v1 alone, and knows neither scopes nor tokens."""

    options = ("--store", "github")

    def __init__(self, folder: Path) -> None:
        self._entries = folder / "act"
        stack = ExitStack()
        self.environment: Mapping[str, str] = stack.enter_context(serve_act_cache(self._entries))
        weakref.finalize(self, stack.close)

    def records(self) -> frozenset[str]:
        """All entries, packs or not, by their numbers: their keys are in a database of act's."""
        return frozenset(path.name for path in self._entries.glob("cache/*/*"))


SITES: Final[Mapping[str, Callable[[Path], StoreSite]]] = MappingProxyType(
    {
        "minio": S3Site,
        "versity": VersitySite,
        "rclone": RcloneSite,
        "github-v2": GithubSite,
        "github-v1": GithubV1Site,
        "act": ActSite,
    }
)
"""By the name that a test has in its id: each made for a folder that is the scenario's own."""
