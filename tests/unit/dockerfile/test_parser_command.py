from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from layercache_ci.cli import run

DOCKERFILE = b'# syntax=a\nFROM b\nONBUILD RUN ["c"]\nRUN <<-D \xff\n\te\nD\n'


@pytest.fixture
def dockerfile(tmp_path: Path) -> Path:
    file = tmp_path / "Containerfile"
    file.write_bytes(DOCKERFILE)
    return file


def test_json(dockerfile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["parse", "--json", str(dockerfile)]) == 0
    plain: dict[str, Any] = {"flags": [], "form": "shell", "args": [], "heredocs": [], "trigger": None}
    assert json.loads(capsys.readouterr().out) == {
        "version": 1,
        "escape": "\\",
        "directives": [{"name": "syntax", "value": "a", "line": 1}],
        "instructions": [
            plain | {"keyword": "FROM", "args": ["b"], "original": "FROM b", "start_line": 2, "end_line": 2},
            plain
            | {
                "keyword": "ONBUILD",
                "original": 'ONBUILD RUN ["c"]',
                "start_line": 3,
                "end_line": 3,
                "trigger": plain
                | {
                    "keyword": "RUN",
                    "form": "exec",
                    "args": ["c"],
                    "original": 'RUN ["c"]',
                    "start_line": 3,
                    "end_line": 3,
                },
            },
            plain
            | {
                "keyword": "RUN",
                "args": ["<<-D \ufffd"],
                "original": "RUN <<-D \ufffd",
                "start_line": 4,
                "end_line": 6,
                "heredocs": [
                    {"delimiter": "D", "file_descriptor": 0, "expand": True, "strip_tabs": True, "content": "\te\n"}
                ],
            },
        ],
    }


def test_listing(dockerfile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["parse", str(dockerfile)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "        1  # syntax=a",
        "        2  FROM b",
        '        3  ONBUILD RUN ["c"]',
        "      4-6  RUN <<-D \ufffd [3 characters in D]",
    ]


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_what_is_refused_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_bytes(b"FROM a\n\nCOPY b\n")
    assert run(["parse", *arguments, str(bad)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"{bad}:3: COPY needs a source and a destination: write both\n" in err


@pytest.mark.parametrize("missing", ["nowhere", "."])
def test_a_file_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str) -> None:
    assert run(["parse", "--json", str(tmp_path / missing)]) == 2
    err = capsys.readouterr().err
    assert str(tmp_path / missing) in err
    assert err.count("\n") == 1
