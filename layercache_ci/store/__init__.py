"""Where records and blobs live: one file per backend, all behind `model.Store`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final

from layercache_ci.errors import InputError
from layercache_ci.store.choice import StoreChoice
from layercache_ci.store.model import Scopes, Store

__all__ = ["Scopes", "Store", "StoreChoice", "open_store"]

NO_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Backend:
    form: str
    """How it is written, for people."""
    open: Callable[[str, StoreChoice, Mapping[str, str]], Store]
    """Makes the store out of what follows the colon (empty where there is none), what was chosen with it, and the
    process's environment."""
    library: str = ""
    """What has to be installed for it."""


def open_store(
    choice: StoreChoice,
    *,
    environment: Mapping[str, str] = NO_ENVIRONMENT,
    warn: Callable[[str], None] = lambda _: None,
) -> Store:
    """The store that was chosen, behind its tier where it has one and is not a local folder itself. `environment` is
    the process's (Machine.environment), for services that are found by it; `warn` hears what the tier has to say.
    The store is not read or written yet. Raises InputError."""
    kind, _, rest = choice.location.partition(":")
    backend = _BACKENDS.get(kind)
    if backend is None or choice.location.endswith(":"):
        forms = ", ".join(backend.form for backend in _BACKENDS.values())
        raise InputError(f"--store {choice.location!r} names no store that is known: write one of {forms}")
    if backend.library and find_spec(backend.library) is None:
        raise InputError(
            f"--store {choice.location!r}: {backend.library} is not installed; install layercache-ci[{kind}]"
        )
    store = backend.open(rest, choice, environment)
    if choice.tier is None or kind == "local":
        return store
    from layercache_ci.store.tier import TierStore  # noqa: PLC0415 - only where there is one

    return TierStore(store, choice.tier.folder, scopes=choice.scopes, max_size=choice.tier.max_size, warn=warn)


def _open_local(rest: str, choice: StoreChoice, _: Mapping[str, str]) -> Store:
    from layercache_ci.store.local import MAX_SIZE, LocalStore  # noqa: PLC0415 - only the backend that is used

    root = Path(rest).expanduser() if rest else choice.folder
    return LocalStore(
        root.absolute(), scopes=choice.scopes, max_size=MAX_SIZE if choice.max_size is None else choice.max_size
    )


def _open_github(rest: str, choice: StoreChoice, environment: Mapping[str, str]) -> Store:
    from layercache_ci.store.github import open_github  # noqa: PLC0415 - as above

    return open_github(
        rest, environment=environment, scopes=choice.scopes, folder=choice.folder, max_size=choice.max_size
    )


def _open_s3(rest: str, choice: StoreChoice, _: Mapping[str, str]) -> Store:
    from layercache_ci.aside import aside  # noqa: PLC0415 - as above
    from layercache_ci.store.s3 import S3Store  # noqa: PLC0415 - as above
    from layercache_ci.store.s3_connection import Connection, load_client  # noqa: PLC0415 - as above
    from layercache_ci.store.s3_settings import S3Settings  # noqa: PLC0415 - as above

    connection = Connection(S3Settings.parse(rest, choice.s3))
    # botocore takes a quarter of a second, in which the engine is asked, or the registry is
    aside(load_client)
    return S3Store(connection, folder=choice.folder / "s3", scopes=choice.scopes, max_size=choice.max_size)


_BACKENDS: Final = MappingProxyType(
    {
        "local": _Backend("local, local:DIR", _open_local),
        "s3": _Backend("s3://BUCKET/PREFIX", _open_s3, library="boto3"),
        "github": _Backend("github", _open_github, library="requests"),
    }
)
