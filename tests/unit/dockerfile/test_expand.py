from __future__ import annotations

import pytest

from layercache_ci.dockerfile.expand import (
    ExpansionError,
    Mode,
    environment,
    expand,
    names_used,
    process_word,
    process_words,
)

ENV = {"NAME": "value", "EMPTY": "", "PATH": "/usr/local/lib/x.tar.gz", "SPACED": "a  b", "STAR": "*"}

RESULTS = [
    ("plain", "plain"),
    ("$NAME/x", "value/x"),
    ("${NAME}x", "valuex"),
    ("$UNSET.", "."),
    ("$NAMEx", ""),
    ("$name", ""),
    ("$", "$"),
    ("$.x", "$.x"),
    ("$12x", "x"),
    ("$@x$?", "x"),
    ("${1:-one}", "one"),
    ("${EMPTY:-word}", "word"),
    ("${EMPTY-word}", ""),
    ("${UNSET-word}", "word"),
    ("${NAME:-word}", "value"),
    ("${EMPTY:+word}", ""),
    ("${EMPTY+word}", "word"),
    ("${UNSET+word}", ""),
    ("${NAME:?never said}", "value"),
    ("${EMPTY?never said}", ""),
    ("${UNSET:-${EMPTY:-$NAME}}", "value"),
    ("${UNSET:-'}'}", "}"),
    (r"${UNSET:-a\}b}", "a}b"),
    ("${PATH#*/}", "usr/local/lib/x.tar.gz"),
    ("${PATH##*/}", "x.tar.gz"),
    ("${PATH%.*}", "/usr/local/lib/x.tar"),
    ("${PATH%%.*}", "/usr/local/lib/x"),
    ("${PATH%.t?r.gz}", "/usr/local/lib/x"),
    ("${PATH/\\//_}", "_usr/local/lib/x.tar.gz"),
    ("${PATH//\\//_}", "_usr_local_lib_x.tar.gz"),
    ("${PATH/l*l/_}", "/usr/_ib/x.tar.gz"),
    ("${UNSET/a/b}", ""),
    ("${STAR#\\*}", ""),
    ("${PATH##'*'}", ""),
    (r"\$NAME", "$NAME"),
    (r"\\$NAME", r"\value"),
    (r"a\b", "ab"),
    ("a\\", "a"),
    (r'"a\b\\\"\$NAME"', r"a\b\"$NAME"),
    ("'$NAME'", "$NAME"),
    ("\"'$NAME'\"", "'value'"),
    ("'' \"\"", " "),
    ("a <<  EOF", "a <<  EOF"),
    ("한${NAME}국", "한value국"),
]


@pytest.mark.parametrize(("word", "result"), RESULTS)
def test_a_word_is_expanded(word: str, result: str) -> None:
    assert process_word(word, ENV) == result


REFUSED = [
    ("${", "missing '}'"),
    ("${NAME", "missing '}'"),
    ("${NAME:", "missing '}'"),
    ("${NAME:-x", "missing '}'"),
    ("${NAME/x}", "missing '/'"),
    ("${NAME/x/y", "missing '}'"),
    ("${}", "bad substitution"),
    ("${{NAME}}", "bad substitution"),
    ("${:-x}", "bad substitution"),
    ("${NAME=x}", r"unsupported modifier \(=\)"),
    ("${NAME:=x}", r"unsupported modifier \(:=\)"),
    ("${NAME:#x}", r"unsupported modifier \(:#\)"),
    ("${NAME:%x}", r"unsupported modifier \(:%\)"),
    ("${.}", r"unsupported modifier \(\.\)"),
    ("'x", "single quote"),
    ('"x', "double quote"),
    ('"x\\', "double quote"),
    ("${UNSET?}", "UNSET: is not allowed to be unset: .*--build-arg UNSET=VALUE"),
    ("${EMPTY:?}", "EMPTY: is not allowed to be empty"),
    ("${UNSET:?give\n$NAME}", "^UNSET: give value: "),
    (r"${NAME#\x}", r"invalid escape '\\x'"),
    (r"${NAME/${UNSET-\\}/x}", r"invalid escape '\\'"),
    ("${A:-" * 2000, "nested too deeply"),
]


@pytest.mark.parametrize(("word", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_wrong_word_is_refused_in_one_line(word: str, message: str) -> None:
    with pytest.raises(ExpansionError, match=message) as refusal:
        process_word(word, ENV)
    assert "\n" not in str(refusal.value)


def test_the_values_of_variables_stay_out_of_the_message_about_a_pattern() -> None:
    with pytest.raises(ExpansionError) as refusal:
        process_word(r"${NAME#\$SECRET$SECRET}", {"NAME": "x", "SECRET": "hunter2"})
    assert "hunter2" not in str(refusal.value)


WORDS = [
    ("", ()),
    ("  ", ()),
    ("a b\tc\nd", ("a", "b", "c", "d")),
    ('a" b "c', ("a b c",)),
    (r"a\ b", ("a b",)),
    ("$SPACED", ("a", "b")),
    ('"$SPACED"', ("a  b",)),
    ("x${SPACED}y", ("xa", "by")),
    ('"" x', ("x",)),
    ("a\x1cb\u3000c", ("a\x1cb", "c")),
]


@pytest.mark.parametrize(("word", "words"), WORDS)
def test_a_word_is_split_at_spaces_that_are_not_quoted(word: str, words: tuple[str, ...]) -> None:
    assert process_words(word, ENV) == words


def test_words_before_a_modifier_are_lost_as_in_buildkit() -> None:
    """Its nested substitution empties the buffer of the word around it; only ProcessWords (EXPOSE) shows it."""
    expansion = expand("a${UNSET:-c}d", ENV)
    assert (expansion.result, expansion.words) == ("acd", ("cd",))


def test_a_byte_order_mark_is_dropped_at_the_start_only() -> None:
    assert process_word("\ufeffa\ufeffb", {}) == "a\ufeffb"


MODES: list[tuple[Mode, str, str]] = [
    ({"raw_quotes": True}, "'a'\"$NAME\"", "'a'\"value\""),
    ({"raw_escapes": True}, r"\$NAME a\ b", r"\$NAME a\ b"),
    (
        {"skip_unset": True},
        "$UNSET ${UNSET} ${UNSET:-$NAME} ${UNSET/a/$NAME}",
        "$UNSET ${UNSET} ${UNSET:-value} ${UNSET/a/value}",
    ),
    ({"skip_unset": True}, "${UNSET:?} ${UNSET:=x}", "${UNSET:?} ${UNSET:=x}"),
    ({"skip_quotes": True}, 'it\'s "$NAME"', 'it\'s "value"'),
    ({"raw_quotes": True, "raw_escapes": True}, r'"C:\hello" \$NAME', r'"C:\hello" \$NAME'),
]


@pytest.mark.parametrize(("mode", "word", "result"), MODES)
def test_modes(mode: Mode, word: str, result: str) -> None:
    assert process_word(word, ENV, **mode) == result


def test_backtick_escapes_and_backslash_does_not() -> None:
    assert process_word(r"c:\`$NAME\$NAME", ENV, escape="`") == r"c:\$NAME\value"
    assert process_word(r"${NAME%\*}${STAR%\*}", ENV, escape="`") == "value"


def test_unmatched_are_the_variables_that_are_not_set() -> None:
    assert expand("$NAME ${A:-$B} '$C'", ENV).unmatched == {"A", "B"}


def test_names_used_needs_no_values() -> None:
    assert names_used("$A ${B:?$C} ${D#${E}x} ${F/$G/$H} '$I' \\$J ${K:-\"$L\"}") == set("ABCDEFGHKL")
    assert names_used("'$A'", skip_quotes=True) == {"A"}
    with pytest.raises(ExpansionError, match="missing"):
        names_used("${A")


def test_environment_takes_the_last_of_a_name_and_an_empty_value_without_equals() -> None:
    assert environment(["A=1", "B", "A=2=3", "=x"]) == {"A": "2=3", "B": "", "": "x"}
