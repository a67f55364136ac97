"""Engines as processes: what they say, and how they end when somebody asks them to."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import layercache_ci
from layercache_ci.engines.process import launch
from tests.waiting import SECONDS

ROOT = Path(layercache_ci.__file__).resolve().parent.parent
ORPHAN = "sleep 600 & echo $! >orphan; echo ready; exec sleep 600"
SILENT = "trap 'echo ended; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
"""As Podman ends."""
LATE = "trap 'echo ended; exit 3' TERM; echo ready; while :; do sleep 0.1; done"


def test_what_an_engine_says_comes_whole_and_by_line() -> None:
    sink, lines = io.BytesIO(), list[str]()
    code = launch(["printf", r"one\ntwo\r\nrest"], dict(os.environ)).follow(on_line=lines.append, sink=sink)
    assert (code, sink.getvalue(), lines) == (0, b"one\ntwo\r\nrest", ["one", "two", "rest"])


def test_a_file_that_comes_by_the_output_is_passed_on_and_no_line_of_it_grows_without_bound() -> None:
    sink, lines = io.BytesIO(), list[str]()
    size = 20 << 20  # to look for the end of its only line in all that came before would take minutes
    code = launch(["head", "-c", str(size), "/dev/zero"], dict(os.environ)).follow(on_line=lines.append, sink=sink)
    assert (code, sink.getvalue()) == (0, bytes(size))
    assert "".join(lines) == "\0" * size
    assert max(map(len, lines)) < 2 << 20


@pytest.mark.parametrize(("script", "code", "said"), [
    (ORPHAN, 128 + signal.SIGTERM, "ready"), (LATE, 3, "ended"), (SILENT, 128 + signal.SIGTERM, "ended"),
])  # fmt: skip
def test_an_engine_that_is_asked_to_end_is_heard_out_but_not_what_it_leaves_running(
    tmp_path: Path, script: str, code: int, said: str
) -> None:
    lines: list[str] = []

    def interrupt() -> None:
        end = time.monotonic() + SECONDS
        while "ready" not in lines and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    running = launch(["bash", "-c", f"cd {tmp_path}; {script}"], dict(os.environ))
    threading.Thread(target=interrupt).start()
    assert running.follow(on_line=lines.append, sink=None) == code
    assert running.interrupted
    assert lines[-1] == said
    if (orphan := tmp_path / "orphan").exists():
        os.kill(int(orphan.read_text()), signal.SIGKILL)


def test_an_engine_has_the_descriptors_that_we_were_given_and_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("secret")
    lines: list[str] = []
    with (tmp_path / "given").open() as given, (tmp_path / "given").open() as own:
        os.set_inheritable(given.fileno(), True)
        words = ["bash", "-c", f"cat /dev/fd/{given.fileno()}; echo; ls /dev/fd/{own.fileno()} || echo closed"]
        assert launch(words, dict(os.environ)).follow(on_line=lines.append, sink=None) == 0
    assert lines == ["secret", "closed"]


def test_the_process_that_saves_holds_no_lock_of_whoever_started_us(tmp_path: Path) -> None:
    save = "import time; from pathlib import Path; from layercache_ci.handover import detach\n"
    save += "if not (child := detach(Path('log'))): print('saves', flush=True); time.sleep(600)\nprint(child)"
    script = f'( flock 9; "{sys.executable}" -c "$SAVE" ) 9>lock; until grep -q saves log; do sleep 0.1; done'
    script += "; flock --nonblock lock echo free"
    environment = {**os.environ, "SAVE": save, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    child, *said = done.stdout.split()
    os.kill(int(child), signal.SIGKILL)
    assert said == ["free"]


def test_an_engine_that_is_followed_no_longer_ends_too(tmp_path: Path) -> None:
    """Whatever ends the following, a closed pipe or another signal, nobody is left to hear it."""

    def fail(_line: str) -> None:
        raise BrokenPipeError

    running = launch(["sh", "-c", f"echo $$ >{tmp_path}/pid; echo ready; exec sleep 600"], dict(os.environ))
    with pytest.raises(BrokenPipeError):
        running.follow(on_line=fail, sink=None)
    assert running.process.returncode == -signal.SIGTERM
