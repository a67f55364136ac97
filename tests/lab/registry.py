"""A container registry: Debian's docker-registry on a random port of the loopback or of a bridge."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Logged:
    """A registry that tells what it was asked for."""

    address: str
    log: Path

    @property
    def uploads(self) -> int:
        """Blobs that somebody has begun to send."""
        return sum('"POST /v2/' in line and "/blobs/uploads/" in line for line in self.log.read_text().splitlines())

    def layers(self, name: str) -> list[str]:
        """Digests of the layers of an image."""
        words = ["skopeo", "inspect", "--tls-verify=false", f"docker://{self.address}/{name}"]
        return list(json.loads(subprocess.run(words, capture_output=True, check=True).stdout)["Layers"])


@contextlib.contextmanager
def logged(folder: Path) -> Iterator[Logged]:
    """A new one, empty, with its data in a new folder."""
    (folder / "data").mkdir(parents=True)
    with serve(folder / "data", folder, logged=True) as address:
        yield Logged(address, folder / "registry.log")


def copy_data(source: Path, target: Path) -> None:
    """A registry's data for a run of its own. Blobs are never changed in place, so links do."""
    try:
        shutil.copytree(source, target, copy_function=os.link)
    except shutil.Error:  # another file system
        shutil.rmtree(target)
        shutil.copytree(source, target)
