"""The configuration files that an engine of the lab reads in place of the machine's: /etc stays as it is."""

from __future__ import annotations

import json
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

OPEN_FILES: Final = ("nofile", resource.RLIMIT_NOFILE)
PROCESSES: Final = ("nproc", resource.RLIMIT_NPROC)


def _limits(*named: tuple[str, int]) -> list[str]:
    """This process's own hard limits: an engine without CAP_SYS_RESOURCE can't raise them and fails on its defaults."""
    return [f"{name}={hard}:{hard}" for name, which in named for hard in [resource.getrlimit(which)[1]]]


def write_configuration(
    folder: Path, state: Path | None, registries: Sequence[str], *, newer: bool
) -> Mapping[str, str]:
    """Writes containers.conf, storage.conf and registries.conf into folder, with the engine's state under state
    (None: where an ordinary user's engine keeps it, under its HOME).

    registries are the host:port that are spoken to without TLS. Returns the environment that makes Buildah, Podman
    and Skopeo read these files. newer: sid's versions, which want the limit on processes named; Debian 12's Buildah
    lowers its own first and then fails on it.
    """
    containers = folder / "containers.conf"
    # runc: Debian 12's crun refuses a machine with both cgroup versions mounted.
    containers.write_text(
        "[containers]\n"
        f"default_ulimits = {json.dumps(_limits(OPEN_FILES, PROCESSES) if newer else _limits(OPEN_FILES))}\n"
        "[engine]\n"
        'runtime = "runc"\n'
        'cgroup_manager = "cgroupfs"\n'
        'events_logger = "file"\n' + (f"tmp_dir = {json.dumps(str(state / 'libpod'))}\n" if state else "")
    )
    storage = folder / "storage.conf"
    roots = {"graphroot": state / "graph", "runroot": state / "run"} if state else {}
    storage.write_text(
        '[storage]\ndriver = "overlay"\n'
        + "".join(f"{setting} = {json.dumps(str(path))}\n" for setting, path in roots.items())
    )
    known = folder / "registries.conf"
    known.write_text(
        "unqualified-search-registries = []\n"
        + "".join(f"[[registry]]\nlocation = {json.dumps(name)}\ninsecure = true\n" for name in registries)
    )
    return {
        "CONTAINERS_CONF": str(containers),
        "CONTAINERS_STORAGE_CONF": str(storage),
        "CONTAINERS_REGISTRIES_CONF": str(known),
    }
