"""The comments of one issue, in the shapes of GitHub's REST API (docs.github.com, "Issue comments")."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qs, urlsplit

from tests.lab.serving import serving

PAGE: Final = 2
"""Few, so that a handful of comments is several pages."""
NONE: Final[Mapping[str, str]] = MappingProxyType({})
MOST: Final = 65_536
TOO_LONG: Final = {
    "message": "Validation Failed", "status": "422", "errors": [{
        "resource": "IssueComment", "code": "unprocessable", "field": "data",
        "message": "Body is too long (maximum is 65536 characters)",
    }],
}  # fmt: skip
DENIED: Final = {"message": "Resource not accessible by integration", "status": "403"}


@dataclass(slots=True)
class Issue:
    """`comments` are bodies by ID; `denied` answers every write as it does for a token that may only read."""

    repository: str
    number: int
    comments: dict[int, str] = field(default_factory=dict)
    denied: bool = False
    requests: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    url: str = ""

    @property
    def path(self) -> str:
        return f"/repos/{self.repository}/issues/{self.number}/comments"


class Handler(BaseHTTPRequestHandler):
    issue: Issue

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        page = int(parse_qs(place.query).get("page", ["1"])[0])
        issue = self.issue
        if self.denied() or place.path != issue.path:
            self.answer(404, {"message": "Not Found"})
            return
        found = list(issue.comments)[(page - 1) * PAGE : page * PAGE]
        more = len(issue.comments) > page * PAGE
        link = {"Link": f'<{issue.url}{issue.path}?page={page + 1}>; rel="next"'} if more else {}
        self.answer(200, [self.comment(number) for number in found], link)

    def do_POST(self) -> None:
        self.write(max(self.issue.comments, default=0) + 1, 201)

    def do_PATCH(self) -> None:
        self.write(int(self.path.rpartition("/")[2]), 200)

    def write(self, number: int, status: int) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"]
        if self.denied():
            self.answer(403, DENIED)
            return
        if len(body) > MOST:
            self.answer(422, TOO_LONG)
            return
        self.issue.comments[number] = body
        self.answer(status, self.comment(number))

    def denied(self) -> bool:
        self.issue.requests.append(f"{self.command} {self.path}")
        self.issue.tokens.add(self.headers["Authorization"])
        return self.issue.denied and self.command != "GET"

    def comment(self, number: int) -> dict[str, object]:
        url = f"{self.issue.url}/repos/{self.issue.repository}/issues/comments/{number}"
        return {"id": number, "body": self.issue.comments[number], "url": url}

    def answer(self, status: int, value: object, headers: Mapping[str, str] = NONE) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass


@contextmanager
def served(issue: Issue) -> Iterator[Issue]:
    """On a free port of the loopback; its URL is in the issue."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"issue": issue}))
    with serving(server) as issue.url:
        yield issue
