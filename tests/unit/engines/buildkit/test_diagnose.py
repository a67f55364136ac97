"""What the doctor says of BuildKit where no builder need be asked for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from layercache_ci.engines.buildkit import diagnose
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.ours import Listed
from layercache_ci.settings import BuildSettings, Machine

NAME = "layercache-0123456789ab"
THEIRS = Builder(name="default", driver="docker", node="default", endpoint="default", version="", exports_cache=False)


def test_a_builder_of_ours_that_does_not_answer_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = replace(THEIRS, name=NAME, driver="", uncached=f"the builder {NAME} does not answer")
    monkeypatch.setattr(diagnose, "find", lambda settings, _machine: silent if settings.builder else THEIRS)
    monkeypatch.setattr(diagnose, "name_of_ours", lambda _builder, _machine: NAME)
    monkeypatch.setattr(diagnose, "list_ours", lambda _machine: (Listed(NAME, "default", "inactive"),))
    lines = list(diagnose.diagnose(BuildSettings(context="."), Machine({}, 0, 1, False)))
    assert (False, f"transport: the builder {NAME} does not answer") in lines
    assert (None, f"builder of ours: {NAME}, inactive, in default") in lines
    assert not [line for good, line in lines if good and line.startswith("transport")]
