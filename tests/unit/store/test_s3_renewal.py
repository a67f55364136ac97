"""Blobs that S3 does not make young again: they are no less there."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from botocore.exceptions import ClientError

from layercache_ci.errors import StoreUnavailable
from layercache_ci.layers.model import ZSTD_LAYER, Descriptor
from layercache_ci.settings import S3Options
from layercache_ci.store.blocks import sidecar_size
from layercache_ci.store.model import Scopes
from layercache_ci.store.s3 import S3Store
from layercache_ci.store.s3_connection import Connection
from layercache_ci.store.s3_settings import S3Settings
from tests.contract.samples import record, step

DIGEST = "sha256:" + "a" * 64


class Client:
    """One that is none, of a bucket that holds one blob of the day before yesterday. `allowed`: it may be written to.
    As S3 does, it refuses to copy what is above 5 GiB."""

    def __init__(self, size: int, *, allowed: bool) -> None:
        self._size = size
        self._allowed = allowed
        self.copied: list[str] = []

    def list_objects_v2(self, *, Prefix: str, **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's
        key = f"lc1/blobs/sha256/{DIGEST[7:]}.{self._size}"
        assert key.startswith(Prefix)
        blob = {
            "Key": key,
            "Size": self._size + sidecar_size(self._size),
            "LastModified": datetime.now(UTC) - timedelta(days=2),
        }
        return {"Contents": [blob], "IsTruncated": False}

    def copy_object(self, *, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803 - as above
        self.copied.append(Key.removeprefix("lc1/").partition("/")[0])
        if not self._allowed:
            raise _error("AccessDenied", 403)
        if "/blobs/" in Key and self._size + sidecar_size(self._size) > 5 << 30:
            raise _error("InvalidRequest", 400)
        return {"CopyObjectResult": {"LastModified": datetime.now(UTC)}}


def _error(code: str, status: int) -> ClientError:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "CopyObject")


def opened(client: Client, folder: Path) -> S3Store:
    connection = Connection(S3Settings("bucket", "", S3Options()))
    connection._client = client  # type: ignore[assignment]
    return S3Store(connection, folder=folder, scopes=Scopes(("main",), "main"))


@pytest.mark.parametrize("size", [6 << 30, 5 << 30])
def test_a_blob_above_5_gib_is_held_and_left_as_it_is(size: int, tmp_path: Path) -> None:
    client = Client(size, allowed=True)
    store = opened(client, tmp_path)
    assert store.contains([DIGEST]) == {DIGEST}
    store.touch(record(step("a", [Descriptor(ZSTD_LAYER, DIGEST, size)])), 1)
    assert client.copied == ["records"]


def test_a_blob_is_made_young_again_once(tmp_path: Path) -> None:
    client = Client(5, allowed=True)
    store = opened(client, tmp_path)
    assert store.contains([DIGEST]) == {DIGEST}
    store.touch(record(step("a", [Descriptor(ZSTD_LAYER, DIGEST, 5)])), 1)
    assert client.copied == ["blobs", "records"]


def test_what_may_not_be_made_young_again_is_held_and_the_use_of_it_fails(tmp_path: Path) -> None:
    client = Client(5, allowed=False)
    store = opened(client, tmp_path)
    assert store.contains([DIGEST]) == store.contains([DIGEST]) == {DIGEST}
    assert client.copied == ["blobs"], "it is tried once"
    with pytest.raises(StoreUnavailable, match="may not do CopyObject"):
        store.touch(record(step("a", [Descriptor(ZSTD_LAYER, DIGEST, 5)])), 1)


class Bucket(Client):
    """One that keeps what is put, since the day before yesterday."""

    def __init__(self) -> None:
        super().__init__(5, allowed=False)
        self.objects: dict[str, bytes] = {}
        self.put: list[str] = []
        self._since = datetime.now(UTC) - timedelta(days=2)

    def put_object(self, *, Key: str, Body: BinaryIO, **_: Any) -> dict[str, Any]:  # noqa: N803 - botocore's
        self.objects[Key] = Body.read()
        self.put.append(Key)
        return {}

    def get_object(self, *, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803 - as above
        data = self.objects[Key]
        return {"Body": io.BytesIO(data), "ETag": "e", "LastModified": self._since, "ContentLength": len(data)}

    def list_objects_v2(self, *, Prefix: str, **_: Any) -> dict[str, Any]:  # noqa: N803 - as above
        found = sorted(name for name in self.objects if name.startswith(Prefix))
        contents = [{"Key": n, "Size": len(self.objects[n]), "LastModified": self._since} for n in found]
        return {"Contents": contents, "IsTruncated": False}


def test_a_record_that_may_not_be_made_young_again_is_held_all_the_same(tmp_path: Path) -> None:
    bucket = Bucket()
    kept = record(step("a", []))
    assert opened(bucket, tmp_path).put_record(kept)
    first = len(bucket.put)
    opened(bucket, tmp_path).put_record(kept)
    assert bucket.copied == ["records"]
    assert bucket.put[first:] == bucket.put[first - 1 : first], "of which record is the stage's newest"
