"""A store on an S3 server as the contract wants it: one server for the whole run, a prefix of its own for each test."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layercache_ci.settings import S3Options
from layercache_ci.store.model import Scopes
from layercache_ci.store.s3 import S3Store
from layercache_ci.store.s3_connection import Connection
from layercache_ci.store.s3_settings import S3Settings
from tests.lab.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server, serve_s3

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

OWN = Scopes(("own",), "own")


@functools.cache
def server(kind: str) -> S3Server:
    """One for the process, which takes it along."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(serve_s3(kind))


def options(url: str, **more: Any) -> S3Options:
    return S3Options(endpoint=url, access_key=ACCESS_KEY, secret_key=SECRET_KEY, **more)


@functools.cache
def client(kind: str) -> S3Client:
    """Making one takes 0.3 s: all tests share it."""
    return Connection(S3Settings(BUCKET, "", options(server(kind).url))).client


class S3Backend:
    """Objects can't be made older: the times that the server tells are set back on their way to the store instead."""

    kind = "minio"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prefix = folder.name + folder.parent.name
        self._client = client(self.kind)
        self._connection = Connection(S3Settings(BUCKET, self._prefix, options(server(self.kind).url)))
        self._connection._client = _Aged(self._client, self._shifted)  # type: ignore[assignment]
        self._aged: list[tuple[float, float]] = []
        """When, and by how many seconds."""

    def open(self, scopes: Scopes = OWN, max_size: int = 1 << 40) -> S3Store:
        return S3Store(self._connection, folder=self._folder / "spool", scopes=scopes, max_size=max_size, patience=0)

    def alter_blob(self, digest: str, at: int) -> None:
        for key in self._keys(f"blobs/sha256/{digest.removeprefix('sha256:')}"):
            data = bytearray(self._read(key))
            data[at] ^= 0xFF
            self._write(key, bytes(data))

    def truncate_blob(self, digest: str, size: int) -> None:
        for key in self._keys(f"blobs/sha256/{digest.removeprefix('sha256:')}"):
            self._write(key, self._read(key)[:size])

    def remove_blob(self, digest: str) -> None:
        for key in self._keys(f"blobs/sha256/{digest.removeprefix('sha256:')}"):
            self._client.delete_object(Bucket=BUCKET, Key=key)

    def damage_records(self, *, how: str) -> None:
        for key in self._keys("records/"):
            data = self._read(key)
            match how:
                case "truncate":
                    self._write(key, data[:-10])
                case "alter":
                    middle = len(data) // 2
                    self._write(key, data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
                case "empty":
                    self._write(key, b"")
                case _:
                    self._client.delete_object(Bucket=BUCKET, Key=key)

    def age(self, seconds: float) -> None:
        time.sleep(0.002)  # the server counts milliseconds
        self._aged.append((time.time(), seconds))
        time.sleep(0.002)

    def count_records(self) -> int:
        return len(self._keys("records/"))

    def _keys(self, prefix: str) -> list[str]:
        listed = self._client.list_objects_v2(Bucket=BUCKET, Prefix=f"{self._prefix}/lc1/{prefix}")
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def _read(self, key: str) -> bytes:
        return self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def _write(self, key: str, data: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=key, Body=data)

    def _shifted(self, answer: dict[str, Any]) -> None:
        for part in (answer, *answer.get("Contents", ())):
            if "LastModified" in part:
                written = part["LastModified"].timestamp()
                older = sum(seconds for when, seconds in self._aged if written < when)
                part["LastModified"] -= timedelta(seconds=older)


class VersityBackend(S3Backend):
    """Objects are files: they can be made older, and must be, since the server counts in whole seconds."""

    kind = "versity"

    def age(self, seconds: float) -> None:
        for path in (server(self.kind).data / BUCKET / self._prefix).rglob("*"):
            if path.is_file():
                status = path.stat()
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - int(seconds * 10**9)))


class RcloneBackend(S3Backend):
    """An object's time can be set; the server counts in whole seconds."""

    kind = "rclone"

    def age(self, seconds: float) -> None:
        paginator = self._client.get_paginator("list_objects_v2")
        for page in paginator.paginate(Bucket=BUCKET, Prefix=f"{self._prefix}/"):
            for entry in page.get("Contents", ()):
                self._client.copy_object(
                    Bucket=BUCKET,
                    Key=entry["Key"],
                    CopySource={"Bucket": BUCKET, "Key": entry["Key"]},
                    MetadataDirective="REPLACE",
                    Metadata={"mtime": str(entry["LastModified"].timestamp() - seconds)},
                )


class _Aged:
    """A client whose answers have their times set back."""

    def __init__(self, real: S3Client, shift: Any) -> None:
        self._real = real
        self._shift = shift

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in ("list_objects_v2", "get_object"):
            return found

        def call(**arguments: Any) -> Any:
            answer = found(**arguments)
            self._shift(answer)
            return answer

        return call
