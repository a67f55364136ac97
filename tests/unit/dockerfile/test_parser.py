from __future__ import annotations

import pytest

from layercache_ci.dockerfile.ast import Directive, Heredoc
from layercache_ci.dockerfile.parser import parse
from layercache_ci.dockerfile.text import encode, printable
from layercache_ci.errors import DockerfileError
from tests.oracle.parse_vectors import ACCEPTED, REFUSED, Expected


@pytest.mark.parametrize(("data", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_accepted(data: bytes, expected: Expected) -> None:
    found = [
        (item.keyword, list(item.flags), item.form, list(map(printable, item.args)))
        for item in parse(data, name="Dockerfile").instructions
    ]
    assert found == expected


@pytest.mark.parametrize(("data", "line", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_and_why(data: bytes, line: int, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(data, name="some/Dockerfile")
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"some/Dockerfile:{line}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_lines_and_originals() -> None:
    data = b"# escape=`\n\n# hi\n  FROM a `\n# no\n\n   AS b  \n`\n RUN <<x\n1\n\nx\nUSER c\n"
    lines = [(item.start_line, item.end_line, item.original) for item in parse(data, name="f").instructions]
    assert lines == [(4, 7, "FROM a    AS b  "), (8, 12, " RUN <<x"), (13, 13, "USER c")]


def test_directives_and_where_they_end() -> None:
    found = parse(b"\xef\xbb\xbf# syntax = docker/dockerfile:1 \n#Check=skip=all\n#a=b\n#escape=`\nFROM c", name="f")
    assert found.directives == (Directive("syntax", "docker/dockerfile:1", 1), Directive("check", "skip=all", 2))
    assert found.escape == "\\"


def test_heredocs_of_every_kind_and_their_order() -> None:
    data = b"FROM a\nCOPY <<one 3<<-'two' << \"th\"ree /x\n1\none\n\t\t2\r\n\t two\n\ttwo\r\n# 3\nthree\n"
    copy = parse(data, name="f").instructions[1]
    assert copy.heredocs == (
        Heredoc("one", 0, expand=True, strip_tabs=False, content="1\n"),
        Heredoc("two", 3, expand=False, strip_tabs=True, content="\t\t2\r\n\t two\n"),
        Heredoc("three", 0, expand=False, strip_tabs=False, content="# 3\n"),
    )
    assert copy.args == ("<<one", "3<<-'two'", "<<", '"th"ree', "/x")
    assert copy.end_line == 9


def test_a_descriptor_beyond_64_bits_is_the_largest() -> None:
    run = parse(b"FROM a\nRUN 99999999999999999999<<b\nb", name="f").instructions[1]
    assert run.heredocs[0].file_descriptor == 2**64 - 1


def test_heredocs_have_a_backslash_for_escape_whatever_the_directive() -> None:
    run = parse(b"# escape=`\nFROM a\nRUN <<E\\OF\nEOF", name="f").instructions[1]
    assert run.heredocs == (Heredoc("EOF", 0, expand=True, strip_tabs=False, content=""),)


def test_onbuild_holds_its_trigger_and_the_heredocs_stay_outside() -> None:
    onbuild = parse(b"FROM a\nOnbuild  run --network=none <<b c\nd\nb\n", name="f").instructions[1]
    trigger = onbuild.trigger
    assert trigger is not None
    assert (trigger.keyword, trigger.flags, trigger.args) == ("RUN", ("--network=none",), ("<<b c",))
    assert (trigger.original, trigger.start_line, trigger.end_line) == ("run --network=none <<b c", 2, 4)
    assert trigger.heredocs == ()
    assert onbuild.heredocs[0].content == "d\n"


def test_an_unknown_trigger_keeps_its_name() -> None:
    onbuild = parse("FROM a\nONBUILD stra\xdfe x".encode(), name="f").instructions[1]
    assert onbuild.trigger is not None
    assert (onbuild.trigger.keyword, onbuild.trigger.args) == ("STRA\xdfE", ("",))


def test_no_byte_is_lost() -> None:
    run = parse(b"FROM a\nRUN b\xff\\\n\xc3", name="f").instructions[1]
    assert encode(run.args[0]) == b"b\xff\xc3"


@pytest.mark.parametrize(
    ("size", "end", "accepted"), [(65535, b"", True), (65535, b"\n", True), (65536, b"", False), (65536, b"\n", False)]
)
def test_how_long_a_line_may_be(size: int, end: bytes, accepted: bool) -> None:
    data = b"FROM " + b"a" * (size - 5) + end
    if accepted:
        assert len(parse(data, name="f").instructions[0].args[0]) == size - 5
        return
    with pytest.raises(DockerfileError, match="longer than 65535"):
        parse(data, name="f")


def test_a_chain_of_triggers_beyond_the_stack_is_refused_like_a_short_one() -> None:
    with pytest.raises(DockerfileError, match="can't be a trigger"):
        parse(b"FROM a\n" + b"ONBUILD " * 8000, name="f")


def test_arrays_nested_beyond_the_stack_are_refused_like_nested_arrays() -> None:
    with pytest.raises(DockerfileError, match="strings only"):
        parse(b"FROM a\nRUN " + b"[" * 9000 + b"]" * 9000, name="f")
