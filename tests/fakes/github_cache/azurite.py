"""Azurite, Microsoft's own emulator of Azure Blob Storage, as the blob host behind the test server.

Its signed URLs are made as Azure's documents say ("Create a service SAS", "Create an account SAS").
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

from tests.lab.daemon import running
from tests.lab.ports import own_port

ACCOUNT: Final = "devstoreaccount1"
KEY: Final = base64.b64decode(
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""Azurite's own, the same for everybody."""
CONTAINER: Final = "actions-cache"
VERSION: Final = "2021-08-06"


@dataclass(frozen=True, slots=True)
class Azurite:
    url: str

    def signed_url(self, name: str, permission: str, expires: float) -> str:
        """A service SAS for one blob."""
        end = _time(expires)
        fields = [permission, "", end, f"/blob/{ACCOUNT}/{CONTAINER}/{name}", "", "", "", VERSION, "b", *[""] * 7]
        query = {"sv": VERSION, "se": end, "sr": "b", "sp": permission, "sig": _sign("\n".join(fields))}
        return f"{self.url}/{ACCOUNT}/{CONTAINER}/{name}?{urlencode(query)}"

    def size(self, name: str) -> int | None:
        """Of a blob that is there."""
        status, headers, _ = _ask("HEAD", self.signed_url(name, "r", time.time() + 60))
        return int(headers["Content-Length"]) if status == 200 else None

    def create_container(self) -> None:
        end = _time(time.time() + 600)
        fields = [ACCOUNT, "c", "b", "c", "", end, "", "", VERSION, "", ""]
        query = {"sv": VERSION, "ss": "b", "srt": "c", "sp": "c", "se": end, "sig": _sign("\n".join(fields))}
        status, _, said = _ask("PUT", f"{self.url}/{ACCOUNT}/{CONTAINER}?restype=container&{urlencode(query)}")
        assert status == 201, said


@contextmanager
def serve_azurite(program: Path, folder: Path) -> Iterator[Azurite]:
    """With an empty container, on a random port. `program` is its azurite-blob script."""
    with own_port() as port:
        words = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder), "--silent"]
        command: list[str | Path] = ["node", program, *words, "--disableTelemetry"]
        with running(command, folder / "log", ready=lambda: _listens(port), orphaned="KILL"):
            started = Azurite(f"http://127.0.0.1:{port}")
            started.create_container()
            yield started


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _ask(method: str, url: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.netloc, timeout=60)) as connection:
        connection.request(method, f"{parts.path}?{parts.query}", headers={"Content-Length": "0"})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _sign(text: str) -> str:
    return base64.b64encode(hmac.new(KEY, text.encode(), hashlib.sha256).digest()).decode()
