from __future__ import annotations

import json

import pytest

from layercache_ci.cli import run


def test_json_has_the_result_and_the_words(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["expand", "--json", "--env", "A=1", "--env", "A=x y", "--env", "B", '$A "$A" ${B-unset}é'])
    assert code == 0
    assert json.loads(capsys.readouterr().out) == {"result": "x y x y é", "words": ["x", "y", "x y", "é"]}


def test_without_json_only_the_result_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["expand", "--escape", "`", "--env", "A=1", "--", r"-\$A`$A"]) == 0
    assert capsys.readouterr().out == "-\\1$A\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["${A"], "layercache: WORD '${A': syntax error: missing '}': close the '${'\n"),
        (["--escape", "", "x"], "layercache: --escape '': give one character, as a rule \\ or `\n"),
        (["--escape", "ab", "x"], "layercache: --escape 'ab': give one character, as a rule \\ or `\n"),
    ],
)
def test_a_wrong_input_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(["expand", "--json", *arguments]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", message)
