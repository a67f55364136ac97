"""What an image holds, read from an OCI archive: what `--output type=oci` and `docker save` write."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import stat
import sys
import tarfile
from pathlib import Path
from typing import IO, Any

from tests.e2e.image import Image

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


def read_archive(path: Path) -> Image:
    """The only image in the archive; what attests to it is left out."""
    with tarfile.open(path) as archive:
        manifest = find_manifest(archive, read_json(archive, "index.json"))
        config = read_blob(archive, manifest["config"]["digest"])
        files: dict[str, tuple[object, ...]] = {}
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=decompressed(open_member(archive, blob(layer["digest"])))) as tar:
                apply(tar, files)
    value: dict[str, Any] = json.loads(config)
    history = tuple(entry.get("created_by", "") for entry in value["history"])
    return Image(hashlib.sha256(config).hexdigest(), value["config"], history, files)


def find_manifest(archive: tarfile.TarFile, index: dict[str, Any]) -> dict[str, Any]:
    """The image's manifest, in an index of an index or in one alone."""
    found = [entry for entry in index["manifests"] if entry.get("platform", {}).get("architecture", "") != "unknown"]
    assert len(found) == 1, index
    value: dict[str, Any] = json.loads(read_blob(archive, found[0]["digest"]))
    return find_manifest(archive, value) if "manifests" in value else value


def blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def open_member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    member = archive.extractfile(name)
    assert member is not None
    return member


def read_json(archive: tarfile.TarFile, name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.load(open_member(archive, name))
    return value


def read_blob(archive: tarfile.TarFile, digest: str) -> bytes:
    """The blob, which must be what its digest says."""
    data = open_member(archive, blob(digest)).read()
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest
    return data


def decompressed(file: IO[bytes]) -> IO[bytes]:
    magic = file.read(4)
    file.seek(0)
    if magic == b"\x28\xb5\x2f\xfd":
        return io.BytesIO(zstd.decompress(file.read()))
    return io.BytesIO(gzip.decompress(file.read())) if magic[:2] == b"\x1f\x8b" else file


def apply(tar: tarfile.TarFile, files: dict[str, tuple[object, ...]]) -> None:
    """Put a layer's files, with OCI's whiteouts, over what is there."""
    for member in tar:
        path = "/" + member.name.strip("/").removeprefix("./")
        folder, _, name = path.rpartition("/")
        if name == OPAQUE:
            remove(files, folder, itself=False)
        elif name.startswith(WHITEOUT):
            remove(files, f"{folder}/{name.removeprefix(WHITEOUT)}", itself=True)
        else:
            if not member.isdir():
                remove(files, path, itself=True)
            # another name of a file is a file like it: which of them comes first is the exporter's affair
            files[path] = files["/" + member.linkname.strip("/")] if member.islnk() else entry(tar, member)


def remove(files: dict[str, tuple[object, ...]], path: str, *, itself: bool) -> None:
    for known in [known for known in files if known.startswith(f"{path}/") or (itself and known == path)]:
        del files[known]


def entry(tar: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[object, ...]:
    file = tar.extractfile(member) if member.isreg() else None
    content = member.linkname if file is None else hashlib.sha256(file.read()).hexdigest()
    mode = oct(stat.S_IMODE(member.mode))  # Docker's own writers put the file's type there, too
    return (member.type, mode, member.uid, member.gid, content)
