"""The daemon's API: whose daemon it is, and what it is asked. A thread answers on a socket in a folder."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

import pytest

from layercache_ci.engines.buildkit import dockerd
from layercache_ci.engines.buildkit.dockerd import Dockerd, host_of_daemon, near, split
from layercache_ci.errors import CacheError
from layercache_ci.registry.model import Access
from layercache_ci.settings import Machine

ACCESS = Access(("127.0.0.1:5000",), "layercache", "secret", Path("/run"), 1)


@dataclass(slots=True)
class Fake:
    """What a daemon answers, by method and path without its query; and what it was asked."""

    path: Path
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    @property
    def daemon(self) -> Dockerd:
        return Dockerd(str(self.path))


@pytest.fixture
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fake]:
    told = Fake(tmp_path_factory.mktemp("d") / "s")

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            told.asked.append((f"{self.command} {self.path}", dict(self.headers)))
            status, body = told.answers.get(f"{self.command} {self.path.partition('?')[0]}", (404, b""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

        def address_string(self) -> str:
            return "unix"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as there
            """Nothing."""

    with UnixStreamServer(str(told.path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield told
        server.shutdown()
        thread.join()


def lines(*events: object) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\r\n" for event in events)


def test_a_pull_names_the_digest_and_gives_the_login(fake: Fake) -> None:
    fake.answers["POST /images/create"] = (200, lines({"status": "Pulling"}, {"status": "Pull complete"}))

    fake.daemon.pull("127.0.0.1:5000/loaded", "sha256:ab", ACCESS)

    [(request, headers)] = fake.asked
    assert request == "POST /images/create?fromImage=127.0.0.1%3A5000%2Floaded&tag=sha256%3Aab"
    assert json.loads(base64.urlsafe_b64decode(headers["X-Registry-Auth"])) == {
        "username": "layercache",
        "password": "secret",
        "serveraddress": "127.0.0.1:5000",
    }


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param((200, lines({"status": "Pulling"}, {"error": "no route"})), "no route", id="on the way"),
        pytest.param((404, lines({"message": "manifest unknown"})), "manifest unknown", id="at once"),
        pytest.param((500, b"oh"), "oh", id="without JSON"),
    ],
)
def test_a_pull_that_fails_says_why(fake: Fake, answer: tuple[int, bytes], said: str) -> None:
    fake.answers["POST /images/create"] = answer

    with pytest.raises(CacheError, match=said):
        fake.daemon.pull("127.0.0.1:5000/loaded", "sha256:ab", ACCESS)


def test_a_daemon_that_falls_silent_while_it_pulls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dockerd, "SILENCE", 0.05)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        with pytest.raises(CacheError, match="broke off: TimeoutError"):
            Dockerd(str(tmp_path / "s")).pull("127.0.0.1:5000/loaded", "sha256:ab", ACCESS)


def test_names_are_given_and_taken_away(fake: Fake) -> None:
    image = "127.0.0.1:5000/loaded@sha256:ab"
    fake.answers |= {f"POST /images/{image.replace(':', '%3A').replace('@', '%40')}/tag": (201, b"")}
    fake.answers |= {f"DELETE /images/{image.replace(':', '%3A').replace('@', '%40')}": (200, b"[]")}

    fake.daemon.tag(image, "host:5000/app")
    fake.daemon.untag(image)

    assert [request.partition("?")[2] for request, _ in fake.asked] == [
        "repo=host%3A5000%2Fapp&tag=latest",
        "noprune=true",
    ]


def test_a_name_that_is_refused_says_why(fake: Fake) -> None:
    fake.answers["POST /images/x/tag"] = (400, b'{"message": "invalid reference format"}')

    with pytest.raises(CacheError, match="docker tag: invalid reference format"):
        fake.daemon.tag("x", "A")


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="no daemon listens"):
        Dockerd(str(tmp_path / "s")).info()


def machine(**variables: str) -> Machine:
    return Machine(variables, 0, 1, False)


HERE = socket.gethostname()


@pytest.mark.parametrize(
    ("info", "is_near"),
    [
        pytest.param({"Name": HERE, "ServerVersion": "28.5.2+dfsg4"}, True, id="ours"),
        pytest.param({"Name": HERE, "ServerVersion": "20.10.24"}, False, id="one that knows no zstd"),
        pytest.param({"Name": f"not-{HERE}", "ServerVersion": "28.5.2"}, False, id="behind a forwarded socket"),
        pytest.param({"Name": HERE, "ServerVersion": "dev"}, False, id="no version"),
    ],
)
def test_whose_loopback_is_ours(fake: Fake, info: object, *, is_near: bool) -> None:
    fake.answers["GET /info"] = (200, json.dumps(info).encode())

    assert (near(machine(DOCKER_HOST=f"unix://{fake.path}")) is not None) is is_near


CONTAINERD = ["driver-type", "io.containerd.snapshotter.v1"]


@pytest.mark.parametrize(
    ("status", "containerd"),
    [([CONTAINERD], True), ([["Backing Filesystem", "extfs"], ["driver-type", "x"]], False), (None, False)],
    ids=["containerd", "classic", "nothing said"],
)
def test_how_the_daemon_keeps_images(fake: Fake, status: object, *, containerd: bool) -> None:
    told = {"Name": HERE, "ServerVersion": "28.5.2", "DriverStatus": status}
    fake.answers["GET /info"] = (200, json.dumps(told).encode())

    found = near(machine(DOCKER_HOST=f"unix://{fake.path}"))

    assert found is not None
    assert found.containerd is containerd


def test_a_socket_of_another_network_is_not_asked(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dockerd, "listening", set)
    fake.answers["GET /info"] = (200, json.dumps({"Name": HERE, "ServerVersion": "28.5.2"}).encode())

    assert near(machine(DOCKER_HOST=f"unix://{fake.path}")) is None
    assert fake.asked == []


@pytest.mark.parametrize("host", ["tcp://127.0.0.1:2375", "ssh://me@there", "unix:///nobody/listens"])
def test_no_other_daemon_is_near(host: str) -> None:
    assert near(machine(DOCKER_HOST=host)) is None


@pytest.mark.parametrize(
    ("config", "variables", "host"),
    [
        ({}, {}, "unix:///var/run/docker.sock"),
        ({"currentContext": "default"}, {}, "unix:///var/run/docker.sock"),
        ({"currentContext": "mine"}, {"DOCKER_HOST": "tcp://there"}, "tcp://there"),
        ({"currentContext": "mine"}, {"DOCKER_CONTEXT": "default"}, "unix:///var/run/docker.sock"),
    ],
)
def test_the_daemon_of_the_current_context(
    tmp_path: Path, config: object, variables: dict[str, str], host: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))

    assert host_of_daemon(machine(DOCKER_CONFIG=str(tmp_path), **variables)) == host


def test_a_context_with_a_name_is_dockers_to_find(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"currentContext": "mine"}')
    (tmp_path / "docker").write_text('#!/bin/sh\necho "unix:///for/$5"\n')
    (tmp_path / "docker").chmod(0o755)
    variables = {"DOCKER_CONFIG": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"}

    assert host_of_daemon(machine(**variables)) == "unix:///for/mine"


@pytest.mark.parametrize(
    ("name", "parts"),
    [("app", ("app", "latest")), ("h:5000/app", ("h:5000/app", "latest")), ("h:5000/app:1", ("h:5000/app", "1"))],
)
def test_a_tag_is_what_follows_the_last_colon(name: str, parts: tuple[str, str]) -> None:
    assert split(name) == parts
