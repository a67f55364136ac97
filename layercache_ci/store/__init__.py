"""Where records and blobs live: one file per backend, all behind `model.Store`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from layercache_ci.errors import InputError
from layercache_ci.store.model import Scopes, Store

__all__ = ["Scopes", "Store", "open_store"]


@dataclass(frozen=True, slots=True)
class _Choice:
    """What a location leaves open."""

    scopes: Scopes
    max_size: int | None
    folder: Path


@dataclass(frozen=True, slots=True)
class _Backend:
    form: str
    """How it is written, for people."""
    open: Callable[[str, _Choice], Store]
    """Makes the store out of what follows the colon (empty where there is none)."""


def open_store(location: str, *, folder: Path, scopes: Scopes, max_size: int | None = None) -> Store:
    """The store that `location` names; `folder` is where a local one lives that names no folder itself. `max_size` is
    in bytes, None for the backend's own default. Nothing is read or written yet. Raises InputError."""
    kind, _, rest = location.partition(":")
    backend = _BACKENDS.get(kind)
    if backend is None or location.endswith(":"):
        forms = ", ".join(backend.form for backend in _BACKENDS.values())
        raise InputError(f"--store {location!r} names no store that is known: write one of {forms}")
    return backend.open(rest, _Choice(scopes, max_size, folder))


def _open_local(rest: str, choice: _Choice) -> Store:
    from layercache_ci.store.local import MAX_SIZE, LocalStore  # noqa: PLC0415 - only the backend that is used

    root = Path(rest).expanduser() if rest else choice.folder
    return LocalStore(
        root.absolute(), scopes=choice.scopes, max_size=MAX_SIZE if choice.max_size is None else choice.max_size
    )


_BACKENDS: Final = MappingProxyType({"local": _Backend("local, local:DIR", _open_local)})
