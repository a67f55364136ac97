"""Git repositories that are fetched over HTTP, by git's own http-backend."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from tests.lab.serving import serving

IDENTITY: Final = ("-c", "user.name=lab", "-c", "user.email=lab@example.com")


def git(folder: Path, *arguments: str) -> str:
    """What git says in a folder. Raises CalledProcessError."""
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def commit_all(folder: Path, *, origin: str) -> str:
    """Makes a repository of a folder, all of it committed to main; its commit."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "remote", "add", "origin", origin)
    git(folder, "add", "--all")
    git(folder, *IDENTITY, "commit", "--quiet", "--message=as it is")
    return git(folder, "rev-parse", "HEAD")


@contextlib.contextmanager
def serve_git(folder: Path, *, demands: str = "", heard: list[str] | None = None) -> Iterator[str]:
    """Serves the repositories below a folder on a random port of the loopback, as GitHub does: any commit of theirs
    may be asked for. The URL under which they are. Where it `demands` a token nothing goes without; what requests say
    of who they are, if anything, is `heard`."""
    said = [] if heard is None else heard

    class Handler(_Handler):
        root = folder
        wanted = f"basic {base64.b64encode(f'x-access-token:{demands}'.encode()).decode()}" if demands else ""
        authorizations = said

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        yield url


class _Handler(BaseHTTPRequestHandler):
    root: Path
    wanted: str
    authorizations: list[str]

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Tests have a log of their own."""

    def _answer(self, body: bytes) -> None:
        said = self.headers.get("Authorization", "")
        self.authorizations.append(said)
        if self.wanted and said != self.wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="lab"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        done = subprocess.run(
            ["git", "-c", "uploadpack.allowAnySHA1InWant=true", "-c", "safe.directory=*", "http-backend"],
            env=self._variables(len(body)), input=body, stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _variables(self, length: int) -> Mapping[str, str]:
        path, _, query = self.path.partition("?")
        return {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(length),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
