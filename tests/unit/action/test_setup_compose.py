"""`setup: true`: what compose's `up`, `create` and `run` build first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from layercache_ci.action.setup import lines
from layercache_ci.action.setup.grammar import PassedOn
from layercache_ci.errors import EngineError
from tests.unit.action.test_setup_bake import HOME, answer


@pytest.mark.parametrize(
    ("line", "asked", "then"),
    [
        ("up --build", "", "up"),
        ("-p x up -d --build=true web", "--with-dependencies web", "-p x up -d web"),
        ("create --no-deps --build -t 5 web", "web", "create --no-deps -t 5 web"),
        ("run --rm --build -e A=1 web make --build", "--with-dependencies web", "run --rm -e A=1 web make --build"),
        ("run -itu0 --no-deps --build -- web -x", "web", "run -itu0 --no-deps -- web -x"),
    ],
)
def test_what_comes_up_is_built_before(monkeypatch: pytest.MonkeyPatch, line: str, asked: str, then: str) -> None:
    called = []

    def ask(argv: Sequence[str], _environment: Mapping[str, str]) -> str:
        called.append(argv[1:])
        return json.dumps(
            {"name": "p", "services": {"web": {"build": {}}, "db": {"pull_policy": "always"}}, "target": {"web": {}}}
        )

    answer(monkeypatch, ask)
    found = lines.read_commands("docker", ["-H", "unix:///x", "compose", *line.split()], HOME)
    assert len(found.builds) == 1
    assert found.then == ("-H", "unix:///x", "compose", *then.split())
    project = ["-p", "x"] if line.startswith("-p") else []
    assert called == [
        ["compose", *project, "config", "--format=json", *(word for word in asked.split() if word[0] != "-")],
        ["compose", *project, "build", "--print", *asked.split()],
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("up", "^$"),
        ("up --build=false", "^$"),
        ("up --no-build --build", "--no-build is not known"),
        ("up --build --pull=always", "--pull is not known"),
        ("up --build", "the service web has a pull_policy"),
        ("up --no-build", "^$"),
        ("up --pull=always web", "^$"),
        ("run web make --build", "^$"),
        ("run --build", "^$"),
        ("run --build --pull=always web", "--pull is not known"),
        ("run --build web", "the service web has a pull_policy"),
        ("watch --build", "^$"),
    ],
)
def test_what_comes_up_otherwise_is_composes(monkeypatch: pytest.MonkeyPatch, line: str, why: str) -> None:
    services = {"web": {"build": {}, "pull_policy": "always"}}
    answer(monkeypatch, lambda *_: json.dumps({"name": "p", "services": services, "target": {"web": {}}}))
    with pytest.raises(PassedOn, match=why):
        lines.read_commands("docker", ["compose", *line.split()], HOME)


class Daemon:
    """Knows a project of these services, and has these images."""

    def __init__(self, services: Mapping[str, Any], images: Sequence[str]) -> None:
        self.services, self.images = services, images

    def __call__(self, argv: Sequence[str], _environment: Mapping[str, str]) -> str:
        if argv[1] == "image":
            if argv[-1] in self.images:
                return "sha256:1"
            raise EngineError("no such image")
        targets = {
            name.replace(".", "_"): {"tags": ["more:1", service.get("image", f"p-{name}")]}
            for name, service in self.services.items()
            if "build" in service
        }
        return json.dumps({"name": "p", "services": self.services, "target": targets})


BUILT: Mapping[str, Any] = {
    "a.b": {"build": {}}, "there": {"build": {}}, "db": {"image": "postgres"},
    "named": {"build": {}, "image": "org/named"}, "always": {"build": {}, "pull_policy": "build"},
}  # fmt: skip


@pytest.mark.parametrize("line", ["up", "up -d", "create", "run --rm a.b make --build", "up --build=false"])
def test_what_is_not_there_is_built_before(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """Of a service that names its image compose would ask a registry."""
    answer(monkeypatch, Daemon(BUILT, ["p-there"]))
    words = ["compose", *line.split()]
    found = lines.read_commands("docker", words, HOME)
    assert [command.settings.tags for command in found.builds] == [("more:1", "p-a.b")]
    assert found.then == tuple(words)


@pytest.mark.parametrize(
    ("services", "images"),
    [
        (BUILT, ["p-there", "p-a.b"]),
        ({"db": {"image": "postgres"}}, []),
        ({"named": BUILT["named"], "always": BUILT["always"]}, []),
        ({"web": []}, []),
    ],
)
def test_where_all_is_there_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, services: Mapping[str, Any], images: Sequence[str]
) -> None:
    answer(monkeypatch, Daemon(services, images))
    with pytest.raises(PassedOn, match=r"^$"):
        lines.read_commands("docker", ["compose", "up"], HOME)


def test_where_compose_says_nothing_of_its_services_it_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: object) -> str:
        raise EngineError("no configuration file provided")

    answer(monkeypatch, ask)
    with pytest.raises(PassedOn, match=r"^$"):
        lines.read_commands("docker", ["compose", "up"], HOME)
