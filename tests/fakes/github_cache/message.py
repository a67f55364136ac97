"""A request and a reply, as the parts of the server see them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.fakes.github_cache.server import CacheServer
from tests.fakes.github_cache.tokens import Access


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    access: Access | None
    """What the token opens, None where there is no good one."""

    def json(self) -> dict[str, Any]:
        document = json.loads(self.body or b"{}")
        return document if isinstance(document, dict) else {}


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Answer: TypeAlias = Callable[[CacheServer, Request], Reply]


def json_reply(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    body = b"" if document is None else json.dumps(document).encode()
    return Reply(status, body, {"Content-Type": "application/json", **(headers or {})})
