"""Uploads that have a bad day: what goes wrong can't be had from a real server on time."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Sized
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from layercache_ci.settings import S3Options
from layercache_ci.store import s3_client, s3_connection
from layercache_ci.store.s3_connection import UPLOAD_PART, Connection, read_into
from layercache_ci.store.s3_settings import S3Settings
from tests.fakes.slow_reader import serve_slowly
from tests.waiting import SECONDS

PARTS = 100


class Refused(Exception):
    """By the server."""


class Client:
    """One that is none. Refuses the part of that number, and holds every other back until it was."""

    def __init__(self, refused: int) -> None:
        self.refused = refused
        self.parts: list[int] = []
        self.calls: list[str] = []
        self._over = threading.Event()

    def create_multipart_upload(self, **_: Any) -> dict[str, str]:
        return {"UploadId": "1"}

    def upload_part(self, *, PartNumber: int, Body: Sized, **_: Any) -> dict[str, str]:  # noqa: N803 - boto3's
        self.parts.append(PartNumber)
        if PartNumber == self.refused:
            self._over.set()
            raise Refused(str(PartNumber))
        if self.refused:
            self._over.wait(60)
            time.sleep(0.2)  # long enough for whoever waits to hear of it
        return {"ETag": f"{PartNumber}:{len(Body)}"}

    def complete_multipart_upload(self, *, MultipartUpload: Any, **_: Any) -> None:  # noqa: N803 - as above
        self.calls.append(f"complete {len(MultipartUpload['Parts'])}")

    def abort_multipart_upload(self, **_: Any) -> None:
        self.calls.append(f"abort after {len(self.parts)}")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    with (tmp_path / "file").open("w+b") as file:
        file.truncate(UPLOAD_PART * PARTS - 5)
        yield file.fileno()


class Away(Client):
    """One that does not answer any more, and whoever runs the build loses patience."""

    def __init__(self) -> None:
        super().__init__(0)
        self.answers = threading.Event()
        self._first = threading.Lock()

    def upload_part(self, *, PartNumber: int, Body: Sized, **_: Any) -> dict[str, str]:  # noqa: N803 - boto3's
        if self._first.acquire(blocking=False):
            os.kill(os.getpid(), signal.SIGINT)
        self.answers.wait(SECONDS)
        return super().upload_part(PartNumber=PartNumber, Body=Body)

    def abort_multipart_upload(self, **_: Any) -> None:
        self.calls.append("abort")
        self.answers.wait(SECONDS)


def upload(client: Client, file: int) -> None:
    connection = Connection(S3Settings("bucket", "", S3Options()))
    connection._client = client  # type: ignore[assignment]
    connection.upload("name", file, UPLOAD_PART * PARTS - 5)


def test_all_parts_make_the_object(file: int) -> None:
    client = Client(0)
    upload(client, file)
    assert sorted(client.parts) == list(range(1, PARTS + 1))
    assert client.calls == [f"complete {PARTS}"]


def test_after_a_part_that_was_refused_no_other_is_begun(file: int) -> None:
    client = Client(1)
    with pytest.raises(Refused):
        upload(client, file)
    assert client.calls == [f"abort after {len(client.parts)}"], "when none was under way any more"
    assert len(client.parts) < PARTS


def test_whoever_is_asked_to_end_waits_for_no_part(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_connection, "_LAST_WORD", 0.01)
    before, client = set(threading.enumerate()), Away()
    try:
        with pytest.raises(KeyboardInterrupt):
            upload(client, file)
        assert not client.answers.is_set()
        assert client.parts == []
        threads = set(threading.enumerate()) - before
        assert threads
        assert all(thread.daemon for thread in threads), "else the process would not end"
    finally:
        client.answers.set()
    assert client.calls == ["abort"]


def test_what_is_read_of_a_file_ends_where_it_ends(file: int) -> None:
    memory = memoryview(bytearray(UPLOAD_PART))
    assert read_into(file, memory, UPLOAD_PART * (PARTS - 1)) == UPLOAD_PART - 5
    assert read_into(file, memory, UPLOAD_PART * PARTS) == 0


def test_a_body_has_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than the timeout, none of its pieces does."""
    monkeypatch.setattr(s3_client, "Config", lambda **options: Config(**{**options, "connect_timeout": 0.5}))
    data = os.urandom(16 << 20)
    with serve_slowly() as server:
        options = S3Options(endpoint=server.url, access_key="key", secret_key="secret")
        Connection(S3Settings("bucket", "", options)).put("name", data)
    assert server.digests == [hashlib.sha256(data).hexdigest()]
