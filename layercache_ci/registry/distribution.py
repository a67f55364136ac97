"""The paths of the OCI distribution spec 1.1: pull, push and the list of tags."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol
from urllib.parse import quote

from layercache_ci.registry.http import Refused, Request, Response, json_response, range_of
from layercache_ci.registry.manifests import Manifests
from layercache_ci.registry.model import AGENT
from layercache_ci.registry.offers import Offers
from layercache_ci.registry.uploads import Uploads, blob_path

MANIFEST_LIMIT: Final = 16 << 20
"""Bytes. The spec asks for 4 MiB at least."""

WRITE: Final = 1 << 17
"""Bytes handed to the server at once; it copies what a socket does not take at once."""

_WORD: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME: Final = rf"(?P<name>{_WORD}(?:/{_WORD})*)"
_REFERENCE: Final = r"(?P<reference>[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}|[a-z0-9+._-]+:[a-zA-Z0-9=_-]+)"
_CONTENT_RANGE: Final = re.compile(r"(?:bytes )?(\d+)-(\d+)(?:/.*)?")


class Ledger(Protocol):
    """Where it is written down what was asked for and given."""

    def asked(self, tag: str) -> None: ...

    def served(self, digest: str, pieces: Iterator[bytes]) -> Iterator[bytes]: ...


class Distribution:
    """Manifests and blobs of one run; repositories are only names, the blobs are one pool."""

    def __init__(self, folder: Path, offers: Offers, ledger: Ledger) -> None:
        self._folder = folder
        self._uploads = Uploads(folder)
        self._manifests = Manifests()
        self._offers = offers
        self._ledger = ledger

    def respond(self, request: Request) -> Response:
        """Raises Refused, and CacheError where the store is at fault."""
        for pattern, methods in _ROUTES:
            match = pattern.fullmatch(request.path)
            if match is None:
                continue
            handler = methods.get(request.method)
            if handler is None:
                allowed = {"Allow": ", ".join(methods)}
                raise Refused(405, "UNSUPPORTED", f"{request.method} {request.path} is not supported", allowed)
            return handler(self, request, match.groupdict())
        raise Refused(404, "NAME_INVALID", f"{request.path} is no path of a registry")

    def version(self, _request: Request, _at: Mapping[str, str]) -> Response:
        return json_response({}, headers={"Docker-Distribution-API-Version": "registry/2.0"})

    def expect(self, repository: str, reference: str) -> None:
        """Manifests.expect."""
        self._manifests.expect(repository, reference)

    def get_manifest(self, request: Request, at: Mapping[str, str]) -> Response:
        if ":" not in at["reference"] and request.header("User-Agent") != AGENT:
            self._ledger.asked(f"{request.address} {at['name']}:{at['reference']}")
        manifest = self._manifests.get(at["name"], at["reference"])
        headers = {"Content-Type": manifest.media_type, "Docker-Content-Digest": manifest.digest}
        return Response(200, headers, (manifest.data,))

    def put_manifest(self, request: Request, at: Mapping[str, str]) -> Response:
        data = request.text(MANIFEST_LIMIT)
        manifest = self._manifests.put(at["name"], at["reference"], data, request.header("Content-Type"))
        return self._created(f"/v2/{at['name']}/manifests/{at['reference']}", manifest.digest)

    def tags(self, request: Request, at: Mapping[str, str]) -> Response:
        tags = [tag for tag in self._manifests.tags(at["name"]) if tag > request.query.get("last", "")]
        limit = request.query.get("n", "")
        page = tags[: int(limit)] if limit.isdecimal() else tags
        headers = {}
        if page and len(page) < len(tags):
            headers["Link"] = f'</v2/{at["name"]}/tags/list?n={limit}&last={quote(page[-1])}>; rel="next"'
        return json_response({"name": at["name"], "tags": page}, headers=headers)

    def get_blob(self, request: Request, at: Mapping[str, str]) -> Response:
        digest = at["digest"]
        path = self._uploads.blob(digest)
        descriptor = None if path else self._offers.get(digest)
        if path is None and descriptor is None:
            raise self._unknown(digest)
        size = path.stat().st_size if path else descriptor.size if descriptor else 0
        if request.method == "HEAD" and descriptor is not None and not self._offers.held(descriptor):
            raise self._unknown(digest)
        part = range_of(request.header("Range"), size) if request.method == "GET" else None
        start, end = part or (0, size)
        headers = {
            "Content-Type": "application/octet-stream",
            "Docker-Content-Digest": digest,
            "Accept-Ranges": "bytes",
        }
        if part:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        body: Iterator[bytes] = iter(())
        if request.method == "GET":
            read = self._offers.read(descriptor, start, end) if descriptor else _read_file(path, start, end)
            # The first piece is read before the answer begins: where it fails, the answer can still say so.
            body = self._ledger.served(digest, _slices(_primed(read)))
        return Response(206 if part else 200, headers, body, end - start)

    def start_upload(self, request: Request, at: Mapping[str, str]) -> Response:
        mount, digest = request.query.get("mount"), request.query.get("digest")
        if mount and self._holds(mount):
            return self._created(f"/v2/{at['name']}/blobs/{mount}", mount)
        if digest:
            blob_path(self._folder, digest)
        name = self._uploads.start()
        if digest:
            return self._finish(request, {**at, "upload": name}, digest)
        return self._progress(202, {**at, "upload": name})

    def add_to_upload(self, request: Request, at: Mapping[str, str]) -> Response:
        self._uploads.get(at["upload"]).append(request.body(), start=_start_of(request))
        return self._progress(202, at)

    def finish_upload(self, request: Request, at: Mapping[str, str]) -> Response:
        return self._finish(request, at, request.query.get("digest", ""))

    def upload_status(self, _request: Request, at: Mapping[str, str]) -> Response:
        return self._progress(204, at)

    def cancel_upload(self, _request: Request, at: Mapping[str, str]) -> Response:
        self._uploads.cancel(at["upload"])
        return Response(204)

    def _finish(self, request: Request, at: Mapping[str, str], digest: str) -> Response:
        blob_path(self._folder, digest)
        self._uploads.get(at["upload"]).append(request.body(), start=_start_of(request))
        self._uploads.finish(at["upload"], digest)
        return self._created(f"/v2/{at['name']}/blobs/{digest}", digest)

    def _progress(self, status: int, at: Mapping[str, str]) -> Response:
        size = self._uploads.get(at["upload"]).size
        headers = {
            "Location": f"/v2/{at['name']}/blobs/uploads/{at['upload']}",
            "Range": f"0-{max(0, size - 1)}",
            "Docker-Upload-UUID": at["upload"],
        }
        return Response(status, headers)

    def _created(self, location: str, digest: str) -> Response:
        return Response(201, {"Location": location, "Docker-Content-Digest": digest})

    def _holds(self, digest: str) -> bool:
        descriptor = self._offers.get(digest)
        return self._uploads.blob(digest) is not None or (descriptor is not None and self._offers.held(descriptor))

    def _unknown(self, digest: str) -> Refused:
        return Refused(404, "BLOB_UNKNOWN", f"there is no blob {digest}")


def _start_of(request: Request) -> int | None:
    """Where the client believes its upload to stand. Raises Refused where that does not fit the body's length."""
    text = request.header("Content-Range")
    if not text:
        return None
    match = _CONTENT_RANGE.fullmatch(text)
    if match is None:
        raise Refused(416, "BLOB_UPLOAD_INVALID", f"Content-Range: {text!r} is not of the form <first>-<last>")
    first, last = int(match[1]), int(match[2])
    if request.content_length not in {None, last - first + 1}:
        raise Refused(416, "SIZE_INVALID", f"Content-Range: {text} does not fit {request.content_length} bytes")
    return first


def _read_file(path: Path | None, start: int, end: int) -> Iterator[bytes]:
    """Of a blob that was verified when it came."""
    if path is None:
        return
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while start < end and (data := file.read(min(WRITE, end - start))):
            start += len(data)
            yield data


def _primed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    first = next(pieces, b"")

    def rest() -> Iterator[bytes]:
        yield first
        yield from pieces

    return rest()


def _slices(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        if len(piece) <= WRITE:
            yield piece
            continue
        view = memoryview(piece)
        for at in range(0, len(piece), WRITE):
            yield bytes(view[at : at + WRITE])


Handler = Callable[[Distribution, Request, Mapping[str, str]], Response]
_ROUTES: Final[tuple[tuple[re.Pattern[str], Mapping[str, Handler]], ...]] = tuple(
    (re.compile(pattern), MappingProxyType(methods))
    for pattern, methods in (
        (r"/v2/?", {"GET": Distribution.version, "HEAD": Distribution.version}),
        (
            rf"/v2/{_NAME}/manifests/{_REFERENCE}",
            {
                "GET": Distribution.get_manifest,
                "HEAD": Distribution.get_manifest,
                "PUT": Distribution.put_manifest,
            },
        ),
        (rf"/v2/{_NAME}/tags/list", {"GET": Distribution.tags}),
        (rf"/v2/{_NAME}/blobs/uploads/?", {"POST": Distribution.start_upload}),
        (
            rf"/v2/{_NAME}/blobs/uploads/(?P<upload>[0-9a-f]+)",
            {
                "GET": Distribution.upload_status,
                "PATCH": Distribution.add_to_upload,
                "PUT": Distribution.finish_upload,
                "DELETE": Distribution.cancel_upload,
            },
        ),
        (
            rf"/v2/{_NAME}/blobs/(?P<digest>[^/]+)",
            {"GET": Distribution.get_blob, "HEAD": Distribution.get_blob},
        ),
    )
)
