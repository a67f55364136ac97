"""The official client, npm's @actions/cache, and ours on one server: each restores what the other saved."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from layercache_ci.store.github import open_client
from layercache_ci.store.github.entries import Entries
from layercache_ci.store.github.http import Http
from layercache_ci.store.github.service import find_service
from tests.fakes.github_cache import CacheServer

MIB = 1 << 20
NAME = "data.bin"
VERSION = hashlib.sha256(f"{NAME}|zstd-without-long|1.0".encode()).hexdigest()
"""The official client's, of the paths and the compression (packages/cache/src/internal/cacheUtils.ts)."""

both = pytest.mark.parametrize("version", [2, 1], ids=["v2", "v1"])
sizes = pytest.mark.parametrize("size", [1000, 150 * MIB], ids=["one block", "many blocks"])


@dataclass(frozen=True)
class Bytes:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


def official(client: Path, workspace: Path, environment: dict[str, str], verb: str, key: str) -> str:
    """What the official client answers."""
    variables = {**os.environ, **environment, "GITHUB_WORKSPACE": str(workspace), "RUNNER_TEMP": str(workspace)}
    command = ["node", str(client), verb, key, NAME]
    done = subprocess.run(command, env=variables, cwd=workspace, capture_output=True, text=True, check=True)
    return done.stdout.rpartition("answer ")[2].strip()


@both
@sizes
def test_what_the_official_client_saves_is_read(
    server: CacheServer, client: Path, tmp_path: Path, version: int, size: int
) -> None:
    check_theirs_is_read(server, client, tmp_path, version, size)


def check_theirs_is_read(server: CacheServer, client: Path, tmp_path: Path, version: int, size: int) -> None:
    """By ours."""
    data = os.urandom(size)
    (tmp_path / NAME).write_bytes(data)
    environment = server.environment(version=version)
    assert official(client, tmp_path, environment, "save", "their key") != "-1"
    service = find_service(environment)
    assert service is not None
    entries = Entries(open_client(service, version=VERSION), Http({}), tmp_path / "whole")
    found = entries.find(["their"])
    assert found is not None
    assert found.key == "their key"
    size = server.caches.complete()[0].size or 0
    archive = tmp_path / "archive.tzst"
    archive.write_bytes(b"".join(entries.read(found.key, at, min(MIB, size - at)) for at in range(0, size, MIB)))
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "--zstd", "-xf", str(archive), "-C", str(tmp_path / "out")], check=True)
    assert (tmp_path / "out" / NAME).read_bytes() == data


@both
@sizes
def test_what_ours_saves_the_official_client_restores(
    server: CacheServer, client: Path, tmp_path: Path, version: int, size: int
) -> None:
    check_ours_is_restored(server, client, tmp_path, version, size)


def check_ours_is_restored(server: CacheServer, client: Path, tmp_path: Path, version: int, size: int) -> None:
    """By theirs."""
    data = os.urandom(size)
    (tmp_path / NAME).write_bytes(data)
    subprocess.run(["tar", "--zstd", "-cf", "archive.tzst", NAME], cwd=tmp_path, check=True)
    (tmp_path / NAME).unlink()
    environment = server.environment(version=version)
    service = find_service(environment)
    assert service is not None
    ours = open_client(service, version=VERSION)
    assert ours.save("our key", Bytes((tmp_path / "archive.tzst").read_bytes()))
    assert not ours.save("our key", Bytes(b"another"))
    assert official(client, tmp_path, environment, "restore", "our key") == "our key"
    assert (tmp_path / NAME).read_bytes() == data
    assert official(client, tmp_path, environment, "save", "our key") == "-1", "it is taken"


@both
def test_the_official_client_is_refused_as_ours_is(
    server: CacheServer, client: Path, tmp_path: Path, version: int
) -> None:
    (tmp_path / NAME).write_bytes(b"data")
    environment = server.environment(server.token(write=None), version=version)
    assert official(client, tmp_path, environment, "save", "key") == "-1"
    assert official(client, tmp_path, environment, "restore", "key") == "miss"
    assert server.caches.complete() == []
