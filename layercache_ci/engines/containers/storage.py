"""Podman's and Buildah's own storage, read and never written (github.com/containers/storage, overlay driver).

<graph root>/overlay-images/images.json        what images there are; <id>/<name> their manifests and configs
<graph root>/overlay-layers/layers.json        what layers there are; <id>.tar-split.gz
<graph root>/overlay/<id>/diff                 a layer's files, whiteouts as overlayfs has them
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from layercache_ci.errors import CacheError


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """One entry of layers.json. `size` counts the bytes of the uncompressed tar, 0 where the storage does not know."""

    id: str
    parent: str | None
    diff_id: str
    size: int
    raw: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One entry of images.json with its big data (manifests, config, signatures): all that makes the same image again,
    its ID, digest and names included."""

    id: str
    digest: str
    names: tuple[str, ...]
    top_layer: str | None
    created: str
    metadata: str
    big_data: Mapping[str, bytes]

    @property
    def config(self) -> Mapping[str, Any]:
        """The OCI image config: `history`, `rootfs.diff_ids`, ... Raises CacheError where there is none."""
        try:
            return dict(json.loads(self.big_data[f"sha256:{self.id}"]))
        except (KeyError, ValueError) as error:
            raise CacheError(f"image {self.id[:12]} has no readable config: {error}") from error

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return tuple(self.config.get("rootfs", {}).get("diff_ids") or ())

    def to_json(self) -> dict[str, object]:
        """For a step record: `{"id", "digest", "names", "layer", "created", "metadata", "big_data": {name: text}}`,
        with `{"base64": ...}` instead of text for data that is no UTF-8."""
        return {
            "id": self.id,
            "digest": self.digest,
            "names": list(self.names),
            "layer": self.top_layer,
            "created": self.created,
            "metadata": self.metadata,
            "big_data": {name: _to_text(data) for name, data in self.big_data.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises CacheError where `value` is not what `to_json` makes."""
        try:
            return cls(
                id=value["id"],
                digest=value["digest"],
                names=tuple(value["names"]),
                top_layer=value["layer"],
                created=value["created"],
                metadata=value["metadata"],
                big_data={name: _from_text(data) for name, data in value["big_data"].items()},
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CacheError(f"a step record has no usable image: {error!r}") from error


class Storage:
    """A graph root as it was when this was made, with the additional image stores that it reads from.

    Raises CacheError from every method where something is absent or can't be read.
    """

    def __init__(self, graph_root: Path, additional: Sequence[Path] = ()) -> None:
        self._images: dict[str, tuple[Path, Mapping[str, Any]]] = {}
        self._layers: dict[str, tuple[Path, StoredLayer]] = {}
        for root in (graph_root, *additional):
            for image in _entries(root / "overlay-images" / "images.json"):
                self._images.setdefault(str(image["id"]), (root, image))
            for name in ("layers.json", "volatile-layers.json"):
                for layer in _entries(root / "overlay-layers" / name):
                    self._layers.setdefault(str(layer["id"]), (root, _layer(layer)))

    def image(self, image_id: str) -> StoredImage:
        """The image of that ID, or of the one ID that begins so."""
        found = [image_id] if image_id in self._images else [key for key in self._images if key.startswith(image_id)]
        if len(found) != 1 or not image_id:
            raise CacheError(f"{len(found) or 'no'} images in the engine's storage have an ID like {image_id!r}")
        return self._read(*self._images[found[0]])

    def image_by_name(self, name: str) -> StoredImage:
        """The image of that name, written in full as the storage does: `docker.io/library/alpine:latest`."""
        for root, image in self._images.values():
            if name in (image.get("names") or ()):
                return self._read(root, image)
        raise CacheError(f"no image in the engine's storage is named {name}")

    def layers(self, top_layer: str | None) -> tuple[StoredLayer, ...]:
        """The chain that ends in `top_layer`, base first."""
        chain: list[StoredLayer] = []
        while top_layer:
            _, layer = self._layer(top_layer)
            chain.append(layer)
            top_layer = layer.parent
        return tuple(reversed(chain))

    @property
    def has_images(self) -> bool:
        return bool(self._images)

    def has_image(self, image_id: str) -> bool:
        return image_id in self._images

    def has_layer(self, layer_id: str) -> bool:
        return layer_id in self._layers

    def layer_dir(self, layer_id: str) -> Path:
        """Where the layer's files are."""
        return self._layer(layer_id)[0] / "overlay" / layer_id / "diff"

    def tar_split(self, layer_id: str) -> Path | None:
        """The layer's tar-split.gz, None where the storage keeps none."""
        path = self._layer(layer_id)[0] / "overlay-layers" / f"{layer_id}.tar-split.gz"
        return path if path.is_file() else None

    def _layer(self, layer_id: str) -> tuple[Path, StoredLayer]:
        try:
            return self._layers[layer_id]
        except KeyError:
            raise CacheError(f"the engine's storage has no layer {layer_id[:12]}") from None

    def _read(self, root: Path, image: Mapping[str, Any]) -> StoredImage:
        folder = root / "overlay-images" / image["id"]
        try:
            big_data = {name: (folder / big_data_file(name)).read_bytes() for name in image.get("big-data-names") or ()}
        except OSError as error:
            raise CacheError(f"image {image['id'][:12]} can't be read from the engine's storage: {error}") from error
        return StoredImage(
            id=image["id"],
            digest=image.get("digest", ""),
            names=tuple(image.get("names") or ()),
            top_layer=image.get("layer") or None,
            created=image.get("created", ""),
            metadata=image.get("metadata", ""),
            big_data=big_data,
        )


def holds_more_than_images(graph_root: Path) -> bool:
    """Whether there is what only commands on this very storage find: containers, and what Podman keeps beside them,
    volumes, secrets and an ordinary user's networks. So it is where that can't be told."""
    try:
        containers = [
            entry
            for name in ("containers.json", "volatile-containers.json")
            for entry in _entries(graph_root / "overlay-containers" / name)
        ]
        volumes = [path for path in (graph_root / "volumes").glob("*") if path.is_dir()]
        networks = [*(graph_root / "networks").glob("*.json")]
        secrets = graph_root / "secrets/secrets.json"
        return bool(
            containers or volumes or networks or (secrets.exists() and json.loads(secrets.read_bytes()).get("secrets"))
        )
    except (CacheError, OSError, ValueError, AttributeError):
        return True


def big_data_file(name: str) -> str:
    """The file name of an image's big data (containers/storage store.go, makeBigDataBaseName)."""
    if all(char == "." or "0" <= char <= "9" or "a" <= char <= "z" for char in name):
        return name
    return "=" + base64.b64encode(name.encode()).decode()


def _entries(path: Path) -> Iterator[Mapping[str, Any]]:
    """The finished entries of images.json or layers.json, none where the file is absent."""
    try:
        entries = json.loads(path.read_bytes() or b"[]") or ()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise CacheError(f"the engine's storage can't be read: {path}: {error}") from error
    for entry in entries:
        if not (entry.get("flags") or {}).get("incomplete"):
            yield entry


def _layer(raw: Mapping[str, Any]) -> StoredLayer:
    return StoredLayer(
        id=raw["id"],
        parent=raw.get("parent") or None,
        diff_id=raw.get("diff-digest", ""),
        size=max(raw.get("diff-size", 0), 0),
        raw=raw,
    )


def _to_text(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _from_text(value: str | Mapping[str, str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"], validate=True)
