"""A container registry on the loopback: Debian's docker-registry on a random port, stopped by its own pid."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def serve(data: Path, scratch: Path) -> Iterator[str]:
    """The address, `127.0.0.1:PORT`, of a registry with its blobs in data. Raises RuntimeError when it won't start."""
    config, log = scratch / "registry.json", scratch / "registry.log"
    # YAML is a superset of JSON.
    settings = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(data)}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0"},
    }
    config.write_text(json.dumps(settings))
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    with log.open("wb") as output:
        # A run that is killed takes its registry with it.
        command = ["setpriv", "--pdeathsig", "TERM", "docker-registry", "serve", str(config)]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())
        if found is not None:
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise RuntimeError(f"docker-registry did not start: {log.read_text()[-2000:]}")


def copy_data(source: Path, target: Path) -> None:
    """A registry's data for a run of its own. Blobs are never changed in place, so links do."""
    try:
        shutil.copytree(source, target, copy_function=os.link)
    except shutil.Error:  # another file system
        shutil.rmtree(target)
        shutil.copytree(source, target)
