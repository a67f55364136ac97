from __future__ import annotations

import base64
import http.client
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from layercache_ci.layers.model import Descriptor
from layercache_ci.registry.client import Access, Registry, StoreChoice, start
from layercache_ci.store.local import LocalStore
from tests.waiting import SECONDS


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    data: bytes


Ask = Callable[..., Answer]
StartRegistry = Callable[..., Registry]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """The store that the registry reads through to."""
    return LocalStore(tmp_path / "store")


@pytest.fixture
def put(store: LocalStore) -> Callable[[bytes], Descriptor]:
    """Puts a blob into the store."""

    def add(data: bytes) -> Descriptor:
        with store.new_blob("application/octet-stream") as blob:
            blob.write(data)
            return blob.commit()

    return add


@pytest.fixture
def start_registry(tmp_path: Path) -> Iterator[StartRegistry]:
    """Starts registries, each in a process of its own; they end with the test."""
    started: list[Registry] = []

    def begin(**changed: Any) -> Registry:
        choice = StoreChoice("local", tmp_path / "store", ("default",), "default")
        given = {"store": choice, "owner": os.getpid(), "environment": os.environ, **changed}
        registry = start(tmp_path / f"run{len(started)}", **given).wait(SECONDS)
        started.append(registry)
        return registry

    yield begin
    for registry in started:
        registry.stop()


@pytest.fixture
def registry(start_registry: StartRegistry) -> Registry:
    return start_registry()


def authorization(access: Access, password: str | None = None) -> dict[str, str]:
    login = f"{access.user}:{access.password if password is None else password}"
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


@pytest.fixture
def ask(registry: Registry) -> Ask:
    """Asks the registry as a builder does; `headers` may replace the login."""

    def request(
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        streamed: bool = False,
    ) -> Answer:
        connection = http.client.HTTPConnection(registry.access.addresses[0], timeout=30)
        try:
            sent = {**authorization(registry.access), **(headers or {})}
            connection.request(method, path, body, sent, encode_chunked=streamed)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    return request
