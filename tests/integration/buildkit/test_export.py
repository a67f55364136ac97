"""The solve that exports: a process that may get stuck, or that nobody waits for any more."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from layercache_ci.engines.buildkit import export
from layercache_ci.engines.buildkit.export import solve
from layercache_ci.errors import CacheError
from tests.waiting import has_ended, until

ENVIRONMENT = dict(os.environ)


def _stuck(folder: Path) -> list[str]:
    """A command that says one thing and then nothing, with a child, whose pid is in `folder`."""
    return ["sh", "-c", f"cd {folder}; echo begun >&2; sleep 600 & echo $! >new; mv new child; wait"]


def _set_once(given_up: threading.Event, there: Path) -> None:
    until(there.exists)
    given_up.set()


def _ended(folder: Path) -> None:
    until(lambda: has_ended(int((folder / "child").read_text())))


def test_one_that_is_given_up_ends_with_all_that_it_started(tmp_path: Path) -> None:
    given_up = threading.Event()
    waiting = threading.Thread(target=_set_once, args=(given_up, tmp_path / "child"))
    waiting.start()
    with pytest.raises(CacheError, match="given up"):
        solve(_stuck(tmp_path), ENVIRONMENT, given_up=given_up.is_set)
    waiting.join()
    _ended(tmp_path)


def test_one_that_says_nothing_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "SILENCE", 2.0)
    with pytest.raises(CacheError, match="said nothing of its export for 2 s"):
        solve(_stuck(tmp_path), ENVIRONMENT)
    _ended(tmp_path)


def test_it_has_the_descriptors_that_we_were_given(tmp_path: Path) -> None:
    """`--secret src=/dev/fd/63`, as shells make it, is read again by the export."""
    (tmp_path / "given").write_text("secret")
    with (tmp_path / "given").open() as given:
        os.set_inheritable(given.fileno(), True)
        solve(["sh", "-c", f"cat /dev/fd/{given.fileno()} >{tmp_path}/read"], ENVIRONMENT)
    assert (tmp_path / "read").read_text() == "secret"
