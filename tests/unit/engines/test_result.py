from __future__ import annotations

import json
from pathlib import Path

import pytest

from layercache_ci.engines.containers.result import describe
from layercache_ci.errors import EngineError
from layercache_ci.settings import BuildSettings


def test_the_result_is_written_down_as_buildx_does(tmp_path: Path) -> None:
    settings = BuildSettings(
        context=".", tags=("a:1", "a:2"), iidfile=tmp_path / "iid", metadata_file=tmp_path / "metadata"
    )
    describe("sha256:1", "sha256:2", settings)
    assert (tmp_path / "iid").read_text() == "sha256:1"
    assert json.loads((tmp_path / "metadata").read_text()) == {
        "containerimage.config.digest": "sha256:1",
        "containerimage.digest": "sha256:2",
        "image.name": "a:1,a:2",
    }


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    describe("sha256:1", None, BuildSettings(context=".", metadata_file=tmp_path / "metadata"))
    assert json.loads((tmp_path / "metadata").read_text()) == {"containerimage.config.digest": "sha256:1"}


def test_a_file_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="written down"):
        describe("sha256:1", None, BuildSettings(context=".", iidfile=tmp_path))
