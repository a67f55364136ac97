"""The keys of entries. The service finds entries by a prefix of their key, newest first, and that is the whole index.

    lc1-<namespace>-<t1><t2>…<tn>-r<n>            the record of a chain: t_i are 8 hex digits for step key i
    lc1-<namespace>-x<before>-<t57>…<tn>-r<n>     of a chain longer than a key can say: <before> stands for its start
    lc1-<namespace>-s<stage>-<count>-<record>     the record that a stage's last build left or found

Every key ends in something that no question ends in, so that a question is never answered by "the very key" but
always by the newest entry; lower case, since act and Forgejo fold it. What 8 digits say is checked with the full keys.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from layercache_ci.store.github.client import MOST_KEYS

PREFIX: Final = "lc1-"
SEGMENT: Final = 56
"""Links that one key names."""

_HEX: Final = re.compile(r"[0-9a-f]{64}")
_ATTEMPT: Final = re.compile(r".*-r(\d+)")
_STAGE: Final = re.compile(r".*-([0-9a-f]{6})-([0-9a-f]{16})")


def chain_prefix(namespace: str, keys: Sequence[str]) -> str:
    """What the keys of all entries begin with whose chains begin with `keys`."""
    start = (len(keys) - 1) // SEGMENT * SEGMENT
    before = f"x{_hash(*keys[:start])[:16]}-" if start else ""
    return f"{_base(namespace)}{before}{''.join(map(_fold, keys[start:]))}"


def entry_key(prefix: str, attempt: int) -> str:
    return f"{prefix}-r{attempt}"


def attempt_of(key: str, prefix: str) -> int | None:
    """Its attempt where the key is that of the very chain of `prefix`."""
    found = _ATTEMPT.fullmatch(key.removeprefix(prefix)) if key.startswith(f"{prefix}-") else None
    return int(found[1]) if found else None


def stage_prefix(namespace: str, stage: str) -> str:
    return f"{_base(namespace)}s{_hash(stage)[:16]}-"


def stage_key(namespace: str, stage: str, count: int, identity: str) -> str:
    return f"{stage_prefix(namespace, stage)}{count:06x}-{identity[:16]}"


def stage_parts(key: str) -> tuple[int, str]:
    """The count in a stage's key, and the start of the record's identity."""
    found = _STAGE.fullmatch(key)
    return (int(found[1], 16), found[2]) if found else (0, "")


def is_record_key(key: str) -> bool:
    """Whether the entry is one of a chain, not one that says which record a stage has."""
    return _ATTEMPT.fullmatch(key) is not None


def probes(low: int, high: int) -> list[int]:
    """At most MOST_KEYS depths of (low, high], the deepest first, close together at the deep end: that is where a
    build that changed something usually parts from the one before."""
    if high - low <= MOST_KEYS:
        return list(range(high, low, -1))
    dense = MOST_KEYS // 2
    depths = list(range(high, high - dense, -1))
    rest = depths[-1] - 1 - low
    sparse = MOST_KEYS - dense
    return depths + [low + max(1, round(rest * (1 - i / (sparse - 1)))) for i in range(sparse)]


def _base(namespace: str) -> str:
    return f"{PREFIX}{_hash(namespace)[:16]}-"


def _fold(key: str) -> str:
    return key[:8] if _HEX.fullmatch(key) else _hash(key)[:8]


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogateescape")).hexdigest()
