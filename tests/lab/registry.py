"""A container registry: Debian's docker-registry on a random port of the loopback or of a bridge."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.lab.daemon import running

LOOPBACK: Final = "127.0.0.1"


@contextlib.contextmanager
def serve(
    data: Path, scratch: Path, host: str = LOOPBACK, *, users: Path | None = None, logged: bool = False
) -> Iterator[str]:
    """The address, `host:PORT`, of a registry with its blobs in data. Raises RuntimeError when it won't start.

    Several may serve the same data at once. With `users`, a htpasswd file, only they are served. Where it is `logged`,
    each request is a line of `scratch / "registry.log"`.
    """
    config, log = scratch / "registry.json", scratch / "registry.log"
    # YAML is a superset of JSON.
    settings: dict[str, object] = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": not logged}},
        "storage": {"filesystem": {"rootdirectory": str(data)}, "delete": {"enabled": True}},
        "http": {"addr": f"{host}:0"},
    }
    if users is not None:
        settings["auth"] = {"htpasswd": {"realm": "lab", "path": str(users)}}
    config.write_text(json.dumps(settings))
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}

    def address() -> str | None:
        found = re.search(rf"listening on ({re.escape(host)}:\d+)", log.read_text())
        return found[1] if found else None

    with running(
        ["docker-registry", "serve", config], log, ready=lambda: address() is not None, environment=environment
    ):
        yield address() or ""


def copy_data(source: Path, target: Path) -> None:
    """A registry's data for a run of its own. Blobs are never changed in place, so links do."""
    try:
        shutil.copytree(source, target, copy_function=os.link)
    except shutil.Error:  # another file system
        shutil.rmtree(target)
        shutil.copytree(source, target)
