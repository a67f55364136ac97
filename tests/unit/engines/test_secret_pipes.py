"""A secret that comes by a pipe is there as often as it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from layercache_ci.aside import aside
from layercache_ci.engines.secret_pipes import kept

VALUE = b"hunter2\n" * 20_000
"""More than a pipe holds."""


@contextmanager
def substituted(value: bytes = VALUE) -> Iterator[str]:
    """As a shell's `<(command)`."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(value)

    written = aside(write)
    try:
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)
    written.result()


@pytest.mark.parametrize("form", ["id=x,src={}", "source={},id=x", "type=file,id=x,SRC={}", '"id=x","src={}"'])
def test_its_content_is_in_a_file_of_ours_alone(tmp_path: Path, form: str) -> None:
    with substituted() as path:
        said = kept(form.format(path), tmp_path)

    (file,) = tmp_path.iterdir()
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (VALUE, 0o600)
    assert said == form.replace('"', "").format(file)


def test_two_secrets_out_of_one_pipe_are_the_same(tmp_path: Path) -> None:
    with substituted() as path:
        one, two = (kept(f"id={name},src={path}", tmp_path) for name in "xy")

    assert one.partition(",")[2] == two.partition(",")[2]
    assert Path(one.rpartition("=")[2]).read_bytes() == VALUE


def test_a_name_that_would_be_two_fields_is_one(tmp_path: Path) -> None:
    folder = tmp_path / 'a,"b'
    folder.mkdir()
    with substituted() as path:
        said = kept(f"id=x,src={path}", folder)

    (file,) = folder.iterdir()
    assert said == f'id=x,"src={str(file).replace(chr(34), chr(34) * 2)}"'


@pytest.mark.parametrize("secret", ["id=x", "id=x,src={}/file", "id=x,src={}/nowhere", "id=x,env=A", "", '"id=x'])
def test_what_is_no_pipe_stays_as_it_was_given(tmp_path: Path, secret: str) -> None:
    (tmp_path / "file").write_text("secret")
    given = secret.format(tmp_path)

    assert kept(given, tmp_path) == given
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_name_of_a_variable_is_no_file(tmp_path: Path) -> None:
    with substituted(b"") as path:
        assert kept(f"type=env,id=x,src={path}", tmp_path) == f"type=env,id=x,src={path}"


def test_what_was_read_and_is_lost_is_an_error(tmp_path: Path) -> None:
    with substituted() as path, pytest.raises(FileNotFoundError):
        kept(f"id=x,src={path}", tmp_path / "nowhere")
