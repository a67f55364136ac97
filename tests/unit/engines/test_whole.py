from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from layercache_ci.engines.containers.whole import Source, full_name, write_layout


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("app", "localhost/app:latest"),
        ("app:1", "localhost/app:1"),
        ("team/app", "localhost/team/app:latest"),
        ("localhost/app:1", "localhost/app:1"),
        ("registry.example/app", "registry.example/app:latest"),
        ("127.0.0.1:5000/team/app:1", "127.0.0.1:5000/team/app:1"),
    ],
)
def test_names_are_those_that_the_engine_would_give(given: str, full: str) -> None:
    """Seen on Buildah 1.28 and 1.43."""
    assert full_name(given) == full


def test_a_layout_holds_manifest_config_and_the_blobs_that_are_given(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"three")
    sources: dict[str, Source] = {"sha256:abc": lambda: iter([b"one", b"two"]), "sha256:def": tmp_path / "file"}
    write_layout(tmp_path, b"{}", b"config", sources)

    assert (tmp_path / "manifest.json").read_bytes() == b"{}"
    assert (tmp_path / hashlib.sha256(b"config").hexdigest()).read_bytes() == b"config"
    assert (tmp_path / "abc").read_bytes() == b"onetwo"
    assert (tmp_path / "def").read_bytes() == b"three"
