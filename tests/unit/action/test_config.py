"""The file that `config` names."""

from __future__ import annotations

from pathlib import Path

import pytest

from layercache_ci.action.config import with_config
from layercache_ci.action.inputs import Inputs
from layercache_ci.errors import InputError


def read(tmp_path: Path, text: str, **values: str) -> Inputs:
    (tmp_path / "c.yml").write_text(text)
    return with_config(Inputs({"config": "c.yml", **values}), tmp_path)


def test_it_gives_what_the_workflow_does_not(tmp_path: Path) -> None:
    inputs = read(tmp_path, "target: theirs\npull: true\nfile: D\n", target="mine")
    assert (inputs.text("target"), inputs.flag("pull"), inputs.text("file")) == ("mine", True, "D")


def test_lists_and_mappings(tmp_path: Path) -> None:
    inputs = read(tmp_path, "labels: [one=a, 'two=b,c']\nbuild-args: {A: 1, B: true}\nplatforms: a,b\n")
    assert (inputs.list("labels"), inputs.list("build-args"), inputs.list("platforms")) == (
        ("one=a", "two=b,c"),
        ("A=1", "B=true"),
        ("a", "b"),
    )


def test_without_it_nothing_is_read(tmp_path: Path) -> None:
    inputs = Inputs({"target": "x"})
    assert with_config(inputs, tmp_path) is inputs


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("targte: x", ["targte", "docs/inputs.md"]),
        ("mode: read-write", ["mode", "workflow"]),
        ("secrets: a=b", ["secrets", "workflow"]),
        ("target: [a]", ["target", "['a']"]),
        ("target: {", ["not YAML"]),
        ("- target", ["no mapping"]),
    ],
)
def test_what_is_wrong_in_it(tmp_path: Path, text: str, named: list[str]) -> None:
    with pytest.raises(InputError) as raised:
        read(tmp_path, text)
    said = str(raised.value)
    assert said.startswith("config: 'c.yml'")
    assert "\n" not in said
    assert [word for word in named if word not in said] == []


@pytest.mark.parametrize(
    "text",
    [
        "s3-endpoint: https://evil.example", "s3-role-arn: a", "store: s3://x/y", "s3-bucket: x", "tier: /home/user/x",
        "extra-args: [--volume=/:/host]", "secret-envs: a=AWS_SECRET_ACCESS_KEY", "secret-files: a=/etc/shadow",
        "build-contexts: {all: /}", "outputs: 'type=local,dest=/home/user'", "cache-to: type=inline", "push: true",
        "tags: o/r:latest", "image: o/r", "network: host", "ssh: default", "max-size: 1", "cgroup-parent: a",
        "allow: security.insecure",
    ],
)  # fmt: skip
def test_it_has_no_say_in_what_a_build_gets_of_the_machine_and_where_things_go(tmp_path: Path, text: str) -> None:
    """It may be a stranger's, in a workflow that has secrets."""
    with pytest.raises(InputError, match="is only taken from the workflow"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "context: /", "context: ..", "context: sub/../..", "context: out", "context: '{{defaultContext}}:../..'",
        "context: git@github.com:o/r.git", "context: ssh://git@host/r.git", "file: http://169.254.169.254/",
        "file: /etc/passwd", "containerfiles: [D, ../D]", "dockerfiles: out/D", "build-args: [A=1, SECRET]",
        "context: '--volume=/:/host'", "context: '{{defaultContext}}:--volume=/:/host'", "context: '-'", "file: '-'",
        "containerfiles: [D, '--volume=/:/host']",
    ],
)  # fmt: skip
def test_what_it_names_lies_in_the_workspace(tmp_path: Path, text: str) -> None:
    (tmp_path / "workspace/--volume=/:/host").mkdir(parents=True)
    (tmp_path / "workspace/out").symlink_to(tmp_path)
    with pytest.raises(InputError, match="below with:"):
        read(tmp_path / "workspace", text)


def test_what_lies_there_it_may_name(tmp_path: Path) -> None:
    text = f"context: sub/..\nfile: {tmp_path}/sub/D\ncontainerfiles: [sub/D, D]\nbuild-args: [A=]\n"
    inputs = read(tmp_path, text)
    assert (inputs.text("context"), inputs.lines("containerfiles")) == ("sub/..", ("sub/D", "D"))
    for context in ("{{defaultContext}}:sub", "https://github.com/o/r.git"):
        assert read(tmp_path, f"context: '{context}'\n").text("context") == context


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config: 'none\.yml': No such file"):
        with_config(Inputs({"config": "none.yml"}), tmp_path)
