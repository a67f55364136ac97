"""Save: layers out of the engine's storage into the store."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final, cast

from layercache_ci.engines.containers.storage import Storage, StoredLayer
from layercache_ci.errors import CacheError, StoreUnavailable
from layercache_ci.layers.compression import Compressor
from layercache_ci.layers.model import ZSTD_LAYER, Descriptor, Layer
from layercache_ci.layers.tarsplit import TAR_SPLIT, assemble
from layercache_ci.store.model import Store

_SMALL: Final = 32 << 20
"""Bytes; a smaller layer is compressed without threads: there are other layers to keep the processors busy."""


def ship_layers(
    storage: Storage, layers: Iterable[StoredLayer], store: Store, *, held: Mapping[str, Layer], workers: int
) -> dict[str, Layer]:
    """Diff ID → layer in the store, for all of `layers`, those in `held` (never read) among them.

    Each other one is made again from its files and its tar-split and compared with its diff ID before the store shows
    it; one that does not verify, or can't be read or written, is left out with a warning. `workers` layers at a time,
    each in a few MB of memory. Raises StoreUnavailable.
    """
    asked = {layer.diff_id: layer for layer in layers}
    missing = sorted((layer for layer in asked.values() if layer.diff_id not in held), key=lambda layer: -layer.size)
    with ThreadPoolExecutor(workers) as pool:
        shipped = pool.map(lambda layer: _try_ship(storage, layer, store, workers), missing)
        known = {**held, **{layer.diff_id: layer for layer in shipped if layer}}
    return {diff_id: known[diff_id] for diff_id in asked if diff_id in known}


def _try_ship(storage: Storage, layer: StoredLayer, store: Store, workers: int) -> Layer | None:
    try:
        return _ship(storage, layer, store, workers)
    except StoreUnavailable:
        raise
    except (CacheError, OSError) as error:
        logging.getLogger(__name__).warning("layer %s is not saved: %s", layer.id[:12], error)
        return None


def _ship(storage: Storage, layer: StoredLayer, store: Store, workers: int) -> Layer:
    tar_split = _tar_split(storage, layer)
    compressor = Compressor(threads=0 if layer.size < _SMALL else workers)
    found, size = hashlib.sha256(), 0
    with store.new_blob(ZSTD_LAYER) as blob:
        for piece in tar_of(storage, layer):
            found.update(piece)
            size += len(piece)
            if data := compressor.compress(piece):
                blob.write(data)
        if f"sha256:{found.hexdigest()}" != layer.diff_id:
            raise CacheError(f"its files and tar-split make sha256:{found.hexdigest()}, not {layer.diff_id}")
        blob.write(compressor.finish())
        return Layer(layer.diff_id, size, blob.commit(), _ship_file(tar_split, TAR_SPLIT, store))


def tar_of(storage: Storage, layer: StoredLayer) -> Iterator[bytes]:
    """The layer's tar, made again out of its files; unverified. Raises CacheError and OSError."""
    folder = os.fspath(storage.layer_dir(layer.id))
    with _tar_split(storage, layer).open("rb") as split:
        yield from assemble(split, lambda name: _open(folder, name))


def _tar_split(storage: Storage, layer: StoredLayer) -> Path:
    path = storage.tar_split(layer.id)
    if path is None:
        raise CacheError("the engine's storage keeps no tar-split for it")
    return path


def _open(folder: str, name: str) -> BinaryIO:
    return cast("BinaryIO", io.FileIO(f"{folder}/{name}"))


def _ship_file(path: Path, media_type: str, store: Store) -> Descriptor:
    with store.new_blob(media_type) as blob:
        blob.write(path.read_bytes())
        return blob.commit()
