"""What a CI system says of a run, as far as the cache cares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Environment = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """`own` is the run's own ref, None where it has none that anything could be kept under; `others` are those that
    it builds on, nearest first: a pull request's base, the default branch. All are full refs (`refs/heads/main`), None
    where there is none or it is not known."""

    system: str
    """For people."""
    own: str | None
    others: tuple[str | None, ...] = ()
    denied: str | None = None
    """Why it may not write, None where it may."""
    warnings: tuple[str, ...] = ()


def branch(name: str | None) -> str | None:
    """The full ref of a branch, which may be written as one already."""
    if not name:
        return None
    return name if name.startswith("refs/") else f"refs/heads/{name}"


def tag(name: str | None) -> str | None:
    return f"refs/tags/{name}" if name else None
