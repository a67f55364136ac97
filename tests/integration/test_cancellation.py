"""A job that is cancelled between the end of its build and the start of the process that saves."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import SECONDS, until

SCRIPT = """
import os, signal, sys
from dataclasses import dataclass
from pathlib import Path
from layercache_ci import pipeline
from layercache_ci.handover import Cancellation
from layercache_ci.engines.protocol import Saved
from layercache_ci.report.progress import Voice
from layercache_ci.settings import BuildSettings, Machine
from tests.unit.test_pipeline import Told

folder, number = Path(sys.argv[1]), int(sys.argv[2])

@dataclass(slots=True)
class Cancelled(Told):
    def stages(self):
        os.kill(os.getpid(), number)  # the build is over, and its report is being made
        return ()

    def save(self):
        (folder / "saved").write_text(str(os.getpid()))
        return Saved()

signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
pipeline.prepare = lambda settings, machine: Cancelled()
cancellation = Cancellation()
result = pipeline.build(
    BuildSettings(context=".", wait=False), Machine({}, 0, 1, False), voice=Voice(sys.stdout, terminal=False),
    log=folder / "log", cancellation=cancellation,
)
print("told", result.pid, flush=True)
cancellation.admit()
print("not cancelled", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_its_save_is_not_lost(tmp_path: Path, number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path, str(number)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert done.returncode in {-signal.SIGINT, 128 + number}, done.stderr
    assert "not cancelled" not in done.stdout
    saver = next(line for line in done.stdout.splitlines() if line.startswith("told ")).split()[1]
    saved = tmp_path / "saved"
    until(lambda: saved.exists() and saved.read_text())
    assert saved.read_text() == saver
