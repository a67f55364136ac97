"""`python -m benchmarks.launcher`: seconds from the launcher's start to the entrypoint's, where its packages are to be
fetched and where they are there."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.lab.paths import CHECKOUT, LabPaths
from tests.lab.programs import find_program

STORES: Final = ("github", "s3://bucket")
ENTRYPOINT: Final = "import os, time\nopen(os.environ['TOLD'], 'w').write(str(time.time()))\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    node, uv = find_program("node", LabPaths.here()), shutil.which("uv")
    with tempfile.TemporaryDirectory(prefix="layercache-launcher-") as folder:
        root = Path(folder)
        subprocess.run([sys.executable, "-m", "venv", root / "python"], check=True)
        for name in ("launcher", "requirements"):
            shutil.copytree(CHECKOUT / name, root / "action" / name)
        (root / "action/entrypoint.py").write_text(ENTRYPOINT)
        print("| store | installer | packages fetched, s | packages there, s |\n|---|---|---|---|")
        for store in STORES:
            for installer in ("pip", *(["uv"] if uv else [])):
                path = f"{root}/python/bin" + (f":{Path(uv).parent}" if installer == "uv" and uv else "")
                cold, warm = [], []
                for number in range(rounds):
                    tools = root / f"tools-{store[:2]}-{installer}-{number}"
                    given = {"PATH": path, "RUNNER_TOOL_CACHE": str(tools), "INPUT_STORE": store}
                    cold.append(_start(str(node), root, given))
                    warm.append(_start(str(node), root, given))
                print(f"| {store} | {installer} | {_figures(cold)} | {_figures(warm)} |", flush=True)
    return 0


def _start(node: str, root: Path, given: Mapping[str, str]) -> float:
    told = root / "told"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # nothing of an earlier run is kept but the tool cache
    fresh = {"UV_NO_CACHE": "1", "PIP_NO_CACHE_DIR": "1", "GITHUB_STATE": str(root / "state"), "TOLD": str(told)}
    begun = time.time()
    subprocess.run(
        [node, str(root / "action/launcher/main.js")], env={**kept, **fresh, **given}, check=True, capture_output=True
    )
    return float(told.read_text()) - begun


def _figures(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})"


if __name__ == "__main__":
    sys.exit(main())
