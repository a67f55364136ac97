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
    inputs = read(tmp_path, "target: theirs\npush: true\nfile: D\n", target="mine")
    assert (inputs.text("target"), inputs.flag("push"), inputs.text("file")) == ("mine", True, "D")


def test_lists_and_mappings(tmp_path: Path) -> None:
    inputs = read(tmp_path, "labels: [one=a, 'two=b,c']\nbuild-args: {A: 1, B: true}\ntags: a,b\n")
    assert (inputs.list("labels"), inputs.list("build-args"), inputs.list("tags")) == (
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


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config: 'none\.yml': No such file"):
        with_config(Inputs({"config": "none.yml"}), tmp_path)
