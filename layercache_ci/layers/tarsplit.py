"""The exact tar of a layer, made again out of its extracted files.

containers-storage (and Docker) keep a *tar-split* beside each layer: gzipped JSON lines that hold every byte of the tar
which is no file content, in order, and name the files whose content goes between (github.com/vbatts/tar-split,
tar/storage/entry.go): `{"type":2,"payload":<base64>}` is bytes, `{"type":1,"name":...,"size":...,"payload":<crc64>}`
a file's content; a name that is no UTF-8 is base64 in `name_raw`. The CRC is not looked at here: whoever assembles a
layer compares the SHA-256 of the whole with its diff ID.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import zlib
from binascii import a2b_base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Final, cast

from layercache_ci.errors import CacheError
from layercache_ci.layers.compression import PIECE

TAR_SPLIT: Final = "application/vnd.layercache.tar-split.v1+gzip"
"""The media type of a stored tar-split."""

_FILE: Final = 1
_LINES: Final = 64 << 10


def assemble(tar_split_gz: bytes | BinaryIO, open_file: Callable[[str], BinaryIO]) -> Iterator[bytes]:
    """The tar, in pieces of `PIECE` bytes (the last one is shorter).

    `open_file` gets a name as the tar has it, bytes that are no UTF-8 as surrogates (`os.fsdecode`), and gives an
    unbuffered file, which is closed here. Raises CacheError where the tar-split can't be read or a file is too short;
    what `open_file` raises comes through.
    """
    piece = memoryview(bytearray(PIECE))
    filled = 0
    for entry in _entries(tar_split_gz):
        if entry["type"] != _FILE:
            payload = _payload(entry)
            while len(payload) >= (room := PIECE - filled):
                piece[filled:] = payload[:room]
                yield bytes(piece)
                payload, filled = payload[room:], 0
            piece[filled : filled + len(payload)] = payload
            filled += len(payload)
        elif left := entry.get("size", 0):
            with open_file(name := _name(entry)) as opened:
                file = cast("io.RawIOBase", opened)
                while left:
                    if not (count := file.readinto(piece[filled : filled + left])):
                        raise CacheError(f"{name} is {left} bytes shorter than its layer says")
                    left, filled = left - count, filled + count
                    if filled == PIECE:
                        yield bytes(piece)
                        filled = 0
    if filled:
        yield bytes(piece[:filled])


def entry_names(tar_split_gz: bytes | BinaryIO) -> Iterator[str]:
    """The names of all entries of the tar, in its order; whiteouts (`.wh.*`) are among them."""
    return (_name(entry) for entry in _entries(tar_split_gz) if entry["type"] == _FILE)


def _payload(entry: Mapping[str, Any]) -> bytes:
    try:
        return a2b_base64(entry.get("payload") or b"")
    except (ValueError, TypeError) as error:
        raise CacheError(f"a layer's tar-split can't be read: {error}") from error


def _name(entry: Mapping[str, Any]) -> str:
    raw = entry.get("name_raw")
    return os.fsdecode(a2b_base64(raw)) if raw else entry.get("name", "")


def _entries(tar_split_gz: bytes | BinaryIO) -> Iterator[Mapping[str, Any]]:
    source = io.BytesIO(tar_split_gz) if isinstance(tar_split_gz, bytes) else tar_split_gz
    try:
        with gzip.GzipFile(fileobj=source) as unzipped:
            lines = io.BufferedReader(cast("io.RawIOBase", unzipped), PIECE)
            while batch := lines.readlines(_LINES):
                # One call for many lines: a layer has two lines a file, and the call costs more than the line.
                yield from json.loads(b"[%b]" % b",".join(batch), object_hook=_checked)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise CacheError(f"a layer's tar-split can't be read: {error}") from error


def _checked(entry: dict[str, Any]) -> dict[str, Any]:
    if "type" not in entry:
        raise ValueError("an entry without a type")
    return entry
