"""The repository's list of caches, by GitHub's REST API: what is there, how large, last used when, and its end.

The runtime token does not open it; GITHUB_TOKEN does (`actions: read` to list, `actions: write` to delete). PyGithub
has no call for it, but a requester. It is imported where a list is asked for, which no restore does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from layercache_ci.errors import CacheError, StoreUnavailable
from layercache_ci.store.github.http import TIMEOUT, Refused, reason, retries
from layercache_ci.store.github.keys import PREFIX
from layercache_ci.store.model import Retention

if TYPE_CHECKING:
    from github.Requester import Requester

GRACE: Final = 600.0
"""Seconds for which an entry is left alone after its last use."""

_PAGE: Final = 100
_BETWEEN_WRITES: Final = 0.34
"""Seconds: of 900 points a minute each deletion takes five (docs.github.com, "Rate limits for the REST API")."""


@dataclass(frozen=True, slots=True)
class ListedCache:
    id: int
    key: str
    scope: str
    size: int
    created: float
    used: float


class CacheList:
    """The entries of one repository that carry our keys and our version."""

    def __init__(
        self, api: str, repository: str, token: str, *, version: str, now: Callable[[], float] = time.time
    ) -> None:
        """`api` is the URL of the REST API, `repository` an `<owner>/<name>`."""
        self._api = api
        self._path = f"/repos/{repository}/actions/caches"
        self._token = token
        self._requester: Requester | None = None
        self._version = version
        self._now = now

    def all(self) -> list[ListedCache]:
        """Newest first. Raises CacheError."""
        found: dict[int, ListedCache] = {}
        # By creation, since the order of last use changes while others read. An empty page ends it.
        for page in range(1, 1000):
            query = {"key": PREFIX, "per_page": _PAGE, "page": page, "sort": "created_at", "direction": "asc"}
            answer = self._ask("listing the caches", "GET", self._path, query)
            caches = (answer or {}).get("actions_caches", [])
            found |= {item["id"]: _listed(item) for item in caches if item.get("version") == self._version}
            if len(caches) < _PAGE:
                break
        return sorted(found.values(), key=lambda cache: (cache.created, cache.id), reverse=True)

    def unwanted(self, rules: Retention) -> list[ListedCache]:
        """What must go: least recently used first, nothing of the last minutes."""
        listed = self.all()
        total = sum(cache.size for cache in listed)
        gone = []
        for cache in sorted(listed, key=lambda cache: (cache.used, cache.created, cache.id)):
            unused = self._now() - cache.used
            old = rules.max_age is not None and unused >= rules.max_age
            over = rules.max_size is not None and total > rules.max_size
            if (old or over) and unused >= GRACE:
                gone.append(cache)
                total -= cache.size
        return gone

    def remove(self, cache: ListedCache) -> None:
        """One that is gone already is fine. Raises CacheError."""
        self._ask("deleting a cache", "DELETE", f"{self._path}/{cache.id}")

    def _ask(
        self, what: str, method: str, path: str, query: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any] | None:
        """The answer's JSON; None where there is no such thing. Raises CacheError."""
        from github import GithubException  # noqa: PLC0415 - slow, and a restore has no use for it
        from requests import RequestException  # noqa: PLC0415 - comes with it

        requester = self._connected()
        host = requester.hostname
        try:
            _, answer = requester.requestJsonAndCheck(method, path, parameters=dict(query or {}))
        except GithubException as error:
            if error.status == 404:
                return None
            words = error.data.get("message") if isinstance(error.data, dict) else None
            said = f"{what}: {host} answered {error.status}: {words or 'no text'}"
            raise Refused(said) if error.status in {401, 403, 429} else StoreUnavailable(said) from None
        except RequestException as error:
            raise StoreUnavailable(f"{what}: {host} {reason(error)}") from None
        except (ValueError, RuntimeError, AttributeError) as error:  # of what it can't make sense of
            raise StoreUnavailable(f"{what}: {host} gave no answer that can be read: {error}") from None
        return answer if isinstance(answer, dict) else {}

    def _connected(self) -> Requester:
        """Faults are tried again as those of the cache service are; no rate limit is slept through in a build."""
        from github import Auth, Github  # noqa: PLC0415 - as above

        if self._requester is None:
            self._requester = Github(
                auth=Auth.Token(self._token),
                base_url=self._api,
                timeout=int(max(TIMEOUT)),
                retry=retries(),
                seconds_between_requests=0,
                seconds_between_writes=_BETWEEN_WRITES,
                user_agent="layercache",
                lazy=True,
            ).requester
        return self._requester


def _listed(item: Mapping[str, Any]) -> ListedCache:
    try:
        return ListedCache(
            id=int(item["id"]),
            key=str(item["key"]),
            scope=str(item["ref"]),
            size=int(item["size_in_bytes"]),
            created=datetime.fromisoformat(item["created_at"]).timestamp(),
            used=datetime.fromisoformat(item["last_accessed_at"]).timestamp(),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise CacheError(f"the list of caches can't be read: {error}") from error
