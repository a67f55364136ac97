"""Runtime tokens: a JWT whose claim `ac` lists the scopes that it opens, as the service's tokens do (unsigned here)."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

READ, WRITE = 1, 2


@dataclass(frozen=True, slots=True)
class Access:
    read: tuple[str, ...]
    write: str | None


def make_token(read: Sequence[str], write: str | None, *, seconds: float = 6 * 3600) -> str:
    """A token that reads those scopes in that order and writes one of them, valid for so many seconds."""
    scopes = list(dict.fromkeys((*read, *([write] if write else []))))
    ac = [{"Scope": s, "Permission": READ * (s in read) + WRITE * (s == write)} for s in scopes]
    now = int(time.time())
    claims = {"ac": json.dumps(ac), "nbf": now - 60, "exp": int(now + seconds), "repository_id": "1"}
    return ".".join((_encode({"alg": "none", "typ": "JWT"}), _encode(claims), "c2lnbmF0dXJl"))


def access(token: str) -> Access | None:
    """What a token opens; None for one that is no token of ours, or has expired."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        scopes = json.loads(claims["ac"])
        if claims["exp"] < time.time():
            return None
        read = tuple(scope["Scope"] for scope in scopes if scope["Permission"] & READ)
        write = next((scope["Scope"] for scope in scopes if scope["Permission"] & WRITE), None)
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    return Access(read, write)


def _encode(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()
