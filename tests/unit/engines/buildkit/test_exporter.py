"""What a build that exported its cache by itself has left."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from layercache_ci.engines.buildkit.exporter import Exporter
from layercache_ci.engines.buildkit.session import Reached
from layercache_ci.engines.buildkit.transport import Exported
from layercache_ci.errors import CacheError
from layercache_ci.settings import BuildSettings
from tests.unit.engines.buildkit.plans import vertex
from tests.unit.engines.buildkit.test_run import BUILDER

MANIFEST = json.dumps({"layers": [{"digest": "sha256:l", "mediaType": "m", "size": 1}]}).encode()
CONFIG = json.dumps({"layers": [{"blob": "sha256:l", "parent": -1}], "records": [{"digest": "sha256:r"}]}).encode()
PROVENANCE = {
    "buildConfig": {
        "llbDefinition": [{"id": "step0", "inputs": []}],
        "digestMapping": {"sha256:v": "step0"},
    }
}
STEPS = (vertex(None, 2, 2, digest="sha256:v"),)


@dataclass
class Transport:
    """`left` is what the build exported as its first."""

    left: Exported | None

    def exported(self, number: int) -> Exported:
        if number or self.left is None:
            raise CacheError("the engine exported no cache")
        return self.left

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"asked for {name}")


def exporter(folder: Path, left: Exported | None) -> Exporter:
    reached = Reached(BUILDER, Transport(left), {})
    return Exporter(BuildSettings(context="."), reached, (), folder, stands_in=False)


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps({"buildx.build.provenance": PROVENANCE}))
    return path


def test_a_build_leaves_what_a_solve_of_its_own_would(tmp_path: Path, metadata: Path) -> None:
    export = exporter(tmp_path, Exported(MANIFEST, CONFIG)).along(metadata, STEPS)

    assert export is not None
    assert [layer.blob for layer in export.config.layers] == ["sha256:l"]
    assert export.descriptors["sha256:l"]["size"] == 1
    assert export.provenance.vertices == {"sha256:v": "step0"}
    assert export.steps == STEPS


def test_where_its_export_failed_there_is_none(tmp_path: Path, metadata: Path) -> None:
    """Nobody was told: BuildKit ignores that."""
    assert exporter(tmp_path, None).along(metadata, STEPS) is None


def test_nor_where_nothing_is_known_of_the_build(tmp_path: Path) -> None:
    assert exporter(tmp_path, Exported(MANIFEST, CONFIG)).along(tmp_path / "none.json", STEPS) is None
    assert exporter(tmp_path, Exported(MANIFEST, CONFIG)).along(None, STEPS) is None


def test_nor_where_its_provenance_says_too_little(tmp_path: Path, metadata: Path) -> None:
    metadata.write_text(json.dumps({"buildx.build.provenance": {"builder": {}}}))

    assert exporter(tmp_path, Exported(MANIFEST, CONFIG)).along(metadata, STEPS) is None


def test_nor_where_its_steps_are_not_known(tmp_path: Path, metadata: Path) -> None:
    """The history could not be read: without it nothing says which step is which."""
    assert exporter(tmp_path, Exported(MANIFEST, CONFIG)).along(metadata, ()) is None
