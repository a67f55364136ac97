"""Pushes by Podman and Buildah: what the registry has is not sent again, though the engine forgot that it has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeEngine
from tests.lab.engine import Engine
from tests.lab.lab import Lab
from tests.lab.registry import Logged, logged

DOCKERFILE = """ARG BASE
FROM $BASE
COPY first /first
RUN cat /first > /made
COPY last /last
"""
LAYERS = 4


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Logged]:
    with logged(tmp_path / "registry") as found:
        yield found


def push(lab: Lab, engine: Engine, registry: Logged, folder: Path, *options: str) -> None:
    store = folder.parent / "store"
    engine.build(
        "--store", f"local:{store}", "--network", "host", "--build-arg", f"BASE={lab.busybox}", *options,
        "-t", f"{registry.address}/app:1", "--push", folder, "--", "--tls-verify=false",
    )  # fmt: skip


WAYS = {"buildah": ("buildah-sid",), "podman": ("podman-sid",), "on the image store": ("buildah-sid", "--keep-store")}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_the_registry_has_is_not_sent_again(
    lab: Lab, make_engine: MakeEngine, registry: Logged, tmp_path: Path, way: tuple[str, ...]
) -> None:
    """Each time on an emptied engine: nothing changed, and then the last file, whose layer alone is sent with the new
    image's config."""
    kind, *options = way
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "first").write_text("1")
    sent, layers = [], []
    for last in ("1", "1", "2"):
        (folder / "last").write_text(last)
        before = registry.uploads
        push(lab, make_engine(kind), registry, folder, *options)
        sent.append(registry.uploads - before)
        layers.append(registry.layers("app:1"))

    assert len(layers[0]) == LAYERS
    assert layers[1] == layers[0]
    assert layers[2][:-1] == layers[0][:-1]
    assert sent == [LAYERS + 1, 0, 2]
