"""Restore: a read-only additional image store of Podman's and Buildah's, made from the store's layers.

The engine finds the images in it as if they were its own (storage.conf, `additionalimagestores`), so that its lookup
for cached steps hits without a pull. The layout is that of containers-storage with the overlay driver, see storage.py.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layercache_ci.engines.containers.storage import StoredImage, big_data_file
from layercache_ci.errors import CacheError
from layercache_ci.layers.compression import decompressed
from layercache_ci.layers.extract import CannotExtract, Owners, extract
from layercache_ci.layers.model import Layer
from layercache_ci.store.model import Store

_UNSET: Final = 0o5700
"""The mode of a layer's root directory before its tar says otherwise: one that no tar has."""


@dataclass(frozen=True, slots=True)
class RestoredImage:
    """An image to restore, and the whole chain of its layers, base first."""

    image: StoredImage
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """What `write_image_store` wrote. `damaged` maps the diff ID of each layer that could not be restored to the
    reason; layers on top of such a one and images that need it are left out without being named. `bytes_read` counts
    what was read from the store."""

    path: Path
    images: int
    layers: int
    bytes_read: int
    damaged: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Placed:
    """A layer at its place in a chain; `below` are the links of the layers that it lies on, the nearest first."""

    id: str
    parent: str | None
    below: tuple[str, ...]
    layer: Layer
    created: str

    @property
    def link(self) -> str:
        """The short name that overlayfs's mount options use (26 characters, drivers/overlay/overlay.go)."""
        return base64.b32encode(hashlib.sha256(self.id.encode()).digest())[:26].decode()


def write_image_store(
    destination: Path, images: Sequence[RestoredImage], store: Store, *, workers: int, rootless: bool = False
) -> Restored:
    """Write an additional image store that holds `images`, in that order: the engine takes the first that fits.

    It is made beside `destination`, which must not exist, and renamed when complete. A layer that can't be read from
    the store as it should be takes with it what needs it, and is named in the result. Raises CacheError, and leaves
    nothing behind, where `destination` can't be written.
    """
    work = destination.parent / f".{destination.name}.{secrets.token_hex(4)}"
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        restored = _write(work, images, store, workers, rootless=rootless)
        work.rename(destination)
    except OSError as error:
        raise CacheError(f"the image store can't be written to {destination}: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Restored(destination, *restored)


def _write(
    work: Path, images: Sequence[RestoredImage], store: Store, workers: int, *, rootless: bool
) -> tuple[int, int, int, dict[str, str]]:
    for folder in (work, work / "overlay", work / "overlay" / "l", work / "overlay-layers", work / "overlay-images"):
        folder.mkdir(0o700)
    placed = {layer.id: layer for image in images for layer in _chain(image)}
    by_size = sorted(placed.values(), key=lambda layer: -layer.layer.size)
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(lambda layer: _try_extract(work, layer, store, rootless=rootless), by_size)
        outcomes = {layer.id: outcome for layer, outcome in zip(by_size, results, strict=True)}
    owners: dict[str, Owners] = {}
    damaged: dict[str, str] = {}
    for layer in placed.values():
        outcome = outcomes[layer.id]
        if isinstance(outcome, str):
            damaged[layer.layer.diff_id] = outcome
        elif layer.parent is None or layer.parent in owners:
            owners[layer.id] = outcome
            _set_root(work, layer)
            continue
        _remove(work, layer)
    whole = [image for image in images if not image.layers or _chain(image)[-1].id in owners]
    _write_json(work / "overlay-layers" / "layers.json", [_layer_entry(placed[key], owners[key]) for key in owners])
    count = _write_images(work / "overlay-images", whole)
    for lock in ("overlay-layers/layers.lock", "overlay-images/images.lock", "storage.lock"):
        (work / lock).touch()
    return count, len(owners), sum(_stored_size(layer.layer) for layer in by_size), damaged


def _chain(image: RestoredImage) -> list[_Placed]:
    """The layers with the IDs that containers-storage gives them (c/image, storage_dest.go): the hex digits of the diff
    ID for a base, the SHA-256 of `<parent's ID>+<hex digits of the diff ID>` above it."""
    chain: list[_Placed] = []
    for layer in image.layers:
        own = layer.diff_id.removeprefix("sha256:")
        if chain:
            own = hashlib.sha256(f"{chain[-1].id}+{own}".encode()).hexdigest()
        below = (chain[-1].link, *chain[-1].below) if chain else ()
        chain.append(_Placed(own, chain[-1].id if chain else None, below, layer, image.image.created))
    return chain


def _try_extract(work: Path, placed: _Placed, store: Store, *, rootless: bool) -> Owners | str:
    """The owners of the layer's files or, where it can't be restored, the reason."""
    _make_layer(work / "overlay", placed)
    try:
        with store.open_blob(placed.layer.blob) as blob:
            folder = work / "overlay" / placed.id / "diff"
            owners = extract(decompressed(blob), placed.layer.diff_id, folder, rootless=rootless)
        if placed.layer.tar_split:
            with store.open_blob(placed.layer.tar_split) as split:
                (work / "overlay-layers" / f"{placed.id}.tar-split.gz").write_bytes(split.read())
    except CannotExtract:
        raise
    except CacheError as error:
        return str(error)
    return owners


def _make_layer(overlay: Path, placed: _Placed) -> None:
    folder = overlay / placed.id
    folder.mkdir(0o700)
    for name in ("diff", "work", "merged") if placed.below else ("diff", "work", "merged", "empty"):
        (folder / name).mkdir(0o700)
    (folder / "diff").chmod(_UNSET)
    (folder / "link").write_text(placed.link)
    if placed.below:
        (folder / "lower").write_text(":".join(f"l/{link}" for link in placed.below))
    (overlay / "l" / placed.link).symlink_to(f"../{placed.id}/diff")


def _set_root(work: Path, placed: _Placed) -> None:
    """A root directory that the layer's tar does not mention is its parent's (drivers/overlay/overlay.go, create)."""
    root = work / "overlay" / placed.id / "diff"
    if stat.S_IMODE(root.stat().st_mode) != _UNSET:
        return
    if placed.parent is None:
        root.chmod(0o555)
        return
    parent = (work / "overlay" / placed.parent / "diff").stat()
    os.chown(root, parent.st_uid, parent.st_gid)
    root.chmod(stat.S_IMODE(parent.st_mode))


def _remove(work: Path, placed: _Placed) -> None:
    (work / "overlay" / "l" / placed.link).unlink()
    (work / "overlay-layers" / f"{placed.id}.tar-split.gz").unlink(missing_ok=True)
    shutil.rmtree(work / "overlay" / placed.id)


def _layer_entry(placed: _Placed, owners: Owners) -> dict[str, object]:
    """What a layer that was built here has in layers.json: it was never compressed."""
    layer = placed.layer
    entry: dict[str, object] = {
        "id": placed.id,
        "parent": placed.parent,
        "created": placed.created,
        "compressed-diff-digest": layer.diff_id,
        "compressed-size": layer.size,
        "diff-digest": layer.diff_id,
        "diff-size": layer.size,
        "uidset": sorted(owners.uids),
        "gidset": sorted(owners.gids),
    }
    return {key: value for key, value in entry.items() if value}


def _write_images(folder: Path, images: Iterable[RestoredImage]) -> int:
    """images.json and the big data; how many. An ID or a name that comes twice belongs to the first image: containers-
    storage refuses a read-only store in which a name occurs twice."""
    entries: dict[str, dict[str, object]] = {}
    taken: set[str] = set()
    for restored in images:
        image = restored.image
        if image.id in entries:
            continue
        names = [name for name in image.names if name not in taken]
        taken.update(names)
        chain = _chain(restored)
        entries[image.id] = _image_entry(image, names, chain[-1].id if chain else None)
        (folder / image.id).mkdir(0o700)
        for name, data in image.big_data.items():
            (folder / image.id / big_data_file(name)).write_bytes(data)
    _write_json(folder / "images.json", list(entries.values()))
    return len(entries)


def _image_entry(image: StoredImage, names: Sequence[str], top_layer: str | None) -> dict[str, object]:
    entry: dict[str, object] = {
        "id": image.id,
        "digest": image.digest,
        "names": names,
        "layer": top_layer,
        "metadata": image.metadata,
        "big-data-names": list(image.big_data),
        "big-data-sizes": {name: len(data) for name, data in image.big_data.items()},
        "big-data-digests": {
            name: f"sha256:{hashlib.sha256(data).hexdigest()}" for name, data in image.big_data.items()
        },
        "created": image.created,
    }
    return {key: value for key, value in entry.items() if value}


def _stored_size(layer: Layer) -> int:
    return layer.blob.size + (layer.tar_split.size if layer.tar_split else 0)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, separators=(",", ":")))
