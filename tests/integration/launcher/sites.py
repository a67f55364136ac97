"""A runner on which the launcher is started as GitHub's starts it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.lab.paths import CHECKOUT

SECONDS: Final = 300
VERSION: Final = platform.python_version()
ENTRYPOINT: Final = """\
import json, os, signal, sys, time
import requests, cheroot, yaml, actions_toolkit.core
told = {"stage": sys.argv[1], "python": sys.executable, "from": requests.__file__, "environment": dict(os.environ)}
with open(os.environ["TOLD"], "w") as file:
    json.dump(told, file)
def leave(number, frame):
    sys.exit(40 + number)
if "WAIT" in os.environ:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    print("ready", flush=True)
    time.sleep(120)
sys.exit(int(os.environ.get("CODE", "0")))
"""


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    log: str


@dataclass(frozen=True, slots=True)
class Site:
    """A runner with a tool cache, and a checkout of an action that has our launcher and says how it was started."""

    folder: Path
    node: str

    @property
    def action(self) -> Path:
        return self.folder / "action"

    @property
    def checkout(self) -> Path:
        """The job's, where steps are started: of a stranger's pull request maybe."""
        return self.folder / "checkout"

    @property
    def kept(self) -> Path:
        """Where the launcher keeps packages."""
        return self.folder / "tools/layercache-action"

    @property
    def told(self) -> dict[str, Any]:
        """What the entrypoint saw."""
        found: dict[str, Any] = json.loads((self.folder / "told").read_text())
        return found

    @property
    def state(self) -> dict[str, str]:
        """What the main step saved, as the post step gets it."""
        lines = (self.folder / "state").read_text().splitlines()
        return {f"STATE_{name}": value for name, _, value in (line.partition("=") for line in lines)}

    def start(self, script: str = "main.js", /, **environment: str) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PYTHON"))}
        given = {
            **kept, "PATH": str(self.folder / "bin"), "RUNNER_TOOL_CACHE": str(self.folder / "tools"),
            "GITHUB_STATE": str(self.folder / "state"), "TOLD": str(self.folder / "told"), **environment,
        }  # fmt: skip
        return subprocess.Popen(
            [self.node, self.action / "launcher" / script],
            cwd=self.checkout, env=given, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, script: str = "main.js", /, **environment: str) -> Ran:
        return ended(self.start(script, **environment))

    def installed(self) -> list[str]:
        """The names of the packages that are kept."""
        return sorted(found.name.partition("-")[0] for found in self.kept.glob("*/packages/*.dist-info"))

    def bring(self) -> None:
        """Play what a release brings along."""
        kind = (sys.implementation.cache_tag, sys.implementation._multiarch)
        folder = self.action / "packages" / "-".join(kind)
        for module in ("requests", "cheroot", "yaml", "actions_toolkit/core"):
            path = folder / f"{module}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")


def ended(process: subprocess.Popen[str]) -> Ran:
    log, _ = process.communicate(timeout=SECONDS)
    print(log)
    return Ran(process.returncode, log)


def warnings(ran: Ran) -> list[str]:
    return [line for line in ran.log.splitlines() if line.startswith("::warning::")]


def put_python(path: Path, python: Path) -> None:
    """A program at `path` that is this Python: a link would not find its own folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
    path.chmod(0o755)


RUNS: Final = """\
#!/bin/sh
case $1 in
run) printf '%s\\n' "$@" >"$TOLD" ;;
info) echo "[$SECURITY]" ;;
container) [ -z "$VOLUMES" ] || printf '%s\\n' $VOLUMES; [ -n "$VOLUMES" ] ;;
esac
"""
"""A docker that says how it was to run the image, and that we are its container where there are VOLUMES."""


def without_python(site: Site) -> dict[str, str]:
    """The environment of a runner with nothing but this docker."""
    put_python(site.folder / "bin/python3", Path("/bin/false"))
    (site.folder / "bin/docker").write_text(RUNS)
    (site.folder / "bin/docker").chmod(0o755)
    shutil.copy(CHECKOUT / "Dockerfile", site.action)
    (site.folder / "inside.js").write_text(
        "require('os').hostname = () => '0123456789ab'; const fs = require('fs'), read = fs.readFileSync;"
        "fs.readFileSync = (...given) => (given[0] === '/proc/self/mountinfo' ? '' : read(...given));"
    )
    return {
        "NODE_OPTIONS": f"--require={site.folder / 'inside.js'}", "DOCKER_HOST": "tcp://x",
        "HOME": str(site.folder / "home"), "XDG_CACHE_HOME": "", "RUNNER_TEMP": str(site.folder / "temp"),
        "GITHUB_WORKSPACE": str(site.checkout),
    }  # fmt: skip
