from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from layercache_ci.engines.containers.ship import ship_layers
from layercache_ci.engines.containers.storage import Storage, StoredLayer
from layercache_ci.errors import CacheError, StoreUnavailable
from layercache_ci.layers.compression import decompressed
from layercache_ci.layers.model import ZSTD_LAYER, Descriptor, Layer
from layercache_ci.layers.tarsplit import TAR_SPLIT
from tests.fakes.memory_store import MemoryStore, MemoryWriter
from tests.fakes.tar_split import disassemble, packed, tar_of

LAYERS: Mapping[str, Mapping[str, bytes]] = {
    "small": {"a": b"a" * 700, "d/b": b"", os.fsdecode(b"latin\xe9"): b"c"},
    "large": {f"file{number}": bytes([number]) * 300_000 for number in range(20)},
    "empty": {},
}


def add_layer(root: Path, layer_id: str, files: Mapping[str, bytes]) -> bytes:
    """Store a layer as the engine would; its tar."""
    tar = tar_of(files)
    split, contents = disassemble(tar)
    for name, content in contents.items():
        path = root / "overlay" / layer_id / "diff" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "overlay-layers" / f"{layer_id}.tar-split.gz").write_bytes(packed(split))
    return tar


@pytest.fixture
def tars(tmp_path: Path) -> dict[str, bytes]:
    """Diff ID → tar of the layers in a storage in `tmp_path`."""
    (tmp_path / "overlay-layers").mkdir()
    entries, tars = [], {}
    for layer_id, files in LAYERS.items():
        tar = add_layer(tmp_path, layer_id, files)
        diff_id = f"sha256:{hashlib.sha256(tar).hexdigest()}"
        tars[diff_id] = tar
        entries.append({"id": layer_id, "diff-digest": diff_id, "diff-size": len(tar)})
    (tmp_path / "overlay-layers/layers.json").write_text(json.dumps(entries))
    return tars


def layers_of(storage: Storage) -> list[StoredLayer]:
    return [layer for layer_id in LAYERS for layer in storage.layers(layer_id)]


def test_layers_are_stored_as_their_very_tar_with_their_tar_split(tmp_path: Path, tars: dict[str, bytes]) -> None:
    storage, store = Storage(tmp_path), MemoryStore()
    layers = layers_of(storage)
    shipped = ship_layers(storage, [*layers, *layers], store, held={}, workers=2)
    assert list(shipped) == list(tars)
    for layer, stored in zip(layers, shipped.values(), strict=True):
        assert stored.size == len(tars[stored.diff_id])
        assert stored.blob.media_type == ZSTD_LAYER
        assert b"".join(decompressed(store.open_blob(stored.blob))) == tars[stored.diff_id]
        assert stored.tar_split
        assert stored.tar_split.media_type == TAR_SPLIT
        split = storage.tar_split(layer.id)
        assert split
        assert store.blobs[stored.tar_split.digest] == split.read_bytes()


def test_held_layers_are_not_read(tmp_path: Path, tars: dict[str, bytes]) -> None:
    storage, store = Storage(tmp_path), MemoryStore()
    small, *_ = layers = layers_of(storage)
    assert small.diff_id in tars
    held = {small.diff_id: Layer(small.diff_id, 1, Descriptor(ZSTD_LAYER, "sha256:held", 1))}
    split = storage.tar_split(small.id)
    assert split
    split.unlink()
    shipped = ship_layers(storage, layers, store, held={**held, "sha256:other": held[small.diff_id]}, workers=1)
    assert list(shipped) == list(tars)
    assert shipped[small.diff_id] is held[small.diff_id]


def test_what_does_not_verify_is_left_out_of_the_store_and_told(
    tmp_path: Path, tars: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    storage, store = Storage(tmp_path), MemoryStore()
    (tmp_path / "overlay/large/diff/file3").write_bytes(bytes([4]) * 300_000)
    with caplog.at_level(logging.WARNING):
        shipped = ship_layers(storage, layers_of(storage), store, held={}, workers=2)
    small, large, empty = tars
    assert list(shipped) == [small, empty]
    assert len(store.blobs) == 4
    assert [record.name for record in caplog.records] == ["layercache_ci.engines.containers.ship"]
    assert "layer large is not saved: its files and tar-split make sha256:" in caplog.text
    assert large in caplog.text


class FailingStore(MemoryStore):
    """Takes no blob, and says so with `error`."""

    def __init__(self, error: CacheError) -> None:
        super().__init__()
        self.error = error

    def new_blob(self, media_type: str) -> MemoryWriter:  # noqa: ARG002 - the protocol's
        raise self.error


def test_a_store_that_is_gone_is_the_callers_matter(tmp_path: Path, tars: dict[str, bytes]) -> None:
    storage = Storage(tmp_path)
    with pytest.raises(StoreUnavailable, match="no space"):
        ship_layers(storage, layers_of(storage), FailingStore(StoreUnavailable("no space")), held={}, workers=2)
    assert ship_layers(storage, layers_of(storage), FailingStore(CacheError("this one")), held={}, workers=2) == {}
    assert len(tars) == len(LAYERS)


def test_nothing_to_ship_is_nothing(tmp_path: Path) -> None:
    assert ship_layers(Storage(tmp_path), [], MemoryStore(), held={}, workers=2) == {}
