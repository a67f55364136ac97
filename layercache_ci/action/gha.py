"""What build-push-action adds to a cache in GitHub's own service (docker's actions-toolkit, Build.resolveCacheToAttrs):
with them buildx asks GitHub how an export stands, rather than guess until it is over its time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from layercache_ci.engines.buildkit.result import fields_of

SECRET: Final = re.compile(r"((?:ghtoken|token|secret_access_key|session_token)\s*=)([^,\"\s]+)")
"""Fields of a cache that nobody is to see."""


def with_token(cache_to: str, environment: Mapping[str, str], token: str) -> str:
    """`cache-to` for buildx. The token is on its command line then, as with build-push-action: it has no other way."""
    fields = fields_of(cache_to)
    if fields.get("type", "").strip() != "gha":
        return cache_to
    given = {"repository": environment.get("GITHUB_REPOSITORY", ""), "ghtoken": token}
    added = [f"{name}={value}" for name, value in given.items() if value and not fields.get(name)]
    return ",".join([cache_to, *added])


def secrets_of(text: str) -> tuple[str, ...]:
    """The values that must not be shown."""
    return tuple(value for _, value in SECRET.findall(text))


def without_secrets(text: str) -> str:
    return SECRET.sub(r"\1***", text)
