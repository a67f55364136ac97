"""The table of inputs, and how a value is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from layercache_ci.action.documents import ACTION, PAGE, action, page
from layercache_ci.action.inputs import INPUTS, TABLE, Inputs, for_shells, read_inputs, variable
from layercache_ci.errors import InputError

CASES: Final[list[dict[str, Any]]] = json.loads((Path(__file__).parents[2] / "data/lists.json").read_text())["cases"]
BUILD_PUSH_ACTION = (
    "add-hosts allow annotations attests build-args build-contexts builder cache-from cache-to call cgroup-parent "
    "context file labels load network no-cache no-cache-filters outputs platforms provenance pull push sbom secrets "
    "secret-envs secret-files shm-size ssh tags target ulimit github-token"
)
BUILDAH_BUILD = (
    "image tags labels annotations base-image containerfiles dockerfiles context content entrypoint layers port "
    "workdir envs build-args squash oci arch archs platform platforms extra-args tls-verify buildah-image"
)


def read(**values: str) -> Inputs:
    return read_inputs({variable(name.replace("_", "-")): value for name, value in values.items()})


def test_every_input_of_both_actions_is_there() -> None:
    assert len(BUILD_PUSH_ACTION.split()) == 33
    assert {*BUILD_PUSH_ACTION.split(), *BUILDAH_BUILD.split()} <= TABLE.keys()


def test_a_name_is_there_once() -> None:
    assert len(TABLE) == len(INPUTS)


def test_the_documents_are_in_step_with_the_tables() -> None:
    assert ACTION.read_text() == action(ACTION.read_text())
    assert PAGE.read_text() == page()


def test_an_action_without_a_place_for_the_inputs_is_an_error() -> None:
    with pytest.raises(InputError, match=r"action\.yml"):
        action("name: layercache\n")


def test_the_runner_keeps_hyphens_and_what_is_empty_is_not_given() -> None:
    inputs = read_inputs({"INPUT_BUILD-ARGS": "A=1", "INPUT_TAGS": " \n", "INPUT_NOBODYS": "x"})
    assert (inputs.given("build-args"), inputs.given("tags"), set(inputs.values)) == (True, False, {"build-args"})


def test_a_shell_on_the_way_loses_nothing() -> None:
    given = {"INPUT_FAIL-ON-MISS": "true", "INPUT_TAGS": "a", "PATH": "/bin"}
    handed_on = {name: value for name, value in for_shells(given).items() if "-" not in name}
    assert handed_on["PATH"] == "/bin"
    assert read_inputs(handed_on) == read_inputs(given)


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("tags", "a/b:1,a/b:2", ["a/b:1", "a/b:2"]),
        ("tags", "a/b:1\n\n  a/b:2  \r\na/b:3\n", ["a/b:1", "a/b:2", "a/b:3"]),
        ("tags", '"a,b",c', ["a,b", "c"]),
        ("archs", '"a,b"', ["a", "b"]),
        ("platforms", "linux/amd64, linux/arm64", ["linux/amd64", "linux/arm64"]),
        ("labels", "one=a,b\ntwo=c", ["one=a,b", "two=c"]),
        ("labels", '"multi=one\ntwo"\nother=x', ["multi=one\ntwo", "other=x"]),
        ("build-args", '"A={""k"":""v"",""l"":1}"', ['A={"k":"v","l":1}']),
        ("build-args", 'A="quoted"', ['A="quoted"']),
        ("build-args", "# kept=1", ["# kept=1"]),
        ("outputs", '"type=local",dest=x', ['"type=local",dest=x']),
        ("outputs", "type=local,dest=x\ntype=tar,dest=y", ["type=local,dest=x", "type=tar,dest=y"]),
        ("extra-args", "--a b\n  --c=d", ["--a", "b", "--c=d"]),
        ("secret-envs", "a=A,b=B", ["a=A", "b=B"]),
    ],
)
def test_lists_are_read_as_dockers_toolkit_does(name: str, text: str, values: list[str]) -> None:
    assert list(Inputs({name: text}).list(name)) == values


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case["text"]))
@pytest.mark.parametrize(
    ("kind", "name"), [("comma list", "tags"), ("list", "labels"), ("plain list", "outputs")], ids=lambda word: word
)
def test_every_list_is_read_as_the_table_has_it(case: dict[str, Any], kind: str, name: str) -> None:
    assert TABLE[name].kind == kind
    if case[kind] is not None:
        assert list(Inputs({name: case["text"]}).list(name)) == case[kind]
        return
    with pytest.raises(InputError, match=rf"^{name}: the double quote in line \d+ is not closed; ") as raised:
        Inputs({name: case["text"]}).list(name)
    assert "\n" not in str(raised.value)


def test_the_quote_that_is_not_closed_is_found_and_no_secret_told() -> None:
    with pytest.raises(InputError) as raised:
        Inputs({"secrets": 'a=b\n"c=d\ne"\r\n"f=hushhush\ng'}).list("secrets")
    assert "secrets: the double quote in line 4 " in str(raised.value)
    assert "hushhush" not in str(raised.value)


def test_the_secrets_of_build_push_actions_documentation() -> None:
    text = (
        '"MYSECRET=aaaaaaaa\nbbbbbbb\nccccccccc"\nFOO=bar\n"EMPTYLINE=aaaa\n\nbbbb\nccc"\n'
        '"JSON_SECRET={""key1"":""value1"",""key2"":""value2""}"'
    )
    assert list(read(secrets=text).list("secrets")) == [
        "MYSECRET=aaaaaaaa\nbbbbbbb\nccccccccc",
        "FOO=bar",
        "EMPTYLINE=aaaa\n\nbbbb\nccc",
        'JSON_SECRET={"key1":"value1","key2":"value2"}',
    ]


@pytest.mark.parametrize(("text", "value"), [("true", True), ("True", True), ("FALSE", False), ("", False)])
def test_flags(text: str, value: bool) -> None:
    assert read(push=text).flag("push") is value


def test_a_flag_has_its_default() -> None:
    assert (Inputs().flag("tls-verify"), Inputs().flag("push")) == (True, False)


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("push", "yes", ["push", "'yes'", "true or false"]),
        ("engine", "kaniko", ["engine", "'kaniko'", "buildah"]),
        ("summary", "long", ["summary", "'long'", "short"]),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(name: str, text: str, named: list[str]) -> None:
    inputs = Inputs({name: text})
    with pytest.raises(InputError) as raised:
        inputs.flag(name) if name == "push" else inputs.text(name)
    assert [word for word in named if word not in str(raised.value)] == []


def test_a_list_where_one_value_belongs() -> None:
    with pytest.raises(InputError, match=r"file: 'a, b' is a list"):
        Inputs({"file": ("a", "b")}).text("file")
