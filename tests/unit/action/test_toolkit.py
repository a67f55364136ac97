"""What the runner is told: its files where they are, and commands on standard output."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from layercache_ci.action import toolkit
from layercache_ci.errors import EngineError


@pytest.mark.parametrize(
    ("tell", "variable"),
    [
        (toolkit.set_output, "GITHUB_OUTPUT"),
        (toolkit.save_state, "GITHUB_STATE"),
        (toolkit.export_variable, "GITHUB_ENV"),
    ],
)
def test_a_value_of_several_lines_goes_to_the_runners_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Callable[[str, str], None], variable: str
) -> None:
    file = tmp_path / "file"
    file.write_text("before\n")
    monkeypatch.setenv(variable, str(file))
    monkeypatch.setenv("LC_TEST", "")
    tell("LC_TEST", "one\nLC_OTHER=two")
    assert re.fullmatch(r"before\nLC_TEST<<(\S+)\none\nLC_OTHER=two\n\1\n", file.read_text())


def test_a_file_that_is_gone_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "gone"))
    with pytest.raises(EngineError, match="the runner's GITHUB_OUTPUT"):
        toolkit.set_output("a", "b")


def test_a_runner_without_files_is_told_by_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in ("OUTPUT", "PATH"):
        monkeypatch.delenv(f"GITHUB_{file}", raising=False)
    toolkit.set_output("a", "1\n2")
    toolkit.add_path("/bin")
    assert capsys.readouterr().out == "::set-output name=a::1%0A2\n::add-path::/bin\n"


def test_what_is_said_to_the_runner_loads_no_http_client() -> None:
    script = "import sys, layercache_ci.action.toolkit; sys.exit('requests' in sys.modules or 'ssl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_annotations_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    toolkit.error("100%\n::warning::x")
    toolkit.warning("w")
    toolkit.notice("n")
    assert capsys.readouterr().out == "::error::100%25%0A::warning::x\n::warning::w\n::notice::n\n"


def test_what_is_blank_is_not_masked(capsys: pytest.CaptureFixture[str]) -> None:
    toolkit.add_mask("a\nb")
    toolkit.add_mask(" ")
    assert capsys.readouterr().out == "::add-mask::a%0Ab\n"


def test_no_command_is_obeyed_within_the_bracket_and_no_token_is_used_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tokens = set()
    for _ in range(2):
        with pytest.raises(KeyError), toolkit.stopped_commands():
            raise KeyError
        found = re.fullmatch(r"::stop-commands::([0-9a-f]{32})\n::\1::\n", capsys.readouterr().out)
        assert found
        tokens.add(found[1])
    assert len(tokens) == 2


def test_a_group_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), toolkit.group("title"):
        raise KeyError
    assert capsys.readouterr().out == "::group::title\n::endgroup::\n"


def test_the_summary_is_added_to(tmp_path: Path) -> None:
    file = tmp_path / "summary"
    file.write_text("# theirs\n")
    assert toolkit.append_summary("ours", {"GITHUB_STEP_SUMMARY": str(file)})
    assert file.read_text() == "# theirs\nours\n"
    assert not toolkit.append_summary("ours", {})


def test_state_comes_back_by_the_environment() -> None:
    assert (toolkit.get_state("pid", {"STATE_pid": "7"}), toolkit.get_state("pid", {})) == ("7", "")
