"""By what name the store knows a Dockerfile."""

from __future__ import annotations

from pathlib import Path

import pytest

from layercache_ci.dockerfile.plan import name_of


@pytest.mark.parametrize(
    ("context", "dockerfile", "name"),
    [
        (".", "Dockerfile", "work/Dockerfile"),
        ("app", "app/docker/prod", "app/docker/prod"),
        ("app", "docker/prod", "app/../docker/prod"),
        ("app", "../temp-1/Dockerfile", "app/Dockerfile"),
        ("app", "../temp-2/Dockerfile", "app/Dockerfile"),
        ("../temp-1/app", "../temp-1/app/Dockerfile", "app/Dockerfile"),
    ],
)
def test_a_folder_that_is_another_one_each_time_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: str, dockerfile: str, name: str
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    assert name_of(Path(context), Path(dockerfile)) == name
