"""Somebody ends `layercache build` while it still plans, with an engine of its own at work already."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.waiting import SECONDS, has_ended, until

DOCKER: Final = """#!/bin/sh
# a docker whose builder is remote; it never knows an image, and builds until it is ended
case "$*" in
*inspect\\ --bootstrap*) cat "$HERE/builder" ;;
*imagetools*) while [ -d "$HERE" ]; do sleep 0.1; done; exit 1 ;;
*version*) echo "github.com/docker/buildx v0.29.1" ;;
*"buildx build"*)
    trap 'echo "$$" >"$HERE/asked"; exit 1' TERM
    echo "$$" >"$HERE/new"
    mv "$HERE/new" "$HERE/begun"
    while [ -d "$HERE" ]; do sleep 0.1; done
    ;;
esac
"""
BUILDER: Final = """Name:          remote
Driver:        remote

Nodes:
Name:             remote0
Endpoint:         unix://{socket}
Status:           running
BuildKit version: v0.34.2
Platforms:        linux/amd64
Labels:
 org.mobyproject.buildkit.worker.hostname: {host}
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_engine_ends_with_it_and_nothing_is_left(tmp_path: Path, number: int) -> None:
    context, programs, here = (tmp_path / name for name in ("context", "bin", "here"))
    for folder in (context, programs, here):
        folder.mkdir()
    (context / "Dockerfile").write_text("FROM registry.invalid/base\nRUN true\n")
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    (here / "builder").write_text(BUILDER.format(socket=here / "socket", host=socket.gethostname()))
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path), "HERE": str(here),
        "LAYERCACHE_SCRATCH": str(tmp_path / "scratch"),
    }  # fmt: skip
    command = [sys.executable, "-m", "layercache_ci", "build", "--engine", "buildkit", str(context)]
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(here / "socket"))
        listening.listen()
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            until((here / "begun").exists, told=lambda: process.poll() is not None and process.communicate()[1])
            process.send_signal(number)
            assert process.wait(SECONDS) == 128 + number
    engine = int((here / "begun").read_text())
    until(lambda: has_ended(engine), told=lambda: process.returncode)
    assert (here / "asked").read_text() == f"{engine}\n"
    until(lambda: not list((tmp_path / "scratch").glob("*/*")))
