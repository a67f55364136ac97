"""Tars, and what tar-split makes of them."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import tarfile
from collections.abc import Mapping

Split = list[dict[str, object]]


def disassemble(tar: bytes) -> tuple[Split, dict[str, bytes]]:
    """What tar-split makes of a tar: the entries, and the files' content."""
    entries: Split = []
    files: dict[str, bytes] = {}
    position = 0
    with tarfile.open(fileobj=io.BytesIO(tar), encoding="utf-8") as archive:
        for member in archive:
            data = archive.extractfile(member)
            content = data.read() if data else b""
            entries.append(segment(tar[position : member.offset_data]))
            raw = os.fsencode(member.name)
            try:
                name: dict[str, object] = {"name": raw.decode()}
            except UnicodeDecodeError:
                name = {"name_raw": base64.b64encode(raw).decode()}
            entries.append({"type": 1, **name, "size": len(content), "payload": "AAAAAAAAAAA="})
            files[member.name] = content
            position = member.offset_data + len(content)
    return [*entries, segment(tar[position:]), {"type": 2, "payload": None}], files


def segment(data: bytes) -> dict[str, object]:
    return {"type": 2, "payload": base64.b64encode(data).decode()}


def packed(entries: Split) -> bytes:
    return gzip.compress(b"".join(json.dumps(entry).encode() + b"\n" for entry in entries))


def tar_of(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()
