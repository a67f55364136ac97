"""Secrets that come by a pipe, in a build that may start several engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from layercache_ci.engines.buildkit.build import Build, prepare
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.errors import EngineError
from layercache_ci.settings import BuildSettings
from tests.unit.engines.buildkit.fake_docker import calls, fake_docker
from tests.unit.engines.test_secret_pipes import substituted

BUILDER = Builder(name="b", driver="remote", node="n", endpoint="unix:///s", version="v0.34.0", exports_cache=True)
READS = 'for word; do case "$word" in --secret*) cat "${word##*src=}";; esac; done'


def build_of(folder: Path, secret: str, *behind: str) -> Build:
    machine = fake_docker(folder, {"'buildx build'*": f"{{ {READS}; }} >> {folder}/read"})
    settings = BuildSettings(
        context=str(folder), secrets=(secret,), engine_options=behind, store=f"local:{folder}/store"
    )
    return prepare(settings, machine, BUILDER)


def test_each_engine_finds_them(tmp_path: Path) -> None:
    with substituted(b"one,") as one, substituted(b"two,") as two:
        build = build_of(tmp_path, f"id=x,src={one}", "-q", "--secret", f"id=y,src={two}", "--new=option")
        build._keep_secrets(tmp_path)

    assert [build.run(None) for _ in range(2)] == [0, 0]

    assert (tmp_path / "read").read_text() == "one,two," * 2
    assert calls(tmp_path)[0].endswith(f"--new=option {tmp_path}")


def test_no_engine_is_started_once_one_is_lost(tmp_path: Path) -> None:
    """It would build with an empty one."""
    with substituted() as path:
        build = build_of(tmp_path, f"id=x,src={path}")
        with pytest.raises(OSError, match="nowhere"):
            build._keep_secrets(tmp_path / "nowhere")
    build.abandon("as whoever began it does")

    with pytest.raises(EngineError, match="--secret: what came by a pipe can't be kept"):
        build.run(None)
    assert not (tmp_path / "calls").exists()
