"""What is uploaded during a run: blobs in `<folder>/blobs/sha256/<hex>`, written beside, verified, then renamed."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from layercache_ci.registry.http import Refused

DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")


def blob_path(folder: Path, digest: str) -> Path:
    """Where an uploaded blob lies. Raises Refused for what is no sha256 digest."""
    match = DIGEST.fullmatch(digest)
    if match is None:
        raise Refused(400, "DIGEST_INVALID", f"{digest!r} is no digest of the form sha256:<64 hex digits>")
    return folder / "blobs/sha256" / match[1]


class Upload:
    """A blob on its way in. One request at a time adds to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb", buffering=0)
        self._hash = hashlib.sha256()
        self._lock = threading.Lock()
        self.size = 0

    def append(self, pieces: Iterable[bytes], *, start: int | None = None) -> None:
        """`start` is where the client believes to be. Raises Refused with 416 where it is not there. A request that
        breaks off leaves nothing, so that it can be sent again."""
        with self._lock:
            if start not in {None, self.size}:
                raise Refused(416, "BLOB_UPLOAD_INVALID", f"the upload stands at {self.size}, not at {start}")
            before = self.size, self._hash.copy()
            try:
                for piece in pieces:
                    self._add(piece)
            except Exception:
                self.size, self._hash = before
                self._file.truncate(self.size)
                self._file.seek(self.size)
                raise

    def finish(self, target: Path, digest: str) -> None:
        """Make it visible. Raises Refused where it is not what `digest` says; it is gone then."""
        with self._lock:
            found = f"sha256:{self._hash.hexdigest()}"
            self._file.close()
            if found != digest:
                self._path.unlink(missing_ok=True)
                raise Refused(400, "DIGEST_INVALID", f"{digest} was to be uploaded, what came is {found}")
            target.parent.mkdir(parents=True, exist_ok=True)
            self._path.replace(target)

    def cancel(self) -> None:
        with self._lock:
            self._file.close()
            self._path.unlink(missing_ok=True)

    def _add(self, piece: bytes) -> None:
        self._hash.update(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(self._file.fileno(), view) :]
        self.size += len(piece)


class Uploads:
    """All uploads, and the blobs that came of them: one pool for all repositories."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._uploads: dict[str, Upload] = {}
        (folder / "uploads").mkdir(parents=True, exist_ok=True)

    def start(self) -> str:
        """The name of a new upload."""
        name = secrets.token_hex(16)
        self._uploads[name] = Upload(self._folder / "uploads" / name)
        return name

    def get(self, name: str) -> Upload:
        """Raises Refused where there is no such upload."""
        try:
            return self._uploads[name]
        except KeyError:
            raise Refused(404, "BLOB_UPLOAD_UNKNOWN", f"there is no upload {name}") from None

    def finish(self, name: str, digest: str) -> None:
        target = blob_path(self._folder, digest)
        upload = self.get(name)
        self._uploads.pop(name, None)
        upload.finish(target, digest)

    def cancel(self, name: str) -> None:
        self.get(name).cancel()
        self._uploads.pop(name, None)

    def blob(self, digest: str) -> Path | None:
        """The file of a blob that was uploaded whole."""
        path = blob_path(self._folder, digest)
        return path if path.is_file() else None
