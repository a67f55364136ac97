"""The user's own storage configuration with one more image store to read from (containers-storage.conf(5))."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from layercache_ci.engines.containers.engine import Engine
from layercache_ci.errors import CacheError

VARIABLE: Final = "CONTAINERS_STORAGE_CONF"
SYSTEM: Final = (Path("/etc/containers/storage.conf"), Path("/usr/share/containers/storage.conf"))


def effective(environment: Mapping[str, str], *, rootless: bool) -> dict[str, Any]:
    """What the engine reads: the file that CONTAINERS_STORAGE_CONF names, else the user's, else the system's; empty
    where there is none. Raises CacheError for a file that is no TOML."""
    home = Path(environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "/root")) / ".config")
    candidates = [Path(environment[VARIABLE])] if environment.get(VARIABLE) else []
    candidates += [home / "containers" / "storage.conf"] if rootless else []
    for path in (*candidates, *SYSTEM):
        try:
            return tomllib.loads(path.read_text())
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise CacheError(f"{path}: {error}") from error
    return {}


def with_image_store(
    configuration: Mapping[str, Any], engine: Engine, image_store: Path, root: Path | None
) -> dict[str, Any]:
    """The same configuration, the places that the engine found written out, and `image_store` before all others. With
    `root` the storage itself is below it, and the engine's own is one more to read from."""
    storage = dict(configuration.get("storage") or {})
    options = dict(storage.get("options") or {})
    stores = [str(image_store), *options.get("additionalimagestores", ())]
    if root is not None:
        stores.insert(1, str(engine.graph_root))
    storage |= {
        "driver": engine.driver,
        "graphroot": str(engine.graph_root if root is None else root / "root"),
        "runroot": str(engine.run_root if root is None else root / "run"),
        "options": {**options, "additionalimagestores": stores},
    }
    # for an ordinary user this one, where the system's file sets it, would win over graphroot
    storage.pop("rootless_storage_path", None)
    return {**configuration, "storage": storage}


def as_options(configuration: Mapping[str, Any]) -> list[str]:
    """The same as options of the command: for an ordinary user Podman and Buildah take `graphroot` from no file that
    CONTAINERS_STORAGE_CONF names (seen in 1.28 and 1.43), and options given make them drop those of the file."""
    storage = configuration["storage"]
    options = storage["options"]
    given = [f"overlay.imagestore={store}" for store in options["additionalimagestores"]]
    given += [f"overlay.{name}={value}" for name, value in options.get("overlay", {}).items()]
    words = [
        f"--root={storage['graphroot']}",
        f"--runroot={storage['runroot']}",
        f"--storage-driver={storage['driver']}",
    ]
    return words + [f"--storage-opt={option}" for option in given]


def dump(table: Mapping[str, Any], path: Sequence[str] = ()) -> str:
    """`table` as TOML. storage.conf has strings, numbers, booleans and lists of strings, whose JSON is TOML too."""
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"[{'.'.join(path)}]"] if path and plain else []
    lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in plain.items()]
    text = "\n".join(lines) + "\n" if lines else ""
    return text + "".join(dump(value, (*path, key)) for key, value in table.items() if isinstance(value, Mapping))
