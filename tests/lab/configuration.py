"""The configuration files that an engine of the lab reads in place of the machine's: /etc stays as it is."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

OPEN_FILES: Final = ("nofile", resource.RLIMIT_NOFILE)
PROCESSES: Final = ("nproc", resource.RLIMIT_NPROC)


def _limits(*named: tuple[str, int]) -> list[str]:
    """This process's own hard limits: an engine without CAP_SYS_RESOURCE can't raise them and fails on its defaults."""
    return [f"{name}={hard}:{hard}" for name, which in named for hard in [resource.getrlimit(which)[1]]]


def _settings(values: Mapping[str, str]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())


def write_configuration(
    folder: Path, state: Path | None, registries: Sequence[str], *, newer: bool
) -> Mapping[str, str]:
    """Writes containers.conf, storage.conf and registries.conf into folder, with the engine's state under state
    (None: where an ordinary user's engine keeps it, under its HOME).

    registries are the host:port that are spoken to without TLS. Returns the environment that makes Buildah, Podman
    and Skopeo read these files. newer: sid's versions, which want the limit on processes named; Debian 12's Buildah
    lowers its own first and then fails on it.
    """
    limits = _limits(OPEN_FILES, PROCESSES) if newer else _limits(OPEN_FILES)
    engine = {"cgroup_manager": "cgroupfs", "events_logger": "file"}
    if shutil.which("runc"):
        engine["runtime"] = "runc"  # Debian 12's crun refuses a machine with both cgroup versions mounted
    if state is not None:
        engine["tmp_dir"] = str(state / "libpod")
    containers = folder / "containers.conf"
    containers.write_text(f"[containers]\ndefault_ulimits = {json.dumps(limits)}\n[engine]\n{_settings(engine)}")
    storage = folder / "storage.conf"
    roots = {"graphroot": str(state / "graph"), "runroot": str(state / "run")} if state else {}
    storage.write_text("[storage]\n" + _settings({"driver": "overlay", **roots}))
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


def write_home(folder: Path, registries: Sequence[str], *, newer: bool) -> Mapping[str, str]:
    """The same for an ordinary user's engine, which keeps its storage under its HOME: a new one in folder."""
    home, runtime = folder / "home", folder / "runtime"
    configuration = home / ".config/containers"
    configuration.mkdir(parents=True)
    runtime.mkdir(mode=0o700)
    write_configuration(configuration, None, registries, newer=newer)
    return {"HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)}
