"""Dockerfiles of a few lines, each for one rule of BuildKit's parser: what it accepts, what it refuses and where."""

from __future__ import annotations

from typing import Final

Expected = list[tuple[str, list[str], str, list[str]]]

ACCEPTED: Final[dict[str, tuple[bytes, Expected]]] = {
    "keywords in any case": (b"from a\nrUn x", [("FROM", [], "shell", ["a"]), ("RUN", [], "shell", ["x"])]),
    "keywords as Go lowers them": (
        "FROM a\nWOR\u212aD\u0130R /x".encode(),
        [("FROM", [], "shell", ["a"]), ("WORKDIR", [], "shell", ["/x"])],
    ),
    "no newline at the end": (b"FROM a", [("FROM", [], "shell", ["a"])]),
    "args before the first FROM": (
        b"ARG A=1 B\nFROM a",
        [("ARG", [], "shell", ["A=1", "B"]), ("FROM", [], "shell", ["a"])],
    ),
    "args only": (b"ARG A", [("ARG", [], "shell", ["A"])]),
    "CRLF": (b"FROM a\r\nRUN b \\\r\n  c\r\n", [("FROM", [], "shell", ["a"]), ("RUN", [], "shell", ["b   c"])]),
    "a carriage return inside a line": (b"FROM\ra", [("FROM", [], "shell", ["a"])]),
    "BOM": (b"\xef\xbb\xbfFROM a", [("FROM", [], "shell", ["a"])]),
    "Go's spaces": ("\u3000FROM\ta\u2028\n\x85".encode(), [("FROM", [], "shell", ["a"])]),
    "a unit separator is no space": (b"FROM \x1fa", [("FROM", [], "shell", ["\x1fa"])]),
    "bytes that are not UTF-8": (
        b"FROM a\nRUN \xff\xc3",
        [("FROM", [], "shell", ["a"]), ("RUN", [], "shell", ["\ufffd\ufffd"])],
    ),
    "bytes that become UTF-8 when joined": (
        b"FROM a\nRUN \xc3\\\n\xa9",
        [("FROM", [], "shell", ["a"]), ("RUN", [], "shell", ["\xe9"])],
    ),
    "comments and empty lines in a continuation": (
        b"FROM a\nRUN b \\\n\n  # no\n\t\n  c \\\n# no",
        [("FROM", [], "shell", ["a"]), ("RUN", [], "shell", ["b   c"])],
    ),
    "blanks behind the continuation": (
        b"FROM a\nRUN b\\ \t\nc",
        [("FROM", [], "shell", ["a"]), ("RUN", [], "shell", ["bc"])],
    ),
    "a doubled escape continues nothing": (
        b"FROM a\nRUN b\\\\\nRUN c",
        [("FROM", [], "shell", ["a"]), ("RUN", [], "shell", ["b\\\\"]), ("RUN", [], "shell", ["c"])],
    ),
    "nor does a tripled one": (
        b"FROM a\nRUN b\\\\\\\nRUN c",
        [("FROM", [], "shell", ["a"]), ("RUN", [], "shell", ["b\\\\\\"]), ("RUN", [], "shell", ["c"])],
    ),
    "an escape on a line of its own": (
        b"\\\n  FROM a\n\\\n\\\nRUN b",
        [("FROM", [], "shell", ["a"]), ("RUN", [], "shell", ["b"])],
    ),
    "continuation at the end of the file": (
        b"FROM a\nRUN b \\",
        [("FROM", [], "shell", ["a"]), ("RUN", [], "shell", ["b"])],
    ),
    "escape=backtick": (
        b"# escape=`\nFROM a\nRUN b `\n c\nCOPY a\\b C:\\",
        [("FROM", [], "shell", ["a"]), ("RUN", [], "shell", ["b  c"]), ("COPY", [], "shell", ["a\\b", "C:\\"])],
    ),
    "a directive may be indented": (b"  # escape = ` \nFROM `\na", [("FROM", [], "shell", ["a"])]),
    "a directive behind a comment is a comment": (b"# hi\n# escape=`\nFROM \\\na", [("FROM", [], "shell", ["a"])]),
    "a comment that reads like a directive": (
        b"FROM a\n# check=skip=all\nRUN b",
        [("FROM", [], "shell", ["a"]), ("RUN", [], "shell", ["b"])],
    ),
    "empty commands": (
        b"FROM a\nRUN\nCMD []\nENTRYPOINT",
        [
            ("FROM", [], "shell", ["a"]),
            ("RUN", [], "shell", []),
            ("CMD", [], "exec", []),
            ("ENTRYPOINT", [], "shell", []),
        ],
    ),
    "exec form": (
        b'FROM a\nRUN [ "b",\t"\\u00e9\\ud800" ] ',
        [("FROM", [], "shell", ["a"]), ("RUN", [], "exec", ["b", "\xe9\ufffd"])],
    ),
    "broken JSON is shell form": (
        b"FROM a\nRUN ['b']\nCMD [\"c\",]",
        [("FROM", [], "shell", ["a"]), ("RUN", [], "shell", ["['b']"]), ("CMD", [], "shell", ['["c",]'])],
    ),
    "a number beyond a double is broken JSON": (
        b"FROM a\nRUN [1e999]",
        [("FROM", [], "shell", ["a"]), ("RUN", [], "shell", ["[1e999]"])],
    ),
    "NaN is broken JSON": (b"FROM a\nRUN [NaN]", [("FROM", [], "shell", ["a"]), ("RUN", [], "shell", ["[NaN]"])]),
    "flags": (
        b'FROM a\nCOPY --from=b --chown="c d" --link --exclude=e\\ f --exclude=g h i',
        [
            ("FROM", [], "shell", ["a"]),
            ("COPY", ["--from=b", "--chown=c d", "--link", "--exclude=e f", "--exclude=g"], "shell", ["h", "i"]),
        ],
    ),
    "a lone -- ends the flags": (
        b"FROM a\nRUN --network=none -- --mount=x",
        [("FROM", [], "shell", ["a"]), ("RUN", ["--network=none"], "shell", ["--mount=x"])],
    ),
    "flags are read byte by byte": (
        "FROM a\nCOPY --chown=\xe9 b c".encode(),
        [("FROM", [], "shell", ["a"]), ("COPY", ["--chown=\xc3\xa9"], "shell", ["b", "c"])],
    ),
    "a byte of a letter may be a space to it": (
        "FROM a\nRUN --network=none -\xe0".encode(),
        [("FROM", [], "shell", ["a"]), ("RUN", ["--network=none"], "shell", ["-\xe0"])],
    ),
    "flags of ARG, STOPSIGNAL and HEALTHCHECK NONE are never looked at": (
        b"FROM a\nARG --b C\nSTOPSIGNAL --d=e 9\nHEALTHCHECK --f NONE",
        [
            ("FROM", [], "shell", ["a"]),
            ("ARG", ["--b"], "shell", ["C"]),
            ("STOPSIGNAL", ["--d=e"], "shell", ["9"]),
            ("HEALTHCHECK", ["--f"], "shell", ["NONE"]),
        ],
    ),
    "keys of a mount are not looked at yet": (
        b"FROM a\nRUN --mount=type=nonsense,from=b,uid=x c",
        [("FROM", [], "shell", ["a"]), ("RUN", ["--mount=type=nonsense,from=b,uid=x"], "shell", ["c"])],
    ),
    "a mount from a dollar": (
        b"FROM a\nRUN --mount=from=b$ c",
        [("FROM", [], "shell", ["a"]), ("RUN", ["--mount=from=b$"], "shell", ["c"])],
    ),
    "ENV and LABEL": (
        b'FROM a\nENV A=1 B=\'x y\' C=\\ \\\n D="q\\""\nLABEL a.b=c',
        [
            ("FROM", [], "shell", ["a"]),
            ("ENV", [], "shell", ["A", "1", "B", "'x y'", "C", "\\ ", "D", '"q\\""']),
            ("LABEL", [], "shell", ["a.b", "c"]),
        ],
    ),
    "ENV in the old form": (
        b"FROM a\nENV A  b = c",
        [("FROM", [], "shell", ["a"]), ("ENV", [], "shell", ["A", "b = c"])],
    ),
    "ENV with a quote left open": (
        b"FROM a\nENV A='b c",
        [("FROM", [], "shell", ["a"]), ("ENV", [], "shell", ["A", "'b c"])],
    ),
    "ENV with an escape at the end": (
        b"# escape=`\nFROM a\nENV A=b\\ B=c``",
        [("FROM", [], "shell", ["a"]), ("ENV", [], "shell", ["A", "b\\", "B", "c``"])],
    ),
    "HEALTHCHECK": (
        b'FROM a\nHEALTHCHECK --interval=1m30s --timeout=.5s --retries=+3 CMD ["b", "c"]',
        [
            ("FROM", [], "shell", ["a"]),
            ("HEALTHCHECK", ["--interval=1m30s", "--timeout=.5s", "--retries=+3"], "exec", ["CMD", "b", "c"]),
        ],
    ),
    "durations of zero": (
        b"FROM a\nHEALTHCHECK --interval=-0s --timeout=0 --start-period=0.0000000001s --start-interval= cmd b",
        [
            ("FROM", [], "shell", ["a"]),
            (
                "HEALTHCHECK",
                ["--interval=-0s", "--timeout=0", "--start-period=0.0000000001s", "--start-interval="],
                "shell",
                ["cmd", "b"],
            ),
        ],
    ),
    "a duration that wraps around to zero": (
        b"FROM a\nHEALTHCHECK --interval=9223372036854775808ns9223372036854775808ns CMD b",
        [
            ("FROM", [], "shell", ["a"]),
            ("HEALTHCHECK", ["--interval=9223372036854775808ns9223372036854775808ns"], "shell", ["CMD", "b"]),
        ],
    ),
    "a stage named with folded letters": (
        "FROM a A\u017f \u212a8S".encode(),
        [("FROM", [], "shell", ["a", "A\u017f", "\u212a8S"])],
    ),
    "VOLUME and EXPOSE": (
        b'FROM a\nVOLUME /b\t/c\nVOLUME ["/d e"]\nEXPOSE 80 8080/tcp',
        [
            ("FROM", [], "shell", ["a"]),
            ("VOLUME", [], "shell", ["/b", "/c"]),
            ("VOLUME", [], "exec", ["/d e"]),
            ("EXPOSE", [], "shell", ["80", "8080/tcp"]),
        ],
    ),
    "MAINTAINER, USER, WORKDIR and SHELL": (
        b'FROM a\nMAINTAINER b <c>\nUSER d : e\nWORKDIR  /f g\nSHELL ["h"]',
        [
            ("FROM", [], "shell", ["a"]),
            ("MAINTAINER", [], "shell", ["b <c>"]),
            ("USER", [], "shell", ["d : e"]),
            ("WORKDIR", [], "shell", ["/f g"]),
            ("SHELL", [], "exec", ["h"]),
        ],
    ),
    "ONBUILD's trigger is not checked": (
        b"FROM a\nONBUILD COPY --nonsense b\nONBUILD nonsense c",
        [("FROM", [], "shell", ["a"]), ("ONBUILD", [], "shell", []), ("ONBUILD", [], "shell", [])],
    ),
    "ONBUILD looks at the letters of a trigger": (
        "FROM a\nONBUILD ma\u0130ntainer b\nONBUILD onbu\u0130ld RUN c".encode(),
        [("FROM", [], "shell", ["a"]), ("ONBUILD", [], "shell", []), ("ONBUILD", [], "shell", [])],
    ),
    "a quote left open hides a heredoc": (
        b"FROM a\nRUN echo 'it <<EOF\nUSER b",
        [("FROM", [], "shell", ["a"]), ("RUN", [], "shell", ["echo 'it <<EOF"]), ("USER", [], "shell", ["b"])],
    ),
    "no heredoc inside a word, in exec form or elsewhere": (
        b'FROM a\nRUN b<<EOF\nRUN ["<<EOF"]\nCMD <<EOF\nRUN c <<< d <<"" << ',
        [
            ("FROM", [], "shell", ["a"]),
            ("RUN", [], "shell", ["b<<EOF"]),
            ("RUN", [], "exec", ["<<EOF"]),
            ("CMD", [], "shell", ["<<EOF"]),
            ("RUN", [], "shell", ['c <<< d <<"" <<']),
        ],
    ),
}

REFUSED: Final[dict[str, tuple[bytes, int, str]]] = {
    "nothing": (b"", 1, "no instruction"),
    "comments only": (b"# a\n\n#b\n", 3, "no instruction"),
    "an unknown instruction": (b"FROM a\nCOPPY b c", 2, "did you mean COPY"),
    "an unknown instruction far off": (b"FROM a\n\nqqq b", 3, "the instructions are ADD, "),
    "a lone escape": (b"FROM a\n\\", 2, "unknown instruction ''"),
    "an instruction before FROM": (b"ARG A\nRUN b\nFROM c", 2, "begin with FROM"),
    "an escape that is none": (b"# escape=x\nFROM a", 1, "backslash"),
    "an empty escape": (b"# escape= \nFROM a", 1, "escape=' '"),
    "a directive twice": (b"# syntax=a\n# SYNTAX=b\nFROM a", 2, "second 'syntax'"),
    "a line too long": (b"FROM a\nRUN " + b"b" * 65536, 2, "longer than 65535 bytes"),
    "a JSON array of numbers": (b"FROM a\nRUN [1]", 2, "strings only"),
    "a JSON array in an array": (b'FROM a\nCOPY [["b"], "c"]', 2, "strings only"),
    "a JSON array with null": (b"FROM a\nVOLUME [null]", 2, "strings only"),
    "ENV without a value": (b"FROM a\nENV A", 2, "has no value"),
    "ENV with nothing": (b"FROM a\nENV", 2, "write ENV NAME=VALUE"),
    "ENV with a word too many": (b"FROM a\nENV A=b c", 2, "quote a value"),
    "ENV without a name": (b"FROM a\nENV A=b =c", 2, "empty name"),
    "ARG without a name": (b"FROM a\nARG =b", 2, "empty name"),
    "ARG with nothing": (b"FROM a\nARG", 2, "write ARG NAME"),
    "FROM with nothing": (b"FROM", 1, "one or three"),
    "FROM with two": (b"FROM a b", 1, "one or three"),
    "FROM without AS": (b"FROM a of b", 1, "one or three"),
    "a bad name of a stage": (b"FROM a AS 1b", 1, "no name of a stage"),
    "FROM with a flag of COPY": (b"FROM --from=a b", 1, "--platform"),
    "COPY without a destination": (b"FROM a\nCOPY b", 2, "destination"),
    "COPY to a heredoc": (b"FROM a\nCOPY b <<EOF\nEOF", 2, "heredoc as its destination"),
    "ADD --from": (b"FROM a\nADD --from=b c d", 2, "unknown flag '--from' of ADD"),
    "a flag misspelt": (b"FROM a\nCOPY --chmood=1 b c", 2, "did you mean --chmod"),
    "a flag without flags": (b"FROM a\nUSER --b c", 2, "takes none"),
    "a flag twice": (b"FROM a\nCOPY --from=b --from=c d e", 2, "second --from"),
    "a flag without its value": (b"FROM a\nCOPY --from b c", 2, "--from=VALUE"),
    "a switch with an empty value": (b"FROM a\nCOPY --link= b c", 2, "neither true nor false"),
    "a switch with another value": (b"FROM a\nADD --keep-git-dir=yes b c", 2, "neither true nor false"),
    "a network": (b"FROM a\nRUN --network=bridge b", 2, "default, none, host"),
    "an empty security": (b"FROM a\nRUN --security= b", 2, "sandbox, insecure"),
    "an empty mount": (b"FROM a\nRUN --mount= b", 2, "it is empty"),
    "a mount with a stray quote": (b'FROM a\nRUN --mount=a\\"b c', 2, "quote"),
    "a mount from a variable": (b"FROM a\nRUN --mount=from=$b c", 2, "name a stage"),
    "a device named twice": (b"FROM a\nRUN --device=b,name=c d", 2, "second name"),
    "a device's switch": (b"FROM a\nRUN --device=b,required=yes c", 2, "neither true nor false"),
    "a device's stray key": (b"FROM a\nRUN --device=b,c d", 2, "beside the name"),
    "SHELL in shell form": (b"FROM a\nSHELL b", 2, "JSON array"),
    "an empty SHELL": (b"FROM a\nSHELL []", 2, "JSON array"),
    "USER with nothing": (b"FROM a\nUSER", 2, "exactly one"),
    "STOPSIGNAL with nothing": (b"FROM a\nSTOPSIGNAL", 2, "exactly one"),
    "MAINTAINER with a flag": (b"FROM a\nMAINTAINER --b c", 2, "unknown flag"),
    "EXPOSE with nothing": (b"FROM a\nEXPOSE", 2, "at least one"),
    "an empty VOLUME": (b'FROM a\nVOLUME [" "]', 2, "empty path"),
    "HEALTHCHECK with nothing": (b"FROM a\nHEALTHCHECK", 2, "CMD and a command"),
    "HEALTHCHECK of another kind": (b"FROM a\nHEALTHCHECK curl b", 2, "CMD and a command"),
    "HEALTHCHECK CMD with nothing": (b"FROM a\nHEALTHCHECK CMD", 2, "without a command"),
    "HEALTHCHECK NONE with something": (b"FROM a\nHEALTHCHECK NONE b", 2, "remove them"),
    "a duration without a unit": (b"FROM a\nHEALTHCHECK --interval=5 CMD b", 2, "like 30s"),
    "a duration too short": (b"FROM a\nHEALTHCHECK --timeout=1us CMD b", 2, "less than 1ms"),
    "a duration in letters that flags can't hold": (
        "FROM a\nHEALTHCHECK --timeout=9000\xb5s CMD b".encode(),
        2,
        "no duration",
    ),
    "a negative duration": (b"FROM a\nHEALTHCHECK --timeout=-1s CMD b", 2, "less than 1ms"),
    "retries that are no number": (b"FROM a\nHEALTHCHECK --retries=1_0 CMD b", 2, "whole number"),
    "negative retries": (b"FROM a\nHEALTHCHECK --retries=-1 CMD b", 2, "0 or more"),
    "ONBUILD with nothing": (b"FROM a\nONBUILD", 2, "write one behind it"),
    "several: the first is named": (b"FROM a\nUSER\nONBUILD ONBUILD RUN b", 2, "exactly one"),
    "ONBUILD ONBUILD": (b"FROM a\nONBUILD onbuild RUN b", 2, "can't be a trigger"),
    "ONBUILD ONBUILD in letters that Go raises": ("FROM a\nONBUILD ONBU\u0131LD b".encode(), 2, "can't be a trigger"),
    "ONBUILD FROM": (b"FROM a\nONBUILD FROM b", 2, "can't be a trigger"),
    "ONBUILD with a flag": (b"FROM a\nONBUILD --b RUN c", 2, "unknown flag"),
    "ONBUILD with broken arguments": (b"FROM a\nONBUILD ENV A", 2, "has no value"),
    "a heredoc left open": (b"FROM a\nRUN <<EOF\nb\nEOF \n", 2, "write a line 'EOF'"),
    "a heredoc with indented end": (b"FROM a\nRUN <<EOF\n\tEOF\n", 2, "not closed"),
}
