"""The Dockerfile parser beside BuildKit's own: both must refuse, or both print the same value."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layercache_ci.commands.parse import as_json
from layercache_ci.dockerfile.directives import detect_syntax
from layercache_ci.dockerfile.instructions import Mount, mounts
from layercache_ci.dockerfile.parser import parse
from layercache_ci.dockerfile.text import printable
from layercache_ci.errors import DockerfileError, InputError
from tests.oracle.client import HERE, Oracle, Refused
from tests.oracle.parse_strategies import (
    DEVICE_FIELDS,
    EDITS,
    GENERATED,
    HEADS,
    MOUNT_FIELDS,
    RETRIES,
    TIMES,
    edited,
)
from tests.oracle.parse_vectors import ACCEPTED, REFUSED

EXAMPLES: Final = settings(
    max_examples=int(os.environ.get("LAYERCACHE_PARSE_EXAMPLES", "300")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
HAND_MADE: Final = sorted((HERE / "dockerfiles").glob("*.Dockerfile"))


def ours(data: bytes) -> tuple[Any, int]:
    """What our verb prints, or None and the line where it refuses; a refusal is one line that names the place."""
    try:
        dockerfile = parse(data, name="Dockerfile")
    except DockerfileError as error:
        refusal = error
    else:
        return json.loads(json.dumps(as_json(dockerfile))), 0
    assert len(str(refusal).splitlines()) == 1, refusal
    assert 1 <= refusal.line <= data.count(b"\n") + 1, refusal
    return None, refusal.line


def theirs(oracle: Oracle, op: str, data: bytes) -> tuple[Any, int | None]:
    """What BuildKit says, or None where it refuses, and the line if it names one."""
    try:
        return oracle.ask(op, data=base64.b64encode(data).decode()), 0
    except Refused as error:
        refusal = str(error)
    assert not refusal.startswith(("panic", "oracle")), refusal
    named = re.match(r"dockerfile parse error on line (\d+): ", refusal)
    return None, int(named.group(1)) if named else None


def agree(oracle: Oracle, data: bytes) -> bool:
    mine, mine_line = ours(data)
    value, line = theirs(oracle, "parse", data)
    return bool(mine == value) and line in (None, mine_line)


def disagreements(oracle: Oracle, named: Iterable[tuple[str, bytes]]) -> list[str]:
    return [name for name, data in named if not agree(oracle, data)]


def go(*arguments: str) -> Path:
    """The folder that a go command prints."""
    done = subprocess.run(["go", *arguments], cwd=HERE, check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def real_files() -> list[Path]:
    """BuildKit's own test vectors and every other Dockerfile of the modules that the oracle is made of."""
    paths = (
        path
        for path in go("env", "GOMODCACHE").rglob("*")
        if re.search("(docker|container)file", str(path), re.IGNORECASE)
    )
    found = [path for path in paths if path.suffix not in {".go", ".md"} and path.is_file()]
    assert sum("dockerfile/parser/testfiles" in str(path) for path in found) >= 30
    return sorted(found)


def test_buildkits_vectors_and_every_real_file(oracle: Oracle, real_files: list[Path]) -> None:
    assert disagreements(oracle, ((str(path), path.read_bytes()) for path in real_files)) == []


def test_every_dockerfile_quoted_in_buildkits_own_tests_and_documents(oracle: Oracle) -> None:
    texts: set[bytes] = set()
    for path in (go("list", "-m", "-f", "{{.Dir}}", "github.com/moby/buildkit") / "frontend").rglob("*.*"):
        if path.suffix == ".go":
            texts.update(re.findall(rb"`([^`]*)`", path.read_bytes()))
        elif path.suffix == ".md":
            texts.update(re.findall(rb"```\w*\n(.*?)```", path.read_bytes(), re.DOTALL))
    assert sum(b"FROM" in text for text in texts) > 500
    assert disagreements(oracle, ((repr(text), text) for text in texts)) == []
    assert disagreements(oracle, ((repr(text), b"FROM a\n" + text) for text in texts)) == []


def test_hand_made_files_are_accepted_and_agree(oracle: Oracle) -> None:
    assert len(HAND_MADE) >= 5
    assert disagreements(oracle, ((path.name, path.read_bytes()) for path in HAND_MADE)) == []
    assert [path.name for path in HAND_MADE if ours(path.read_bytes())[0] is None] == []


def test_each_file_cut_short_anywhere(oracle: Oracle) -> None:
    whole = [(path.name, path.read_bytes()) for path in HAND_MADE]
    cuts = ((f"{name}[:{end}]", data[:end]) for name, data in whole for end in range(0, len(data), 7))
    assert disagreements(oracle, cuts) == []


def test_the_vectors_of_the_unit_tests(oracle: Oracle) -> None:
    accepted = {name: data for name, (data, _) in ACCEPTED.items()}
    refused = {name: data for name, (data, _, _) in REFUSED.items()}
    assert disagreements(oracle, (accepted | refused).items()) == []
    assert [name for name, data in accepted.items() if theirs(oracle, "parse", data)[0] is None] == []
    assert [name for name, data in refused.items() if theirs(oracle, "parse", data)[0] is not None] == []


def test_lines_at_the_limit(oracle: Oracle) -> None:
    for size in (65534, 65535, 65536):
        for start, end in (
            (b"RUN ", b""),
            (b"RUN ", b"\n"),
            (b"RUN <<E\n", b"\nE\n"),
            (b"RUN b\\\n", b"\r\n"),
            (b"#", b"\nRUN x"),
        ):
            data = b"FROM a\n" + start + b"b" * (size - len(start.rpartition(b"\n")[2])) + end
            assert agree(oracle, data), (size, start, end)


@EXAMPLES
@given(where=st.floats(0, 1), edits=EDITS)
def test_real_files_edited(
    oracle: Oracle, real_files: list[Path], where: float, edits: list[tuple[str, float, bytes]]
) -> None:
    files = [*real_files, *HAND_MADE]
    data = edited(files[int(where * (len(files) - 1))].read_bytes(), edits)
    assert agree(oracle, data)


@EXAMPLES
@given(data=GENERATED)
def test_generated_files(oracle: Oracle, data: bytes) -> None:
    assert agree(oracle, data)


@EXAMPLES
@given(data=HEADS)
def test_where_the_frontend_is_named(oracle: Oracle, data: bytes) -> None:
    found = detect_syntax(data)
    value = found and {"name": found.name, "value": printable(found.value), "line": found.line}
    assert value == theirs(oracle, "detect_syntax", data)[0]


@EXAMPLES
@given(fields=st.lists(MOUNT_FIELDS, max_size=5))
def test_mounts(oracle: Oracle, fields: list[str]) -> None:
    data = f"FROM a\nRUN --mount='{','.join(fields)}' x".encode()
    expected, _ = theirs(oracle, "mounts", data)
    try:
        found = mounts(parse(data, name="f").instructions[1], lambda word: word)
    except InputError as error:
        refusal = str(error)
    else:
        assert expected is not None
        assert found == tuple(map(_mount, expected))
        return
    assert expected is None, refusal
    assert len(refusal.splitlines()) == 1


def _mount(value: dict[str, Any]) -> Mount:
    """BuildKit's zero values are our None, except where it keeps them apart itself."""
    absent = {key: value[key] or None for key in ("source", "target", "from_", "id", "sharing", "size")}
    return Mount(**(value | absent))


@EXAMPLES
@given(fields=st.lists(DEVICE_FIELDS, max_size=4))
def test_devices(oracle: Oracle, fields: list[str]) -> None:
    assert agree(oracle, f"FROM a\nRUN --device='{','.join(fields)}' x".encode())


@EXAMPLES
@given(interval=TIMES, retries=RETRIES)
def test_durations_and_retries(oracle: Oracle, interval: str, retries: str) -> None:
    data = f"FROM a\nHEALTHCHECK --interval={interval} --retries={retries} CMD x".encode()
    assert agree(oracle, data)
