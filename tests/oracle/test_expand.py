from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layercache_ci.dockerfile.expand import ExpansionError, Mode, environment, expand, names_used
from tests.oracle.client import HERE, Oracle, Refused

BUILDKIT_TEST_ENV: Final = ["PWD=/home", "SHELL=bash", "KOREAN=한국어", "NULL="]

PIECES: Final = [
    *"$${}{}:-+?#%/*?[]\\'\"`<=^().!@_AB0 \t\né한😀²\ufeff\x1c",
    *(prefix + operator for prefix in ("${", "${A", "${U") for operator in ("", ":-", ":+", "?", "#", "%%", "/", "//")),
    *("$A", "$B", "$$", "$0", "${0}", "*a", "a*", "\\\\", "\\*", "\\}", "\\/", "``", "<<", "'$"),
]
VALUES: Final = st.lists(st.sampled_from([*"abA*?\\$/}{ \n.é0", "$0", "${0}", "$$", "\\*", "\ufeff"]), max_size=7)
NAMES: Final = st.sampled_from(["A", "B", "C", "_", "0", "@", ""])
ENVS: Final = st.lists(st.builds(lambda name, value: f"{name}={''.join(value)}", NAMES, VALUES), max_size=5)
MODES: Final = st.fixed_dictionaries(
    {}, optional={name: st.booleans() for name in ("raw_quotes", "raw_escapes", "skip_unset", "skip_quotes")}
)

OPERATORS: Final = st.sampled_from(["", ":-", "-", ":+", "+", ":?", "?", "#", "##", "%", "%%"])
LITERALS: Final = st.sampled_from(
    ["*", "?", "a", "b", "\\*", "\\}", "\\/", "\\\\", "\\", "'*'", '"a\\b"', "'$0'", "\\$0", " ", "é"]
)


def substitutions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Whole `${…}`, nested: random pieces alone seldom close their braces."""
    operand = st.lists(st.one_of(inner, LITERALS), max_size=4).map("".join)
    modified = st.builds(lambda name, operator, word: f"${{{name}{operator}{word}}}", NAMES, OPERATORS, operand)
    replaced = st.builds(
        lambda name, slash, pattern, text: f"${{{name}{slash}{pattern}/{text}}}",
        NAMES,
        st.sampled_from(["/", "//"]),
        operand,
        operand,
    )
    return st.one_of(modified, replaced)


NESTED: Final = st.recursive(st.sampled_from(["$A", "$B", "${A}", "x"]), substitutions, max_leaves=6)
WORDS: Final = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=20).map("".join),
    st.lists(st.one_of(NESTED, st.sampled_from(['"', "'", " ", "a", "\\"])), max_size=6).map("".join),
)


def buildkit(oracle: Oracle, word: str, env: list[str], escape: str, mode: Mode) -> dict[str, Any] | None:
    """BuildKit's answer; None where it refuses the word."""
    try:
        answer: dict[str, Any] = oracle.ask("expand", word=word, env=env, escape=escape, **mode)
    except Refused as refusal:
        if str(refusal).startswith(("oracle:", "panic:")):
            raise
        return None
    return answer


def assert_same(oracle: Oracle, word: str, env: list[str], escape: str = "\\", mode: Mode | None = None) -> None:
    mode = mode or {}
    theirs = buildkit(oracle, word, env, escape, mode)
    if theirs is None:
        with pytest.raises(ExpansionError):
            expand(word, environment(env), escape=escape, **mode)
        return
    ours = expand(word, environment(env), escape=escape, **mode)
    assert ours.result == theirs["result"]
    assert list(ours.words) == theirs["words"]
    assert ours.unmatched == set(theirs["unmatched"])
    skip_quotes = mode.get("skip_quotes", False)
    assert names_used(word, escape=escape, skip_quotes=skip_quotes) == {*theirs["matched"], *theirs["unmatched"]}


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of BuildKit's own test data, in the version that go.mod names."""
    command = ["go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/buildkit"]
    found = subprocess.run(command, cwd=HERE, check=True, capture_output=True, text=True)
    return Path(found.stdout.strip()) / "frontend" / "dockerfile" / "shell"


def unix_cases(text: str) -> Iterator[tuple[str, str]]:
    """Word and expected result of each line of envVarTest that holds on Unix."""
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            platform, word, result = (field.strip() for field in line.split("|"))
            if platform in ("A", "U"):
                yield word, result


def test_buildkits_own_vectors_for_variables(vectors: Path) -> None:
    cases = list(unix_cases((vectors / "envVarTest").read_text(encoding="utf-8")))
    assert len(cases) > 200
    env = environment(BUILDKIT_TEST_ENV)
    for word, result in cases:
        if result == "error":
            with pytest.raises(ExpansionError):
                expand(word, env)
        else:
            assert expand(word, env).result == result, word


@pytest.mark.parametrize("mode", [{}, {"raw_quotes": True, "skip_unset": True}], ids=["plain", "names only"])
def test_buildkits_own_vectors_for_words(vectors: Path, oracle: Oracle, mode: Mode) -> None:
    env: list[str] = []
    seen = 0
    for line in (vectors / "wordsTest").read_text(encoding="utf-8").splitlines():
        if line.startswith("ENV "):
            env.append(line[3:].lstrip(" "))
        elif not line.startswith("#"):
            word, expected = line.split("|")
            assert_same(oracle, word.strip(), env, mode=mode)
            if not mode and expected.strip() != "error":
                assert list(expand(word.strip(), environment(env)).words) == expected.lstrip(" ").split(",")
            seen += 1
    assert seen > 20


@pytest.mark.parametrize("escape", ["\\", "`"])
@pytest.mark.parametrize(
    "word",
    [
        "a${U:-c}d e",
        "${A//b/$0}${A//b/\\$0}${A//b/'$0'}${A//b/'$$'}${A/b/'$0'}",
        "${A//*/x}${A///x}${A//?/x}",
        "${A#\ufeffa}${A%b\ufeff}\ufeff",
        "\ufeff\ufeff$A",
        "${A%b\\\\}${A#\\a}",
        "${A%${U:-\\\\}}",
        "${A:}x}",
        "${A:",
        "${/a/b}${#}${##x}${@%y}",
        "${ A }",
        "$é$ä_1 $1é",
        "'\\''\"\\'\"",
        '"`$A\\$A``\\\\"',
        "<<-EOF << \t\rE <$A",
        "x\x85y\xa0z\x1cw\u200bv\u2028u",
        "${A:-<<  x}",
        "${A?$B}${B:?x}",
        "${A-'}'}${A-\"}\"}${A+\\}}",
        "\x00",
        "\\",
        "a\\\nb",
    ],
)
def test_hand_made(oracle: Oracle, word: str, escape: str) -> None:
    for env in (
        [],
        ["A=aba"],
        ["A=", "B"],
        ["A=a\nb\nb", "B=1", "=empty", "@=xy", "#=x#"],
        ["A=\ufeffab\ufeff", "A=b*"],
    ):
        for mode in ({}, {"raw_quotes": True, "raw_escapes": True, "skip_unset": True}, {"skip_quotes": True}):
            assert_same(oracle, word, env, escape, Mode(**mode))  # type: ignore[typeddict-item]


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(word=WORDS, env=ENVS, escape=st.sampled_from(["\\", "\\", "`"]))
def test_generated_words(oracle: Oracle, word: str, env: list[str], escape: str) -> None:
    assert_same(oracle, word, env, escape)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(word=WORDS, env=ENVS, escape=st.sampled_from(["\\", "`"]), mode=MODES)
def test_generated_words_in_every_mode(oracle: Oracle, word: str, env: list[str], escape: str, mode: Mode) -> None:
    assert_same(oracle, word, env, escape, mode)
