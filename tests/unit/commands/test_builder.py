from __future__ import annotations

import pytest

from layercache_ci.cli import run


@pytest.mark.parametrize(
    ("arguments", "named"),
    [([], "ls|rm"), (["prune"], "'prune'"), (["rm", "one", "two"], "two"), (["ls", "one"], "one")],
)
def test_what_is_wrong_is_named(capsys: pytest.CaptureFixture[str], arguments: list[str], named: str) -> None:
    assert run(["builder", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line


def test_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["builder", "--help"])
    assert ended.value.code == 0
    assert "usage: layercache builder" in capsys.readouterr().out
