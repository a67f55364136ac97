"""A bucket, as the store uses it: few kinds of request, each counted; faults are StoreUnavailable.

botocore is imported when the first request is made. Names of objects are relative to `<prefix>/lc1/`.
"""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from layercache_ci.aside import Pool, aside
from layercache_ci.errors import StoreUnavailable
from layercache_ci.store.loading import loading
from layercache_ci.store.parts import Buffers
from layercache_ci.store.s3_settings import S3Settings
from layercache_ci.store.sending import BodyFile

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import GetObjectOutputTypeDef

T = TypeVar("T")
R = TypeVar("R")

THREADS: Final = 16
"""Requests at a time."""

UPLOAD_PART: Final = 8 << 20
"""Bytes of a part of an upload; each thread holds one."""
MOST_PARTS: Final = 10_000
_BODY_ATTEMPTS: Final = 3
_PAUSE: Final = 0.2
"""botocore repeats requests, but not the reading of what they answer. Seconds between the attempts."""
_LAST_WORD: Final = 2.0
"""Seconds that a server has to forget an upload where the process ends."""
_SAME_TIME: Final = 1800.0
"""Seconds by which the server's clock and ours may differ: S3 allows for half of it."""
_SMALL: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Object:
    name: str
    size: int
    modified: float
    """Seconds since the epoch, by the server's clock."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing."""

    objects: tuple[Object, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an object: the bytes asked for, as far as there are any, and the whole object's size and ETag."""

    data: bytes
    total: int
    etag: str
    modified: float
    filled: int = 0
    """Bytes that were put into the memory that was given; `data` is empty then."""


def load_client() -> None:
    """What it takes to make one: a fifth of a second's imports."""
    with loading():
        from layercache_ci.store import s3_client  # noqa: F401, PLC0415 - botocore takes its time


class Connection:
    """One client for all threads. Making one reads nothing and asks nobody."""

    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self.calls: Counter[str] = Counter()
        """Requests made, by the name of the operation."""
        self.modified: dict[str, float] = {}
        """When each object that was seen was last written, in seconds since the epoch, by the server's clock."""
        self._begin()
        os.register_at_fork(after_in_child=partial(_begin_anew, weakref.ref(self)))

    def _begin(self) -> None:
        """A process that was forked has its parent's locks and pools, but none of the threads behind them."""
        self._lock = threading.Lock()
        self._buffers = Buffers(UPLOAD_PART)
        self._client: S3Client | None = None
        self.__dict__.pop("_pool", None)

    @property
    def client(self) -> S3Client:
        if self._client is None:
            with self._lock:
                self._client = self._client or self._make()
        return self._client

    def _make(self) -> S3Client:
        with loading(), self.faults():
            from layercache_ci.store.s3_client import make_client  # noqa: PLC0415 - botocore takes its time

            client = make_client(self.settings)
            client.meta.events.register("before-call.s3", self._count)
            return client

    @cached_property
    def _pool(self) -> Pool:
        # not an executor: a process that was asked to end would wait for a server that is away
        return Pool(THREADS)

    def submit(self, work: Callable[[T], R], item: T) -> Future[R]:
        """Must not be asked for by work that itself waits for such."""
        return self._pool.submit(partial(work, item))

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """All at once, as far as there are threads; one alone is done here."""
        wanted = list(items)
        if len(wanted) == 1:
            return [work(wanted[0])]
        asked = [self.submit(work, item) for item in wanted]
        try:
            return [each.result() for each in asked]
        finally:
            for each in asked:
                each.cancel()

    def page(self, prefix: str, *, after: str = "", limit: int = 1000) -> Page:
        """The objects whose names begin so and come after `after`, in their order."""
        base = self.settings.base
        with self.faults():
            answer = self.client.list_objects_v2(
                Bucket=self.settings.bucket, Prefix=base + prefix, MaxKeys=limit, StartAfter=base + after
            )
        objects = (
            Object(entry["Key"].removeprefix(base), entry["Size"], entry["LastModified"].timestamp())
            for entry in answer.get("Contents", ())
        )
        page = Page(tuple(objects), not answer["IsTruncated"])
        self.modified.update((listed.name, listed.modified) for listed in page.objects)
        return page

    def objects(self, prefix: str) -> Iterator[Object]:
        """All of them, page by page."""
        page = self.page(prefix)
        yield from page.objects
        while not page.complete and page.objects:
            page = self.page(prefix, after=page.objects[-1].name)
            yield from page.objects

    def get(self, name: str) -> bytes | None:
        """A small object; None where there is none."""
        found = self._get(name, {})
        if found is None:
            return None
        self.modified[name] = found.modified
        return found.data

    def read(self, name: str, start: int, length: int, *, into: memoryview | None = None) -> Piece | None:
        """A range of an object, `length` > 0; None where there is no such object. The bytes go `into`
        memory as long, where such is given."""
        return self._get(name, {"Range": f"bytes={start}-{start + length - 1}"}, start, length, into)

    def put(self, name: str, body: bytes | bytearray) -> None:
        data: Any = BodyFile(body)
        with self.faults():
            self.client.put_object(**self._key(name), Body=data, **self._encryption)

    def upload(self, name: str, file: int, size: int) -> None:
        """So many bytes of an open file, in parts that go at the same time; nobody sees it before it is whole."""
        length = max(UPLOAD_PART, -(-size // MOST_PARTS))
        with self.faults():
            place = self._key(name)
            begun = self.client.create_multipart_upload(**place, **self._encryption, **self._checksums)
            place["UploadId"] = begun["UploadId"]
            try:
                buffers = self._buffers if length == UPLOAD_PART else Buffers(length)
                send = partial(self._send_part, place, file, size, buffers)
                sent = [self.submit(send, number) for number in range(-(-size // length))]
                parts = _results(sent)
                self.client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
            except BaseException as error:
                given_up = aside(partial(self.client.abort_multipart_upload, **place))
                # who is asked to end does not wait for long; what is left then a lifecycle rule removes
                wait([given_up], None if isinstance(error, Exception) else _LAST_WORD)
                raise

    def _send_part(self, place: Any, file: int, size: int, buffers: Buffers, number: int) -> Any:
        start, buffer = number * buffers.size, buffers.take()
        try:
            view = memoryview(buffer)[: min(buffers.size, size - start)]
            body: Any = BodyFile(view[: read_into(file, view, start)])
            sent: Any = self.client.upload_part(**place, PartNumber=number + 1, Body=body)
        finally:
            buffers.give(buffer)
        checksums = {name: value for name, value in sent.items() if name.startswith("Checksum")}
        return {"PartNumber": number + 1, "ETag": sent["ETag"], **checksums}

    def delete(self, name: str) -> None:
        with self.faults():
            self.client.delete_object(**self._key(name))

    def etag(self, name: str) -> str | None:
        return self._if_there(lambda: self.client.head_object(**self._key(name))["ETag"])

    def age(self, name: str) -> float:
        """In seconds; infinite where the object has not been seen."""
        return time.time() - self.modified.get(name, -math.inf)

    def renew(self, names: Iterable[str], patience: float) -> None:
        """Make those that are older than so many seconds young again, so that no lifecycle rule removes them: by a copy
        onto themselves, on the server. One that is not there is none of this call's business."""
        now = time.time()
        old = [name for name in names if self.age(name) >= patience]
        self.map(self._renew, old)
        self.modified.update(dict.fromkeys(old, now))

    def _renew(self, name: str) -> None:
        place, now = self._key(name), time.time()
        # rclone takes an object's time from there
        copy = partial(self.client.copy_object, CopySource=place, MetadataDirective="REPLACE", **self._encryption)
        answer = self._if_there(lambda: copy(**place, Metadata={"mtime": f"{now:.3f}"}))
        if answer is None:
            return
        written = answer["CopyObjectResult"].get("LastModified")
        if written is not None and written.timestamp() <= self.modified.get(name, now - _SAME_TIME):
            self._rewrite(name)

    def _rewrite(self, name: str) -> None:
        """For servers on which a copy of an object onto itself leaves its time: a small one is written again."""
        found = self._get(name, {"Range": f"bytes=0-{_SMALL - 1}"}, 0, _SMALL)
        if found is not None and len(found.data) == found.total:
            self.put(name, found.data)

    @contextmanager
    def faults(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

        from layercache_ci.store.s3_errors import explain  # noqa: PLC0415 - as above

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailable(explain(error, self.settings)) from error

    def _if_there(self, request: Callable[[], T]) -> T | None:
        """None where the object is not there."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - as above

        from layercache_ci.store.s3_errors import NOT_FOUND, code_of  # noqa: PLC0415 - as above

        with self.faults():
            try:
                return request()
            except ClientError as error:
                if code_of(error) in NOT_FOUND:
                    return None
                raise

    def _get(
        self, name: str, part: Any, start: int = 0, length: int | None = None, into: memoryview | None = None
    ) -> Piece | None:
        from botocore.exceptions import ClientError, HTTPClientError  # noqa: PLC0415 - as above

        from layercache_ci.store.s3_errors import code_of  # noqa: PLC0415 - as above

        def attempt(left: int = _BODY_ATTEMPTS) -> Piece:
            try:
                return _piece(self.client.get_object(**self._key(name), **part), start, length, into)
            except ClientError as error:
                if code_of(error) == "InvalidRange":
                    return Piece(b"", -1, "", 0.0)
                raise
            except HTTPClientError:
                if left == 1:
                    raise
            time.sleep(_PAUSE)
            return attempt(left - 1)

        return self._if_there(attempt)

    @cached_property
    def _encryption(self) -> dict[str, Any]:
        options = self.settings.options
        key = {"SSEKMSKeyId": options.kms_key} if options.kms_key else {}
        return {"ServerSideEncryption": options.sse, **key} if options.sse else {}

    @property
    def _checksums(self) -> dict[str, Any]:
        # what botocore gives each part by itself has to be said of the whole upload
        return {"ChecksumAlgorithm": "CRC32"} if self.settings.options.checksums == "when_supported" else {}

    def _key(self, name: str) -> Any:
        return {"Bucket": self.settings.bucket, "Key": self.settings.base + name}

    def _count(self, model: Any, **_: object) -> None:
        with self._lock:
            self.calls[model.name] += 1


def read_into(file: int, view: memoryview, start: int) -> int:
    """How many bytes of an open file came: fewer than there is room for only where it ends. Raises OSError."""
    at = 0
    while at < len(view) and (count := os.preadv(file, [view[at:]], start + at)):
        at += count
    return at


def _results(parts: Sequence[Future[R]]) -> list[R]:
    """Of all, in their order. Where one fails no other is begun, and those under way are waited for; not by whoever is
    asked to end."""
    try:
        done, _ = wait(parts, return_when=FIRST_EXCEPTION)
    finally:
        for part in parts:
            part.cancel()
    wait(parts)
    failed = next((error for part in done if (error := part.exception())), None)
    if failed is not None:
        raise failed
    return [part.result() for part in parts]


def _piece(answer: GetObjectOutputTypeDef, start: int, length: int | None, into: memoryview | None) -> Piece:
    body = answer["Body"]
    about = answer["ETag"], answer["LastModified"].timestamp()
    if given := answer.get("ContentRange"):  # not by the status: rclone says 200
        total = int(given.rpartition("/")[2])
        return Piece(body.read(), total, *about) if into is None else Piece(b"", total, *about, _fill(into, body))
    # The whole object, from a server that ignores ranges or was not asked for one.
    data = body.read() if length is None else body.read(start + length)[start:]
    body.close()
    if into is None:
        return Piece(data, answer["ContentLength"], *about)
    into[: len(data)] = data
    return Piece(b"", answer["ContentLength"], *about, len(data))


def _fill(view: memoryview, body: Any) -> int:
    """How much of `view` was filled: less than all only where the body ends."""
    from botocore.exceptions import ReadTimeoutError, ResponseStreamingError  # noqa: PLC0415 - as above
    from urllib3 import exceptions as http  # noqa: PLC0415 - as above

    from layercache_ci.store.receiving import receive  # noqa: PLC0415 - as above

    with body as response:
        try:
            return receive(response, view)
        except http.ReadTimeoutError as error:
            raise ReadTimeoutError(endpoint_url="", error=error) from error
        except http.HTTPError as error:
            raise ResponseStreamingError(error=error) from error


def _begin_anew(connection: weakref.ref[Connection]) -> None:
    found = connection()
    if found is not None:
        found._begin()  # noqa: SLF001 - as a method it would keep every connection alive
