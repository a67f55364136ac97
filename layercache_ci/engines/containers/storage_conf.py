"""The user's own storage configuration with a graph root and image stores of ours (containers-storage.conf(5))."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from layercache_ci.errors import CacheError

VARIABLE: Final = "CONTAINERS_STORAGE_CONF"
SYSTEM: Final = (Path("/etc/containers/storage.conf"), Path("/usr/share/containers/storage.conf"))


def effective(environment: Mapping[str, str], *, rootless: bool) -> dict[str, Any]:
    """What the engine reads: the file that CONTAINERS_STORAGE_CONF names, else the user's, else the system's; empty
    where there is none. Raises CacheError for a file that is no TOML."""
    candidates = [Path(environment[VARIABLE])] if environment.get(VARIABLE) else []
    candidates += [_users(environment)] if rootless else []
    for path in (*candidates, *SYSTEM):
        try:
            return tomllib.loads(path.read_text())
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise CacheError(f"{path}: {error}") from error
    return {}


def to_change(environment: Mapping[str, str], *, rootless: bool) -> Path:
    """The file into which somebody writes what the engine is to do otherwise."""
    if named := environment.get(VARIABLE):
        return Path(named)
    return _users(environment) if rootless else SYSTEM[0]


def _users(environment: Mapping[str, str]) -> Path:
    home = Path(environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "/root")) / ".config")
    return home / "containers" / "storage.conf"


def image_stores(configuration: Mapping[str, Any]) -> tuple[Path, ...]:
    """The additional image stores that are read from. Raises CacheError for what is no list of paths."""
    options = (configuration.get("storage") or {}).get("options") or {}
    found = options.get("additionalimagestores") or ()
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        raise CacheError(f"storage.conf: additionalimagestores is {found!r}, which is no list of folders")
    return tuple(map(Path, found))


def for_build(
    configuration: Mapping[str, Any],
    *,
    driver: str,
    root: Path,
    stores: Sequence[Path],
    rootless: bool,
    alone: bool = False,
) -> dict[str, Any]:
    """The same configuration with a graph root of its own below `root`, which reads from `stores` before all others, or
    from these alone."""
    storage = dict(configuration.get("storage") or {})
    options = dict(storage.get("options") or {})
    others = () if alone else image_stores(configuration)
    options["additionalimagestores"] = [*map(str, stores), *map(str, others)]
    storage |= {"driver": driver, "graphroot": str(root / "root"), "runroot": str(root / "run"), "options": options}
    if rootless:
        # the only one of the places that counts for an ordinary user
        storage["rootless_storage_path"] = str(root / "root")
    return {**configuration, "storage": storage}


def dump(table: Mapping[str, Any], path: Sequence[str] = ()) -> str:
    """`table` as TOML. storage.conf has strings, numbers, booleans and lists of strings, whose JSON is TOML too."""
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"[{'.'.join(path)}]"] if path and plain else []
    lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in plain.items()]
    text = "\n".join(lines) + "\n" if lines else ""
    return text + "".join(dump(value, (*path, key)) for key, value in table.items() if isinstance(value, Mapping))
