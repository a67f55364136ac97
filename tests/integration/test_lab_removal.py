"""What the engines of the lab share: how folders are removed that are at work, ports, the ends of processes."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.lab.lab import Lab
from tests.lab.ports import own_port
from tests.lab.removal import clear, mounted_below, unmount_below
from tests.waiting import has_ended, until

WRITER = """
import os, pathlib, sys, time
folder, end = pathlib.Path(sys.argv[1]), time.monotonic() + 1
print("writes", flush=True)
while time.monotonic() < end:
    try:
        (folder / "busy" / os.urandom(8).hex()).mkdir(parents=True)
    except OSError:
        pass
"""


def test_a_folder_is_removed_though_somebody_writes_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for number in range(300):
        (folder / "busy" / str(number)).mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", WRITER, folder], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        clear(folder)
    clear(folder)  # it may have come back, since its writer went on
    assert not folder.exists()


def test_what_somebody_else_unmounts_meanwhile_is_fine(tmp_path: Path) -> None:
    points = [tmp_path / "folder" / str(number) for number in range(8)]
    for point in points:
        point.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "layercache-test", point], check=True)

    def unmount() -> None:
        for point in points:
            subprocess.run(["umount", point], check=False, stderr=subprocess.DEVNULL)

    other = threading.Thread(target=unmount)
    other.start()
    unmount_below(tmp_path / "folder")
    other.join()
    assert mounted_below(tmp_path / "folder") == []


def test_what_an_ordinary_users_podman_leaves_running_is_ended(lab: Lab) -> None:
    engine = lab.engine("podman-rootless")
    engine.run("unshare", "true")
    [file] = (engine.folder / "runtime").rglob("pause.pid")
    pid = int(file.read_text())
    assert not has_ended(pid)
    engine.remove()
    until(lambda: has_ended(pid))


def test_a_port_is_nobody_elses() -> None:
    with own_port() as one, own_port() as other:
        assert one != other
        with socket.create_server(("127.0.0.1", one)), socket.create_server(("127.0.0.1", other)):
            pass
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        assert max(one, other) < low, "where the kernel gives ports to clients"


def test_a_process_has_ended_when_it_is_dead_waited_for_or_not() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        assert not has_ended(process.pid)
        assert process.stdin is not None
        process.stdin.close()
        until(lambda: has_ended(process.pid))
        assert Path(f"/proc/{process.pid}").exists()
    assert has_ended(process.pid)


def test_what_stays_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.waiting.SECONDS", 0.0)
    with pytest.raises(AssertionError, match="the engine"):
        until(lambda: False, told=lambda: "the engine")
