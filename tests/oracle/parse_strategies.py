"""Dockerfiles made up by hypothesis, and the edits that it makes to real ones."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st


def words(text: str) -> list[str]:
    return text.split()


KEYWORDS: Final = words(
    "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME "
    "WORKDIR"
)
CHARACTERS: Final = " \t\v\f\x1c\x1f\x00\"'\\`#$<=[]{},-\n\xe9\xe0\x85\xa0\u2028\u0130\u212a\u017f\ufeff"
PIECES: Final = [
    *(text.encode() for text in [*CHARACTERS, "\r\n", "\\\n", "`\n", *(f"{keyword} " for keyword in KEYWORDS)]),
    *b"\xff \xc3 \xa9 \xe2\x80 \xa0 \x85 \xb5".split(),
    *b'<<EOF <<-EOF <<"EOF" 3<<EOF << <<E\\OF [] ["a",\t"b"] "] null 1 1e999 \\u00e9 \\ud800'.split(),
    *b"AS a=b ${ ${A:-b} $A -- x".split(),
    *(b"EOF\n", b"\tEOF\r\n", b"\n# escape=`\n", b"\n# syntax=x\n", b"\n# check=skip=all\n", b"\nFROM a AS b\n"),
    *b"--from=a --from=$A --chown=a:b --link --link=false --parents --exclude=x --exclude --platform=$X".split(),
    *b"--checksum=a --keep-git-dir --unpack=TRUE --network=none --network=x --security=insecure --device=a,b".split(),
    *b'--mount=from=$A --mount=from=a$ --mount= --mount="a --mount=\'type=cache,"x=y"\' --device=a,required=T'.split(),
    *b"CMD NONE --interval=1s --interval=0 --timeout=1us --timeout=.5h2m --retries=-0 --retries=0x1".split(),
]
FRAGMENTS: Final = st.one_of(st.sampled_from(PIECES), st.binary(max_size=2))

EDITS: Final = st.lists(
    st.tuples(st.sampled_from(["delete", "insert", "double", "cut line", "copy line"]), st.floats(0, 1), FRAGMENTS),
    min_size=1,
    max_size=5,
)


def edited(data: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    """`data` after each edit, made at that fraction of its length."""
    for kind, where, fragment in edits:
        at = int(where * len(data))
        lines = data.splitlines(keepends=True) or [b""]
        line = int(where * (len(lines) - 1))
        match kind:
            case "delete":
                data = data[:at] + data[at + 1 :]
            case "insert":
                data = data[:at] + fragment + data[at:]
            case "double":
                data = data[:at] + data[at : at + 1] + data[at:]
            case "cut line":
                data = b"".join(lines[:line] + lines[line + 1 :])
            case _:
                data = b"".join([*lines[:line], lines[line], *lines[line // 2 :]])
    return data


LINES: Final = st.builds(
    lambda start, keyword, pieces, end: start + keyword.encode() + b" " + b"".join(pieces) + end,
    st.sampled_from([b"", b"", b"", b" ", b"ONBUILD ", b"onbuild "]),
    st.sampled_from(KEYWORDS),
    st.lists(st.one_of(FRAGMENTS, st.sampled_from([b" ", b"a"])), max_size=9),
    st.sampled_from([b"\n", b"\n", b"\r\n", b"", b"\nx\nEOF\n", b"\\\n#\n\n"]),
)
GENERATED: Final = st.builds(
    lambda head, lines: head + b"FROM a\n" + b"".join(lines),
    st.sampled_from([b"", b"", b"# escape=`\n", b"#syntax=x\n# ESCAPE = ` \n", b"\xef\xbb\xbf", b"ARG A\n"]),
    st.lists(LINES, min_size=1, max_size=3),
)


HEADS: Final = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"# ",
                b"// ",
                b"#!x\n",
                b'{"syntax":"x"}',
                b"syntax=a b\n",
                b"Syntax = a \r\n",
                b"escape=`\n",
                b"check=a\n",
            ]
        ),
        st.sampled_from(
            [
                b'"\\ud800"',
                b"\xff",
                b",",
                b'{"syntax":',
                b'"a"}',
                b"1e999",
                b"NaN",
                b"\xef\xbb\xbf",
                b" ",
                b"\n",
                b"=",
                b"x" * 65536,
            ]
        ),
    ),
    max_size=7,
).map(b"".join)


MOUNT_KEYS: Final = st.sampled_from(
    words(
        "type from source src target dst destination readonly ro readwrite rw id sharing required size env mode uid "
        "gid Type RO x"
    )
)
SIZES: Final = st.sampled_from(
    [
        "",
        "1 k",
        "1 ",
        "1\u212a",
        *words("1 9 1_0e1_0B 1__0 1_ _1 1kb 1.5GiB 2M 1e3k .5m 1.k 5b 5bb 5kib 5ib 5kk -1 +1 -0 1_0 0x10 1e999 k ."),
    ]
)
MOUNT_VALUES: Final = st.one_of(
    SIZES,
    st.sampled_from(
        words("bind cache tmpfs secret ssh SSH volume shared private LOCKED true false 1 0 T yes /a a$ $a")
    ),
    st.sampled_from(['"', "\u0130d", *words("0755 0o7 8 4294967295 4294967296")]),
)
MOUNT_FIELDS: Final = st.one_of(
    MOUNT_KEYS,
    st.builds("{}={}".format, MOUNT_KEYS, MOUNT_VALUES),
    st.builds('"{}={}"'.format, MOUNT_KEYS, MOUNT_VALUES),
    st.builds("type=tmpfs,size={}".format, SIZES),
    st.builds("type=secret,id=a,{}={}".format, MOUNT_KEYS, MOUNT_VALUES),
    st.sampled_from(["type=cache", "type=tmpfs", "type=secret", "target=/a", "", '"a""b=c"', 'a"b', "size=1m"]),
)


DEVICE_FIELDS: Final = st.sampled_from(
    [
        "",
        '"a""b"',
        '"name=a"',
        'a"',
        '"',
        '"a"b',
        *words("a a=b name=a NAME= name required Required=T required=x required="),
    ]
)

TIMES: Final = st.lists(
    st.sampled_from(
        words(
            "0 1 5 9 .5 1. . - + ns us ms s m h d 9223372036854775807 9223372036854775808 1ms 1000us 0.001s "
            "0.0000000001h 2562047h47m16.854775807s 0.99999999999999999999ms"
        )
    ),
    max_size=5,
).map("".join)
RETRIES: Final = st.sampled_from(words("0 3 -0 +3 -1 2147483647 2147483648 1_0 0x1 \u0663 3.0 --"))
