"""BuildKit's own client of the GitHub cache, `type=gha`, on the server of these tests: another language, another blob
library, so that the server is not the picture of the clients that were at hand."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.github_cache import CacheServer
from tests.lab.daemon import answers, running
from tests.lab.paths import LabPaths

DOCKERFILE = """\
FROM scratch
COPY busybox /bin/
RUN ["/bin/busybox", "dd", "if=/dev/urandom", "of=/random", "bs=1048576", "count=40"]
RUN ["/bin/busybox", "touch", "/done"]
"""


@pytest.fixture
def buildkitd(tmp_path: Path) -> Iterator[str]:
    """The address of a fresh BuildKit."""
    root, programs = tmp_path / "root", LabPaths.here().buildkit
    socket = tmp_path / "b.sock"
    options: list[str | Path] = ["--oci-worker-net=host", "--oci-worker-snapshotter=overlayfs"]
    options += ["--otel-socket-path", tmp_path / "o.sock"]
    argv: list[str | Path] = [programs / "buildkitd", "--root", root, "--addr", f"unix://{socket}", *options]
    with running(argv, tmp_path / "log", ready=answers(socket)):
        yield f"unix://{socket}"


def buildctl(address: str, *arguments: str) -> str:
    program = LabPaths.here().buildkit / "buildctl"
    done = subprocess.run([program, "--addr", address, *arguments], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize("version", [2, 1], ids=["v2", "v1"])
def test_buildkit_exports_to_it_and_imports_from_it(
    server: CacheServer, buildkitd: str, tmp_path: Path, version: int
) -> None:
    context = tmp_path / "context"
    context.mkdir()
    shutil.copy("/bin/busybox", context)
    (context / "Dockerfile").write_text(DOCKERFILE)
    place = f"url_v2={server.url}/" if version == 2 else f"url={server.url}/base/"
    cache = f"type=gha,version={version},{place},token={server.token()},scope=test"
    build = ["build", "--progress=plain", "--frontend=dockerfile.v0"]
    build += [f"--local=context={context}", f"--local=dockerfile={context}"]
    first = buildctl(buildkitd, *build, f"--export-cache={cache},mode=max")
    assert "records out" in first, "dd has run"
    assert sum(entry.size or 0 for entry in server.caches.complete()) > 40 << 20
    buildctl(buildkitd, "prune", "--all")
    server.seen.clear()
    out = tmp_path / "out.tar"
    second = buildctl(buildkitd, *build, f"--import-cache={cache}", f"--output=type=tar,dest={out}")
    assert "records out" not in second
    assert "CACHED" in second
    assert out.stat().st_size > 40 << 20
    assert server.counts()["get blob"] >= 3
    assert not server.counts()["nothing"]
