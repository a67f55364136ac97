"""Making a result whole: from layers in image stores that will go to an image in the user's own storage.

A build whose lower layers lie in an additional image store must not leave its image in the user's storage: when that
store goes, every command there fails. So such a build has a storage of its own, and the user's gets the image by
skopeo: first, while the build runs, the deepest image that was restored; then the result, whose lower layers are there
by then, so that only the new ones are written. What skopeo reads is a folder of its `dir:` transport, which takes
OCI's and Docker's manifests alike; it asks for no layer that the storage has, so the second folder holds the new ones
only. Whatever goes wrong here is the cache's fault, and no build fails by it: the caller builds again without.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from layercache_ci.engines.containers.engine import Engine
from layercache_ci.engines.containers.image_store import RestoredImage
from layercache_ci.engines.containers.ship import tar_of
from layercache_ci.engines.containers.storage import Storage, StoredImage
from layercache_ci.engines.process import ask
from layercache_ci.errors import CacheError, EngineError
from layercache_ci.layers.model import Descriptor
from layercache_ci.store.model import Store

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
Source = Callable[[], Iterable[bytes]] | Path
"""A blob of a layout: what makes its bytes, or the file that has them."""
PIECE: Final = 1 << 20
COPY_SECONDS: Final = 3600


def can_bring(environment: Mapping[str, str]) -> bool:
    """Whether there is a skopeo."""
    return shutil.which("skopeo", path=environment.get("PATH")) is not None


@dataclass(slots=True)
class Carrier:
    """Brings images into the storage of `engine`, by skopeo. Layouts are made below `scratch`."""

    engine: Engine
    environment: Mapping[str, str]
    scratch: Path
    _restored: str = ""
    """The ID of the restored image that is on its way, or there."""
    _process: subprocess.Popen[bytes] | None = None
    """What brings it."""

    def begin(self, image: RestoredImage, store: Store) -> None:
        """Start to bring the layers of a restored image while the build runs, under a config that nobody else has: the
        manifest here names compressed layers, and an image that came with it would keep its digest. Another platform or
        build may bring the same layers meanwhile, and take its image away. Raises CacheError and OSError."""
        layout = self.scratch / "restored"
        known = image.image.config
        rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in image.layers]}
        told = {"architecture": known["architecture"], "os": known["os"], "author": str(self.scratch)}
        config = json.dumps({**told, "rootfs": rootfs}).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, config),
            "layers": [
                {"mediaType": layer.blob.media_type, "digest": layer.blob.digest, "size": layer.blob.size}
                for layer in image.layers
            ],
        }
        blobs = {layer.blob.digest: _source(store, layer.blob) for layer in image.layers}
        write_layout(layout, json.dumps(manifest).encode(), config, blobs)
        self._restored = hashlib.sha256(config).hexdigest()
        self._process = subprocess.Popen(
            self._copy(layout, f"@{self._restored}"),
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def bring(self, image: StoredImage, storage: Storage, names: Sequence[str]) -> None:
        """Bring the result out of `storage`, under its names, its manifest and config byte for byte. Only the layers
        that the user's storage lacks are written. Raises EngineError."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(COPY_SECONDS)  # what does not arrive by it is brought with the rest
        layout = self.scratch / "result"
        try:
            present = Storage(self.engine.graph_root)
            layers = [layer for layer in storage.layers(image.top_layer) if not present.has_layer(layer.id)]
            blobs: dict[str, Source] = {layer.diff_id: partial(tar_of, storage, layer) for layer in layers}
            write_layout(layout, image.big_data["manifest"], image.big_data[f"sha256:{image.id}"], blobs)
        except (CacheError, OSError) as error:
            raise EngineError(f"the image can't be taken out of the build's own storage: {error}") from error
        for target in [full_name(name) for name in names] or [f"@{image.id}"]:
            self._run(self._copy(layout, target))

    def end(self) -> None:
        """Take away the restored image, or stop to bring it; those of its layers that the result has stay. The second
        time it does nothing. Raises EngineError."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()  # nothing, where it is done
        if process.wait() == 0:
            self._run([self.engine.executable, "rmi", self._restored])

    def _run(self, command: Sequence[str]) -> None:
        ask(command, self._environment(), timeout=COPY_SECONDS)

    def _environment(self) -> dict[str, str]:
        """skopeo's temporary files go away with ours, also when it is killed."""
        return {**self.environment, "TMPDIR": str(self.scratch / "tmp")}

    def _copy(self, layout: Path, target: str) -> list[str]:
        engine = self.engine
        # the user's own stores are of no use to what is written; a comma would end an option (skopeo has no other way)
        options = [option for option in engine.graph_options if "imagestore" not in option and "," not in option]
        place = f"{engine.driver}@{engine.graph_root}+{engine.run_root}" + (f":{','.join(options)}" if options else "")
        # a policy says which registries to trust; this comes from the engine's build and from blobs of our own
        command = ["skopeo", "--insecure-policy", "copy", "--quiet"]
        return [*command, f"dir:{layout}", f"containers-storage:[{place}]{target}"]


def _source(store: Store, blob: Descriptor) -> Source:
    """The store's own file where it has one: skopeo verifies what it reads."""
    return store.blob_file(blob) or partial(_stored, store, blob)


def _stored(store: Store, blob: Descriptor) -> Iterator[bytes]:
    with store.open_blob(blob) as source:
        while piece := source.read(PIECE):
            yield piece


def full_name(name: str) -> str:
    """What Podman and Buildah make of `-t NAME`: `localhost/` without a registry, `:latest` without a tag."""
    head, slash, _ = name.partition("/")
    if not slash or not ({".", ":"} & set(head) or head == "localhost"):
        name = f"localhost/{name}"
    return name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"


def write_layout(folder: Path, manifest: bytes, config: bytes, blobs: Mapping[str, Source]) -> None:
    """A folder of the `dir:` transport (containers-transports(5)); `blobs` by digest."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    (folder / "manifest.json").write_bytes(manifest)
    (folder / hashlib.sha256(config).hexdigest()).write_bytes(config)
    for name, source in blobs.items():
        path = folder / name.removeprefix("sha256:")
        if isinstance(source, Path):
            path.symlink_to(source)
            continue
        with path.open("wb") as file:
            file.writelines(source())


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
