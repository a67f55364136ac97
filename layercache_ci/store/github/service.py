"""Which cache service a job has, by the environment that its runner gives an action.

The official client's rule (actions/toolkit, packages/cache/src/internal/config.ts) with two corrections. A container
action on github.com has no ACTIONS_CACHE_SERVICE_V2, and v1 is shut down there: so the host of ACTIONS_RESULTS_URL
counts. act says that it is github.com and offers v1 alone: so a service is only chosen where its URL is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

Version = Literal["v1", "v2"]

_V2_HOSTS: Final = (".actions.githubusercontent.com", ".ghe.com")
_READS: Final = {"none": False, "read": True, "write": True, "write-only": False}
_WRITES: Final = {"none": False, "read": False, "write": True, "write-only": True}


@dataclass(frozen=True, slots=True)
class Service:
    """Where the service is and what ACTIONS_CACHE_MODE lets a job do with it."""

    version: Version
    url: str
    """Ends with a slash."""
    token: str = field(repr=False)
    readable: bool = True
    writable: bool = True


def find_service(environment: Mapping[str, str], *, version: Version | None = None) -> Service | None:
    """The service of this job, None where it has none; `version` is the user's own choice."""
    token = environment.get("ACTIONS_RUNTIME_TOKEN", "")
    chosen, url = _choose(environment, version)
    if not url or (chosen == "v2" and not token):
        return None
    mode = environment.get("ACTIONS_CACHE_MODE", "").lower()
    return Service(chosen, url.rstrip("/") + "/", token, _READS.get(mode, True), _WRITES.get(mode, True))


def _choose(environment: Mapping[str, str], version: Version | None) -> tuple[Version, str]:
    results = environment.get("ACTIONS_RESULTS_URL", "")
    v1: tuple[Version, str] = ("v1", environment.get("ACTIONS_CACHE_URL", "") or results)
    v2: tuple[Version, str] = ("v2", results)
    if version is not None:
        return v2 if version == "v2" else v1
    if _is_ghes(environment.get("GITHUB_SERVER_URL", "")):
        return v1
    if results and environment.get("ACTIONS_CACHE_SERVICE_V2"):
        return v2
    if (urlsplit(results).hostname or "").endswith(_V2_HOSTS):
        return v2
    return v1 if environment.get("ACTIONS_CACHE_URL") else v2


def _is_ghes(server_url: str) -> bool:
    host = (urlsplit(server_url or "https://github.com").hostname or "").lower()
    return not (host == "github.com" or host.endswith((".ghe.com", ".localhost")))
