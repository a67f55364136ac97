"""Making a result whole: from layers in image stores that will go to an image in the user's own storage.

A build whose lower layers lie in an additional image store must not leave its image in the user's storage: when that
store goes, every command there fails. So such a build has a storage of its own, and the user's gets the image by
skopeo: first, while the build runs, the deepest image that was restored; then the result, whose lower layers are there
by then, so that only the new ones are written. What skopeo reads is an OCI image layout on disk; it asks for no layer
that the storage has, so the second layout holds the new ones only.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from layercache_ci.engines.containers.engine import Engine
from layercache_ci.engines.containers.image_store import RestoredImage
from layercache_ci.engines.containers.ship import tar_of
from layercache_ci.engines.containers.storage import Storage, StoredImage
from layercache_ci.errors import CacheError, EngineError
from layercache_ci.layers.model import Descriptor
from layercache_ci.store.model import Store

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Carrier:
    """Brings images into the storage of `engine`, by skopeo. Layouts are made below `scratch`."""

    engine: Engine
    environment: Mapping[str, str]
    scratch: Path

    def begin(self, image: RestoredImage, store: Store) -> Carrying:
        """Start to bring a restored image, unnamed, while the build runs. Raises CacheError."""
        layout = self.scratch / "restored"
        blobs = {layer.blob.digest: layer.blob for layer in image.layers}
        manifest = json.loads(image.image.big_data["manifest"])
        manifest["mediaType"] = MANIFEST
        manifest["layers"] = [
            {"mediaType": layer.blob.media_type, "digest": layer.blob.digest, "size": layer.blob.size}
            for layer in image.layers
        ]
        write_layout(
            layout,
            json.dumps(manifest).encode(),
            image.image,
            {digest: partial(_stored, store, blob) for digest, blob in blobs.items()},
        )
        command = self._copy(layout, f"@{image.image.id}")
        return Carrying(image.image.id, subprocess.Popen(command, env=dict(self.environment), stderr=subprocess.PIPE))

    def bring(self, image: StoredImage, storage: Storage, names: Sequence[str]) -> None:
        """Bring the result out of `storage`, under its names. Raises EngineError."""
        present = Storage(self.engine.graph_root)
        layers = [layer for layer in storage.layers(image.top_layer) if not present.has_layer(layer.id)]
        layout = self.scratch / "result"
        try:
            write_layout(
                layout,
                image.big_data["manifest"],
                image,
                {layer.diff_id: partial(tar_of, storage, layer) for layer in layers},
            )
        except (CacheError, OSError) as error:
            raise EngineError(f"the image can't be taken out of the build's own storage: {error}") from error
        for target in names or (f"@{image.id}",):
            self.run(self._copy(layout, target))
        shutil.rmtree(layout, ignore_errors=True)

    def drop(self, image_id: str) -> None:
        """Take an unnamed image away again; its layers stay where the result needs them."""
        self.run([self.engine.executable, "rmi", image_id])

    def run(self, command: Sequence[str]) -> None:
        done = subprocess.run(command, env=dict(self.environment), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise EngineError(f"{command[0]}: {said[-1]}")

    def _copy(self, layout: Path, target: str) -> list[str]:
        engine = self.engine
        storage = f"containers-storage:[{engine.driver}@{engine.graph_root}+{engine.run_root}]{target}"
        return ["skopeo", "copy", "--quiet", f"oci:{layout}:image", storage]


@dataclass(slots=True)
class Carrying:
    """A restored image on its way."""

    image_id: str
    process: subprocess.Popen[bytes]

    def wait(self) -> bool:
        """Whether it arrived; where it did not, the result is brought with all its layers."""
        self.process.communicate()
        return self.process.returncode == 0

    def stop(self) -> None:
        """No longer wanted: the build failed."""
        self.process.terminate()
        self.process.communicate()


def _stored(store: Store, blob: Descriptor) -> Iterator[bytes]:
    with store.open_blob(blob) as source:
        while piece := source.read(PIECE):
            yield piece


def write_layout(
    folder: Path,
    manifest: bytes,
    image: StoredImage,
    blobs: Mapping[str, Callable[[], Iterable[bytes]]],
) -> None:
    """An OCI image layout (image-layout.md) of one image, tagged `image`: manifest, config, `blobs` by digest."""
    place = folder / "blobs" / "sha256"
    place.mkdir(parents=True)
    digest = hashlib.sha256(manifest).hexdigest()
    (place / digest).write_bytes(manifest)
    (place / image.id).write_bytes(image.big_data[f"sha256:{image.id}"])
    for name, source in blobs.items():
        with (place / name.removeprefix("sha256:")).open("wb") as file:
            file.writelines(source())
    descriptor: dict[str, Any] = {
        "mediaType": MANIFEST,
        "digest": f"sha256:{digest}",
        "size": len(manifest),
        "annotations": {"org.opencontainers.image.ref.name": "image"},
    }
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def unmount_below(folder: Path) -> None:
    """The overlay driver mounts its own home and leaves that so; a folder with a mount in it can't be removed."""
    with Path("/proc/self/mounts").open() as mounts:
        places = [line.split(" ")[1].encode().decode("unicode_escape") for line in mounts]
    for place in sorted(places, key=len, reverse=True):
        if place.startswith(f"{folder}/"):
            subprocess.run(["umount", place], check=False, capture_output=True)
