from __future__ import annotations

import hashlib
import json
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
    blobs = tmp_path / "blobs" / "sha256"
    digest = hashlib.sha256(b"{}").hexdigest()
    index = json.loads((tmp_path / "index.json").read_text())
    assert index["manifests"][0]["digest"] == f"sha256:{digest}"
    assert index["manifests"][0]["annotations"] == {"org.opencontainers.image.ref.name": "image"}
    assert (blobs / digest).read_bytes() == b"{}"
    assert (blobs / hashlib.sha256(b"config").hexdigest()).read_bytes() == b"config"
    assert (blobs / "abc").read_bytes() == b"onetwo"
    assert (blobs / "def").read_bytes() == b"three"
