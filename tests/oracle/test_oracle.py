from __future__ import annotations

import pytest

from tests.oracle.client import Oracle, Refused


def test_an_unknown_question_is_refused(oracle: Oracle) -> None:
    with pytest.raises(Refused, match="unknown op nonsense"):
        oracle.ask("nonsense")
