"""Programs from npm, each in a folder of the lab, installed once by its lock."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.lab.paths import LabPaths


def installed(package: Path) -> Path:
    """A folder with the node_modules of `package`, which holds package.json and package-lock.json."""
    lock = (package / "package-lock.json").read_bytes()
    name = package.name.replace("_", "-")
    folder = LabPaths.here().folder / f"{name}-{hashlib.sha256(lock).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            for file in ("package.json", "package-lock.json"):
                shutil.copy(package / file, folder)
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, capture_output=True)
            (folder / "done").touch()
    return folder
