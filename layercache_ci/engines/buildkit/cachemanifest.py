"""A cache config as a registry holds it: an OCI image manifest, whose config it is and whose layers are its blobs.

moby/buildkit, cache/remotecache/export.go and import.go. A blob that the config names and the manifest does not is a
clean miss; one that the manifest names and the registry lacks fails the build.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from layercache_ci.engines.buildkit.cacheconfig import MEDIA_TYPE, CacheConfig
from layercache_ci.engines.buildkit.cachemerge import newest, without_blobs
from layercache_ci.errors import CacheError

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
LARGEST: Final = 1 << 20
"""Bytes of a manifest or a config that BuildKit still imports (import.go, readBlob)."""

RawDescriptor = Mapping[str, object]
"""An OCI descriptor as parsed JSON, with its annotations."""


def manifest_of(config: CacheConfig, descriptors: Mapping[str, RawDescriptor]) -> tuple[bytes, bytes]:
    """The manifest and the config, as JSON. A blob without a descriptor, and the results that need it, are left out."""
    config = without_blobs(config, set(config.blobs()) - descriptors.keys())
    body = _json(config.to_json())
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": MEDIA_TYPE, "digest": f"sha256:{hashlib.sha256(body).hexdigest()}", "size": len(body)},
        "layers": [descriptors[blob] for blob in config.blobs()],
    }
    return _json(manifest), body


def fit(config: CacheConfig, descriptors: Mapping[str, RawDescriptor], limit: int = LARGEST) -> CacheConfig:
    """The config without its oldest results, as few of them as bring manifest and config to `limit` bytes or less."""
    if _fits(config, descriptors, limit):
        return config
    least, too_many = 0, sum(len(record.results) for record in config.records) + 1
    while least + 1 < too_many:
        middle = (least + too_many) // 2
        if _fits(newest(config, middle), descriptors, limit):
            least = middle
        else:
            too_many = middle
    return newest(config, least)


def _fits(config: CacheConfig, descriptors: Mapping[str, RawDescriptor], limit: int) -> bool:
    return all(len(part) <= limit for part in manifest_of(config, descriptors))


def descriptors_of(manifest: bytes) -> dict[str, RawDescriptor]:
    """The layers' descriptors by digest, out of an image manifest or (`image-manifest=false`) an index. Raises
    CacheError where it is neither."""
    return {
        str(descriptor["digest"]): descriptor
        for descriptor in _listed(_parsed(manifest))
        if descriptor.get("mediaType") != MEDIA_TYPE
    }


def config_digest(manifest: bytes) -> str:
    """The digest of the cache config that a manifest or index names. Raises CacheError where it names none."""
    fields = _parsed(manifest)
    config = fields.get("config")
    for descriptor in [config] if isinstance(config, dict) else _listed(fields):
        if descriptor.get("mediaType") == MEDIA_TYPE and isinstance(descriptor.get("digest"), str):
            return str(descriptor["digest"])
    raise CacheError("a BuildKit cache manifest names no cache config")


def _parsed(manifest: bytes) -> Mapping[str, object]:
    try:
        fields = json.loads(manifest)
    except ValueError as error:
        raise CacheError(f"a BuildKit cache manifest is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise CacheError("a BuildKit cache manifest is no JSON object")
    return fields


def _listed(fields: Mapping[str, object]) -> list[RawDescriptor]:
    listed = fields.get("layers", fields.get("manifests")) or []
    if not isinstance(listed, list) or not all(
        isinstance(one, dict) and isinstance(one.get("digest"), str) for one in listed
    ):
        raise CacheError("a BuildKit cache manifest lists something that is no descriptor")
    return listed


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
