"""S3 servers that others wrote, each on a random port of the loopback, stopped by its own pid.

MinIO, the Versity gateway on a folder, and rclone on a folder.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import subprocess
import tempfile
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.lab.daemon import running
from tests.lab.paths import CHECKOUT, LARGE, LabPaths
from tests.lab.ports import own_port
from tests.lab.programs import find_program, install_go_programs
from tests.lab.removal import clear
from tests.lab.run import run, say

ACCESS_KEY: Final = "layercache-test"
SECRET_KEY: Final = "no-secret-at-all"  # noqa: S105 - of servers that live for a test
BUCKET: Final = "cache"

GO_PROGRAMS: Final = MappingProxyType({
    "minio": "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c",
    "versitygw": "github.com/versity/versitygw/cmd/versitygw@v1.8.0",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server, and the folder where it keeps its data. ACCESS_KEY and SECRET_KEY may do everything."""

    url: str
    data: Path
    process: subprocess.Popen[bytes]


def install_s3(paths: LabPaths) -> None:
    """MinIO and the Versity gateway, where they are not there yet: some three minutes of compiling."""
    install_go_programs(paths, GO_PROGRAMS)


def install_rclone(paths: LabPaths) -> None:
    """rclone, where it is not there yet."""
    if find_program("rclone", paths) is None:
        say("lab: rclone from PyPI")
        folder = paths.folder / "rclone"
        venv.create(folder, with_pip=True, clear=True)
        run([folder / "bin/pip", "install", "--require-hashes", "-r", CHECKOUT / "requirements/rclone.txt"])
        paths.bin.mkdir(exist_ok=True)
        link = paths.bin / "rclone"
        link.unlink(missing_ok=True)
        link.symlink_to(folder / "bin/rclone")


@contextlib.contextmanager
def serve_s3(kind: str, *, tls: tuple[Path, Path] | None = None) -> Iterator[S3Server]:
    """One of KINDS, with an empty BUCKET; `tls` are certificate and key (MinIO only). Raises RuntimeError when it won't
    start."""
    program = find_program(kind_programs()[kind], LabPaths.here())
    if program is None:
        raise RuntimeError(f"{kind} is not in the lab: make lab sets it up")
    folder = Path(tempfile.mkdtemp(prefix="layercache-s3-", dir=LARGE))
    data, log = folder / "data", folder / "log"
    (data / BUCKET).mkdir(parents=True)
    environment = {
        **os.environ, "HOME": str(folder),
        "MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY,
        "ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY,
    }  # fmt: skip
    try:
        with own_port() as port:
            command = KINDS[kind](program, f"127.0.0.1:{port}", data)
            if tls is not None:
                (folder / "certs").mkdir()
                shutil.copy(tls[0], folder / "certs/public.crt")
                shutil.copy(tls[1], folder / "certs/private.key")
                command += ["--certs-dir", str(folder / "certs")]
            with running(
                command, log, ready=lambda: _answers(port), environment=environment, orphaned="KILL"
            ) as process:
                yield S3Server(f"http{'s' if tls else ''}://127.0.0.1:{port}", data, process)
    finally:
        clear(folder)


def kind_programs() -> Mapping[str, str]:
    """By the name of a server its program's."""
    return {"minio": "minio", "versity": "versitygw", "rclone": "rclone"}


def _minio(program: str, address: str, data: Path) -> list[str]:
    return [program, "server", "--quiet", "--address", address, "--console-address", "127.0.0.1:0", str(data)]


def _versity(program: str, address: str, data: Path) -> list[str]:
    return [program, "--quiet", "--port", address, "posix", str(data)]


def _rclone(program: str, address: str, data: Path) -> list[str]:
    keys = f"{ACCESS_KEY},{SECRET_KEY}"
    return [program, "serve", "s3", "--addr", address, "--auth-key", keys, str(data)]


KINDS: Final[Mapping[str, Callable[[str, str, Path], list[str]]]] = MappingProxyType(
    {"minio": _minio, "versity": _versity, "rclone": _rclone}
)


def _answers(port: int) -> bool:
    """Whatever it says: MinIO does so before it is ready, and calls that 503."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/")
            return connection.getresponse().status != 503
        except (OSError, http.client.HTTPException):
            return False
