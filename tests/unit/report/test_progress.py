from __future__ import annotations

import io

from layercache_ci.report.progress import CLEAR, Voice


class Closed(io.StringIO):
    def write(self, _text: str) -> int:
        raise BrokenPipeError


def test_on_a_terminal_a_status_comes_and_goes() -> None:
    out = io.StringIO()
    voice = Voice(out, terminal=True)
    with voice.doing("restoring"):
        voice.say("a line")
    assert out.getvalue() == f"layercache: restoring …layercache: a line\n{CLEAR}"


def test_elsewhere_only_lines_that_stay() -> None:
    out = io.StringIO()
    voice = Voice(out, terminal=False)
    with voice.doing("restoring"):
        pass
    voice.say("done")
    assert out.getvalue() == "layercache: done\n"


def test_a_reader_that_went_away_ends_nothing() -> None:
    with Voice(Closed(), terminal=True).doing("restoring"):
        went_on = True
    assert went_on
