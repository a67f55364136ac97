"""`setup: true`: what bake and compose print of their targets, as builds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from layercache_ci.action.setup import bake, compose, lines
from layercache_ci.action.setup.grammar import PassedOn
from layercache_ci.settings import BuildSettings

HOME = {"HOME": "/nowhere", "S": "of the environment"}


class Docker:
    """In the place of docker: prints these targets, and knows how it was called."""

    def __init__(self, targets: Mapping[str, Any], order: Sequence[str]) -> None:
        groups = {"default": {"targets": list(order)}} if order else {}
        self.printed = json.dumps({"group": groups, "target": dict(targets)})
        self.called: list[str] = []

    def __call__(self, argv: Sequence[str], _environment: Mapping[str, str]) -> str:
        self.called = list(argv)
        return self.printed


def answer(monkeypatch: pytest.MonkeyPatch, ask: Callable[[Sequence[str], Mapping[str, str]], str]) -> None:
    """In the place of the real program."""
    for module in (bake, compose):
        monkeypatch.setattr(module, "ask", ask)


def read(
    monkeypatch: pytest.MonkeyPatch, line: str, targets: Mapping[str, Any], order: Sequence[str] = ()
) -> tuple[list[BuildSettings], list[str]]:
    docker = Docker(targets, order)
    answer(monkeypatch, docker)
    program, *words = line.split()
    return [command.settings for command in lines.read_commands(program, words, HOME).builds], docker.called


def test_all_fields_of_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    target = {
        "context": "./app",
        "contexts": {"c": "docker-image://x"},
        "dockerfile": "sub/D",
        "args": {"A": "1", "B": None},
        "labels": {"x": "y"},
        "tags": ["a:1", "b:2"],
        "cache-from": [{"type": "gha", "scope": "a,b"}, "type=inline"],
        "target": "t",
        "secret": [{"id": "s", "env": "S"}],
        "ssh": [{"id": "default"}, {"id": "k", "paths": ["k"]}, "default="],
        "platforms": ["linux/amd64"],
        "output": [{"type": "image", "push": "true"}],
        "pull": True,
        "no-cache": False,
        "network": "host",
        "shm-size": "64m",
        "ulimits": ["nofile=5"],
        "extra-hosts": {"h": "1.2.3.4"},
        "entitlements": ["network.host"],
    }
    (found,), _ = read(
        monkeypatch, "docker buildx bake --allow network.host --allow ssh --progress plain a", {"a": target}
    )
    assert found == BuildSettings(
        context="./app", file="./app/sub/D", build_contexts={"c": "docker-image://x"}, build_args={"A": "1"},
        labels=("x=y",), tags=("a:1", "b:2"), target="t", secrets=("id=s,env=S",), ssh=("default", "k=k", "default"),
        platform="linux/amd64", outputs=("type=image,push=true",), pull=True, network="host", shm_size="64m",
        ulimits=("nofile=5",), add_hosts=("h:1.2.3.4",), progress="plain", engine="buildkit",
        engine_options=('--cache-from=type=gha,"scope=a,b"', "--cache-from=type=inline", "--allow=network.host"),
    )  # fmt: skip


def test_targets_come_in_the_order_they_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = {name: {"tags": [name]} for name in "abc"}
    found, called = read(monkeypatch, "docker buildx --builder b bake -f x.hcl --set *.pull=true", targets, ["c", "b"])
    assert [(each.tags, each.context, each.file, each.builder) for each in found] == [
        ((name,), ".", "./Dockerfile", "b") for name in "cb"
    ]
    assert called == ["docker", "buildx", "--builder", "b", "bake", "--print", "-f", "x.hcl", "--set", "*.pull=true"]


def test_only_what_was_asked_for_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = {"api": {"tags": ["api"]}, "web": {"tags": ["web"]}}
    found, _ = read(monkeypatch, "docker compose build web", targets, ["web"])
    assert [each.tags for each in found] == [("web",)]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({"default": ["all", "c"], "all": ["b", "a"]}, ["b", "a", "c"]),
        ({"default": ["a", "a"], "other": ["b"]}, ["a"]),
        ({"default": ["nothing"]}, None),
        ({"default": ["a"], "a": ["b"]}, None),
        ({"default": ["x"], "x": ["y"], "y": ["x"]}, None),
    ],
)
def test_a_group_may_be_of_groups(
    monkeypatch: pytest.MonkeyPatch, groups: Mapping[str, Sequence[str]], expected: Sequence[str] | None
) -> None:
    named = {name: {"targets": targets} for name, targets in groups.items()}
    printed = json.dumps({"group": named, "target": {name: {"tags": [name]} for name in "abc"}})
    answer(monkeypatch, lambda *_: printed)
    if expected is None:
        with pytest.raises(PassedOn, match="can't be read"):
            lines.read_commands("docker", ["buildx", "bake"], HOME)
    else:
        commands = lines.read_commands("docker", ["buildx", "bake"], HOME).builds
        assert [command.settings.tags for command in commands] == [(name,) for name in expected]


def test_what_is_escaped_for_hcl_is_meant_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    target = {
        "args": {"A": "$${HOME} %%{x}"}, "labels": {"x": "$${y}"}, "annotations": ["a=$${b}"],
        "extra-hosts": {"h": "$${ip}"}, "tags": ["$${t}"],
    }  # fmt: skip
    (found,), _ = read(monkeypatch, "docker buildx bake", {"a": target})
    assert (found.build_args, found.labels) == ({"A": "${HOME} %{x}"}, ("x=${y}",))
    assert (found.engine_options, found.add_hosts) == (("--annotation=a=${b}",), ("h:${ip}",))
    assert found.tags == ("$${t}",)


def test_compose_is_asked_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    target = {"context": "/p", "dockerfile": "/q/Dockerfile", "output": ["type=docker"], "shm-size": "67108864"}
    (found,), called = read(monkeypatch, "docker compose -f c.yml -p x build --pull web", {"web": target})
    assert (found.context, found.file, found.outputs, found.builder) == ("/p", "/q/Dockerfile", ("type=docker",), None)
    assert called == ["docker", "compose", "-f", "c.yml", "-p", "x", "build", "--print", "--pull", "web"]


def test_any_other_command_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,), called = read(monkeypatch, "docker buildx build -t a .", {})
    assert (found.tags, called) == (("a",), [])
    monkeypatch.setitem(HOME, "DOCKER_BUILDKIT", "0")
    for line in ("docker buildx ls", "docker compose up", "docker compose", "docker buildx bake --print",
                 "docker compose build --check", "docker compose --verbose up -d", "docker --tls images"):  # fmt: skip
        with pytest.raises(PassedOn, match=r"^$"):
            read(monkeypatch, line, {})
    for line, why in (("docker buildx bake", r"^$"), ("docker compose build", "the classic builder")):
        with pytest.raises(PassedOn, match=why):
            read(monkeypatch, line, {})


@pytest.mark.parametrize(
    ("line", "target", "why"),
    [
        ("docker buildx bake", {"contexts": {"x": "target:b"}}, "is built on another one"),
        ("docker buildx bake", {"context": ".."}, "asks for what is outside"),
        ("docker buildx bake", {"dockerfile": "../D"}, "asks for what is outside"),
        ("docker buildx bake", {"context": "docs", "dockerfile": "/D"}, "asks for what is outside"),
        ("docker buildx bake", {"contexts": {"x": "../y"}}, "asks for what is outside"),
        ("docker buildx bake", {"contexts": {"x": "oci-layout:///y"}}, "asks for what is outside"),
        ("docker buildx bake", {"secret": [{"id": "s", "src": "/etc/passwd"}]}, "asks for what is outside"),
        ("docker buildx bake", {"secret": ["id=s,source=/etc/passwd"]}, "asks for what is outside"),
        ("docker buildx bake", {"output": ['type=local,"dest=/a,b"']}, "asks for what is outside"),
        ("docker buildx bake", {"output": ["/out"]}, "asks for what is outside"),
        ("docker buildx bake", {"cache-from": [{"type": "local", "src": "/c"}]}, "asks for what is outside"),
        ("docker buildx bake", {"cache-to": ["type=local,dest=/c"]}, "asks for what is outside"),
        ("docker buildx bake", {"ssh": ["k=/key"]}, "asks for what is outside"),
        ("docker buildx bake", {"ssh": [{"id": "default"}]}, "asks for what is outside"),
        ("docker buildx bake https://github.com/org/other.git#v1 a", {}, "may be fetched"),
        ("docker buildx bake git@github.com:org/other a", {}, "may be fetched"),
        ("docker buildx bake github.com/org/other", {}, "may be fetched"),
        ("docker buildx bake other.git#v1", {}, "may be fetched"),
        ("docker buildx bake", {"entitlements": ["network.host"]}, "asks for what is outside"),
        ("docker buildx bake", {"dockerfile": "../D", "dockerfile-inline": "FROM x"}, "asks for what is outside"),
        ("docker buildx bake", {"call": "check"}, "has call"),
        ("docker buildx bake --metadata-file x", {}, "--metadata-file is not known"),
        ("docker buildx bake -f -", {}, "standard input"),
        ("docker compose build", {"secret": ["id=tok,type=env,env=TOK"]}, "has a secret of TOK"),
        ("docker buildx bake", {"secret": [{"id": "tok", "type": "env", "env": "TOK"}]}, "has a secret of TOK"),
        ("docker compose -f - build", {}, "standard input"),
        ("docker compose --verbose build", {}, "--verbose is not known"),
        ("docker buildx --what build .", {}, "--what is not known"),
        ("docker compose build -q", {}, "-q is not known"),
    ],
)
def test_what_can_not_be_said_by_a_command_line_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, line: str, target: Mapping[str, Any], why: str
) -> None:
    with pytest.raises(PassedOn, match=why):
        read(monkeypatch, line, {"a": target, "b": {}})


def test_what_is_printed_may_be_anything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for printed in ("", "[]", '{"target": 1}', '{"target": {}, "group": 1}'):
        answer(monkeypatch, lambda *_, text=printed: text)
        with pytest.raises(PassedOn, match="can't be read"):
            lines.read_commands("docker", ["buildx", "bake"], HOME)


def test_docker_bake_builds_where_docker_build_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for line, builder in (("docker bake a", "default"), ("docker bake --builder b a", "b")):
        (found,), called = read(monkeypatch, line, {"a": {"tags": ["x"]}})
        assert (found.tags, found.builder) == (("x",), builder)
        assert called[:4] == ["docker", "buildx", "bake", "--print"]


def test_only_the_definition_says_which_platform_a_target_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`docker buildx build` would go by the variable."""
    answer(monkeypatch, Docker({"a": {}}, ()))
    environment = {**HOME, "DOCKER_DEFAULT_PLATFORM": "linux/s390x"}
    (command,) = lines.read_commands("docker", ["buildx", "bake", "a"], environment).builds
    assert command.environment == HOME


def test_a_dockerfile_may_be_in_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, Docker({"a": {"dockerfile-inline": "FROM x\nRUN echo $${A}\n"}, "b": {}}, ["a", "b"]))
    builds = lines.read_commands("docker", ["buildx", "bake"], HOME).builds
    assert [command.dockerfile for command in builds] == ["FROM x\nRUN echo ${A}\n", None]
