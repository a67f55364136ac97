from __future__ import annotations

import pytest

from layercache_ci.dockerfile.ast import Directive
from layercache_ci.dockerfile.directives import detect_syntax


@pytest.mark.parametrize(
    ("data", "value", "line"),
    [
        (b"# syntax=a/b:1\nFROM c", "a/b:1", 1),
        (b"\xef\xbb\xbf#!/bin/x\n# escape=`\n# SYNTAX = a b \r\n", "a b", 3),
        (b"// check=x\n// syntax=a", "a", 2),
        (b'{"b": [1], "syntax": "a\\ud800\xff"}', "a\ufffd\ufffd", 0),
        (b'#!x\n{"syntax": "a"}', "a", 1),
        (b"# syntax=a\n# syntax=b\n", "a", 1),
        (b"# syntax=a\n" + b"#" * 70000, "a", 1),
    ],
)
def test_where_buildkit_finds_the_frontend(data: bytes, value: str, line: int) -> None:
    assert detect_syntax(data) == Directive("syntax", value, line)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" # syntax=a",
        b"# hi\n# syntax=a",
        b"FROM a\n# syntax=a",
        b"# escape=`\n// syntax=a",
        b"# check=a\n# check=b\n# syntax=c",
        b"#" * 70000 + b"\n# syntax=a",
        b'["syntax"]',
        b'{"syntax": 1}',
        b'{"syntax": "a", "b": 1e999}',
        b'{"syntax": "a", "b": NaN}',
        b'{"syntax": "a"} x',
    ],
)
def test_where_it_finds_none(data: bytes) -> None:
    assert detect_syntax(data) is None
