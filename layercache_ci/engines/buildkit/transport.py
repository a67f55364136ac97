"""How layers reach BuildKit and come back: by the loopback registry, or as a folder where that can't be reached."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from layercache_ci.engines.buildkit.cacheconfig import MEDIA_TYPE, CacheConfig
from layercache_ci.engines.buildkit.cachemanifest import MANIFEST, config_digest, manifest_of
from layercache_ci.engines.buildkit.forms import Form
from layercache_ci.engines.buildkit.restore import Selection
from layercache_ci.errors import CacheError
from layercache_ci.layers.model import Descriptor
from layercache_ci.registry.client import Registry
from layercache_ci.store.model import Store
from layercache_ci.store.verified import copy

EXPORT: Final = "mode=max,oci-mediatypes=true,image-manifest=true"
REPOSITORY: Final = "cache"
RESTORED: Final = "restored"
EXPECTED: Final = ((REPOSITORY, RESTORED),)
"""What a registry of ours is started to wait for."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What a solve exported: the manifest and the config that it names."""

    manifest: bytes
    config: bytes

    @property
    def digest(self) -> str:
        """The manifest's."""
        return f"sha256:{hashlib.sha256(self.manifest).hexdigest()}"


class Transport(Protocol):
    """Made for one build. What it can't do is a CacheError."""

    @property
    def name(self) -> str:
        """For the report."""

    def offer(self, chosen: Selection, store: Store) -> tuple[str, ...]:
        """Put the selection where the engine finds it; what `--cache-from` then takes."""

    def promise(self) -> tuple[str, ...]:
        """For an engine that is started before there is a selection: what `--cache-from` takes, and is answered once
        `offer` or `decline` is called. Nothing where that can't be."""

    def decline(self) -> None:
        """There is nothing to restore after all."""

    def cache_to(self, number: int, form: Form) -> str:
        """What `--cache-to` takes for the n-th export of this build."""

    def exported(self, number: int) -> Exported:
        """What that export left."""

    def exported_blob(self, digest: str) -> Path | None:
        """The file of a blob that was exported, None where none was."""

    def served(self) -> dict[str, int]:
        """Bytes that the engine read, by blob."""

    def damage(self) -> tuple[str, ...]:
        """What could not be offered, and why."""

    def faults(self) -> tuple[str, ...]:
        """What the engine asked for and could not be given: a build that failed is then not to blame."""


@dataclass(slots=True)
class RegistryTransport:
    """The loopback registry, at the address that the builder reaches."""

    registry: Registry
    """Started with EXPECTED."""
    address: str

    @property
    def name(self) -> str:
        return "registry"

    def offer(self, chosen: Selection, store: Store) -> tuple[str, ...]:  # noqa: ARG002 - the registry has its own
        if not chosen.config.layers:
            return ()
        manifest, cache_config = manifest_of(chosen.config, chosen.descriptors)
        self.registry.offer(chosen.blobs, prefetch=False, records=chosen.records)
        self.registry.offer(blob for blob in chosen.blobs if blob.digest in chosen.ahead)
        self.registry.put_blob(REPOSITORY, cache_config, MEDIA_TYPE)
        self.registry.put_manifest(REPOSITORY, RESTORED, manifest, MANIFEST)
        return (self._reference(RESTORED),)

    def promise(self) -> tuple[str, ...]:
        return (self._reference(RESTORED),)

    def decline(self) -> None:
        manifest, cache_config = manifest_of(CacheConfig(), {})
        self.registry.put_blob(REPOSITORY, cache_config, MEDIA_TYPE)
        self.registry.put_manifest(REPOSITORY, RESTORED, manifest, MANIFEST)

    def cache_to(self, number: int, form: Form) -> str:
        return f"{self._reference(f'exported-{number}')},{EXPORT},{form.value}"

    def exported(self, number: int) -> Exported:
        manifest = self.registry.manifest(REPOSITORY, f"exported-{number}")
        if manifest is None:
            raise CacheError("the engine exported no cache")
        path = self.registry.uploaded(config_digest(manifest))
        if path is None:
            raise CacheError("the engine exported a cache without its config")
        return Exported(manifest, path.read_bytes())

    def exported_blob(self, digest: str) -> Path | None:
        return self.registry.uploaded(digest)

    def served(self) -> dict[str, int]:
        try:
            return dict(self.registry.status().blobs_served)
        except CacheError:
            return {}

    def damage(self) -> tuple[str, ...]:
        return ()

    def faults(self) -> tuple[str, ...]:
        try:
            return self.registry.status().faults
        except CacheError as error:
            return (str(error),)

    def _reference(self, tag: str) -> str:
        # BuildKit speaks plain HTTP to 127.0.0.0/8 by itself
        insecure = "" if self.address.startswith("127.") else ",registry.insecure=true"
        return f"type=registry,ref={self.address}/{REPOSITORY}:{tag}{insecure}"


@dataclass(slots=True)
class LayoutTransport:
    """An OCI image layout in a folder, which the client hands to the builder."""

    folder: Path
    workers: int
    _sizes: dict[str, int] = field(default_factory=dict)
    _damage: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return "layout"

    def offer(self, chosen: Selection, store: Store) -> tuple[str, ...]:
        """Every blob is fetched and verified first: one that is listed and then not good would fail the build."""
        # the largest first, or one of them goes on alone when all others are there
        blobs = sorted(chosen.blobs, key=lambda blob: blob.size, reverse=True)
        with ThreadPoolExecutor(self.workers) as pool:
            whole = pool.map(lambda blob: self._fetch(blob, store), blobs)
            good = {blob.digest for blob, came in zip(blobs, whole, strict=True) if came}
        fetched = [blob.digest for blob in chosen.blobs if blob.digest in good]
        descriptors = {digest: chosen.descriptors[digest] for digest in fetched}
        if not descriptors:
            return ()
        manifest, cache_config = manifest_of(chosen.config, descriptors)
        self._put(cache_config)
        self._write_index(manifest)
        return (_fields("type=local", f"src={self.folder}", f"tag={RESTORED}"),)

    def promise(self) -> tuple[str, ...]:
        return ()

    def decline(self) -> None:
        """Nothing was promised."""

    def cache_to(self, number: int, form: Form) -> str:
        return f"{_fields('type=local', f'dest={self.folder}', f'tag=exported-{number}')},{EXPORT},{form.value}"

    def exported(self, number: int) -> Exported:
        try:
            index = json.loads((self.folder / "index.json").read_bytes())
            digests = [
                entry["digest"]
                for entry in index["manifests"]
                if entry.get("annotations", {}).get("org.opencontainers.image.ref.name") == f"exported-{number}"
            ]
            manifest = self._blob(digests[-1]).read_bytes()
            return Exported(manifest, self._blob(config_digest(manifest)).read_bytes())
        except (OSError, ValueError, LookupError) as error:
            raise CacheError(f"the engine exported no cache: {error}") from error

    def exported_blob(self, digest: str) -> Path | None:
        path = self._blob(digest)
        return path if path.is_file() else None

    def served(self) -> dict[str, int]:
        return dict(self._sizes)

    def damage(self) -> tuple[str, ...]:
        return tuple(self._damage)

    def faults(self) -> tuple[str, ...]:
        return ()  # what is in the folder was verified

    def _fetch(self, blob: Descriptor, store: Store) -> bool:
        path = self._blob(blob.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        try:
            with store.open_blob(blob) as source, partial.open("wb") as target:
                copy(source, target)
        except CacheError as error:
            self._damage.append(str(error))
            partial.unlink(missing_ok=True)
            return False
        partial.rename(path)
        self._sizes[blob.digest] = blob.size
        return True

    def _put(self, data: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self._blob(digest).write_bytes(data)
        return digest

    def _write_index(self, manifest: bytes) -> None:
        entry = {
            "mediaType": MANIFEST,
            "digest": self._put(manifest),
            "size": len(manifest),
            "annotations": {"org.opencontainers.image.ref.name": RESTORED},
        }
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))

    def _blob(self, digest: str) -> Path:
        return self.folder / "blobs" / digest.replace(":", "/")


def _fields(*fields: str) -> str:
    """As one line of CSV, which `--cache-from` and `--cache-to` are: a folder may have a comma in its name."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()
