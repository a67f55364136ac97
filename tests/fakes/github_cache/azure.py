"""The blob host: as much of Azure Blob Storage's REST API as the cache's clients use, on signed URLs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET

from tests.fakes.github_cache.caches import Entry
from tests.fakes.github_cache.message import Answer, Reply, Request
from tests.fakes.github_cache.server import CacheServer

PATH = re.compile(r"/devstoreaccount1/actions-cache/(\d+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def route(method: str, query: Mapping[str, str]) -> tuple[str, Answer]:
    if method == "PUT":
        match query.get("comp"):
            case "block":
                return "put block", _put_block
            case "blocklist":
                return "put block list", _put_block_list
            case _:
                return "put blob", _put_blob
    return f"{method.lower()} blob", _get


def _put_blob(server: CacheServer, request: Request) -> Reply:
    entry = _writable(server, request)
    if entry is None:
        return _error(403, "AuthenticationFailed")
    if request.headers.get("x-ms-blob-type") != "BlockBlob":
        return _error(400, "MissingRequiredHeader")
    entry.path.write_bytes(request.body)
    return _created()


def _put_block(server: CacheServer, request: Request) -> Reply:
    entry = _writable(server, request)
    if entry is None:
        return _error(403, "AuthenticationFailed")
    name = request.query.get("blockid", "")
    try:
        size = len(base64.b64decode(name, validate=True))
    except binascii.Error:
        return _error(400, "InvalidQueryParameterValue")
    folder = server.uploads / str(entry.id)
    folder.mkdir(exist_ok=True)
    others = {len(base64.b64decode(_name(path))) for path in folder.iterdir() if path.suffix != ".part"}
    if not 0 < size <= 64 or others - {size}:
        return _error(400, "InvalidBlobOrBlock")
    target = _block(folder, name)
    partial = target.with_suffix(f".{os.urandom(4).hex()}.part")
    partial.write_bytes(request.body)
    partial.replace(target)
    return _created()


def _put_block_list(server: CacheServer, request: Request) -> Reply:
    entry = _writable(server, request)
    if entry is None:
        return _error(403, "AuthenticationFailed")
    folder = server.uploads / str(entry.id)
    names = [element.text or "" for element in ET.fromstring(request.body)]  # noqa: S314 - as above
    if not all(_block(folder, name).exists() for name in names):
        return _error(400, "InvalidBlockList")
    with entry.path.open("wb") as whole:
        for name in names:
            whole.write(_block(folder, name).read_bytes())
    return _created()


def _get(server: CacheServer, request: Request) -> Reply:
    entry = _entry(server, request)
    if entry is None or not server.signature_holds(request.path, request.query):
        return _error(403, "AuthenticationFailed")
    if not server.permitted(request.query, "r"):
        return _error(403, "AuthorizationPermissionMismatch")
    if not entry.path.exists():
        return _error(404, "BlobNotFound")
    size = entry.path.stat().st_size
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **_common()}
    wanted = _RANGE.fullmatch(request.headers.get("x-ms-range", request.headers.get("range", "")))
    start, end = 0, size
    if wanted and not server.weather.ignore_ranges:
        start = int(wanted[1])
        end = min(size, int(wanted[2]) + 1 if wanted[2] else size)
        if start >= size:
            return _error(416, "InvalidRange")
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Reply(200, b"", headers)
    with entry.path.open("rb") as file:
        file.seek(start)
        data = file.read(end - start)
    return Reply(206 if "Content-Range" in headers else 200, data, headers)


def _entry(server: CacheServer, request: Request) -> Entry | None:
    found = PATH.fullmatch(request.path)
    return server.caches.entries.get(int(found[1])) if found else None


def _writable(server: CacheServer, request: Request) -> Entry | None:
    """The reserved entry that the URL may write; one that is finished is so for good."""
    entry = _entry(server, request)
    holds = server.signature_holds(request.path, request.query) and server.permitted(request.query, "w")
    return entry if entry is not None and entry.size is None and holds else None


def _block(folder: Path, name: str) -> Path:
    return folder / quote(name, safe="")


def _name(path: Path) -> str:
    return unquote(path.name)


def _common() -> dict[str, str]:
    return {
        "x-ms-request-id": os.urandom(8).hex(),
        "x-ms-version": "2025-11-05",
        "ETag": f'"0x{hashlib.sha256(os.urandom(8)).hexdigest()[:15].upper()}"',
        "Last-Modified": formatdate(usegmt=True),
    }


def _created() -> Reply:
    return Reply(201, b"", {**_common(), "x-ms-request-server-encrypted": "true"})


def _error(status: int, code: str) -> Reply:
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
    return Reply(status, body.encode(), {"Content-Type": "application/xml", "x-ms-error-code": code, **_common()})
