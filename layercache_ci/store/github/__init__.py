"""The GitHub cache as a store."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from layercache_ci.errors import InputError
from layercache_ci.store.github.api import CacheList
from layercache_ci.store.github.client import Client, Found, Source
from layercache_ci.store.github.http import Http, Refused
from layercache_ci.store.github.service import Service, Version, find_service
from layercache_ci.store.github.spool import remove_abandoned, spool_folder
from layercache_ci.store.github.store import MAX_SIZE, GithubStore
from layercache_ci.store.github.v1 import ACCEPT, V1Client
from layercache_ci.store.github.v2 import V2Client
from layercache_ci.store.model import Scopes

FORMAT: Final = hashlib.sha256(b"layercache pack 1").hexdigest()
"""The version under which the service files entries: another form of entry gets another one."""

NO_SERVICE: Final = (
    "the GitHub cache can't be reached: ACTIONS_RESULTS_URL or ACTIONS_CACHE_URL, and ACTIONS_RUNTIME_TOKEN, are "
    "given to actions only, not to run steps; use layercache as an action, or another store"
)

_VERSIONS: Final[Mapping[str, Version | None]] = {"": None, "v1": "v1", "v2": "v2"}


def open_github(
    rest: str,
    *,
    environment: Mapping[str, str],
    scopes: Scopes,
    folder: Path,
    max_size: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> GithubStore:
    """The store of this job. `rest` is empty, `v1` or `v2`; blobs in flight lie below `folder`, and those that killed
    jobs left there are removed. Raises InputError."""
    if rest not in _VERSIONS:
        raise InputError(f"--store 'github:{rest}': write github, github:v1 or github:v2")
    service = find_service(environment, version=_VERSIONS[rest])
    remove_abandoned(folder, time.time())
    return GithubStore(
        NoService() if service is None else open_client(service, sleep=sleep),
        Http({}, sleep=sleep),
        spool_folder(folder, os.getpid()),
        location=f"github:{service.version}" if service else "github",
        scopes=scopes,
        readable=service is None or service.readable,
        writable=service is None or service.writable,
        absent=NO_SERVICE if service is None else "",
        caches=_caches(environment),
        max_size=MAX_SIZE if max_size is None else max_size,
        sleep=sleep,
    )


class NoService:
    """In a job that has no cache service: said once, and then a store that holds nothing."""

    def find(self, keys: Sequence[str]) -> Found | None:  # noqa: ARG002 - as a client that has one
        raise Refused(NO_SERVICE)

    def save(self, key: str, source: Source) -> bool:  # noqa: ARG002 - as above
        raise Refused(NO_SERVICE)


def open_client(service: Service, *, version: str = FORMAT, sleep: Callable[[float], None] = time.sleep) -> Client:
    """A client of the service for entries of that version (64 hex digits)."""
    authorization = {"Authorization": f"Bearer {service.token}"} if service.token else {}
    if service.version == "v1":
        return V1Client(service, version, Http({**authorization, "Accept": ACCEPT}, sleep=sleep))
    return V2Client(service, version, Http(authorization, sleep=sleep), Http({}, sleep=sleep), sleep=sleep)


def _caches(environment: Mapping[str, str]) -> CacheList | None:
    token, repository = environment.get("GITHUB_TOKEN"), environment.get("GITHUB_REPOSITORY")
    if not token or not repository or find_spec("github") is None:
        return None
    api = environment.get("GITHUB_API_URL") or "https://api.github.com"
    return CacheList(api, repository, token, version=FORMAT)
