"""Brings exported layers into the store: those in gzip, as base images' are, as zstd, which unpacks faster.

Not those of an image that is pushed: a later build that finds them here pushes them as they are, and the registry must
know them again, or each would be read from the store and pushed a second time.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from layercache_ci.engines.buildkit.cachemanifest import RawDescriptor
from layercache_ci.engines.buildkit.records import descriptor, diff_id
from layercache_ci.engines.buildkit.transport import Transport
from layercache_ci.errors import CacheError
from layercache_ci.layers.model import ZSTD_LAYER
from layercache_ci.store.model import Store

PIECE: Final = 1 << 20
GZIP: Final = ("+gzip", ".gzip")
"""How the media types of OCI and of Docker end."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """What the store holds afterwards. `replaced` has the descriptors of layers that it holds in another form, by the
    digest that they had."""

    held: frozenset[str]
    size: int = 0
    """Bytes of what is new."""
    replaced: Mapping[str, RawDescriptor] = field(default_factory=dict)


def ship(
    wanted: Mapping[str, RawDescriptor], transport: Transport, store: Store, *, pushed: bool, workers: int
) -> Shipped:
    """Every layer of `wanted` that was exported, byte for byte where the image was `pushed`. Raises CacheError where
    the store can't be used."""
    held = store.contains(wanted)
    new = [raw for blob, raw in wanted.items() if blob not in held]
    with ThreadPoolExecutor(workers) as pool:
        done = list(pool.map(lambda raw: _ship_one(raw, transport, store, pushed=pushed), new))
    arrived = [raw for raw in done if raw is not None]
    pairs = zip(new, done, strict=True)
    replaced = {str(old["digest"]): raw for old, raw in pairs if raw is not None and raw is not old}
    names = frozenset(str(raw["digest"]) for raw in arrived)
    sizes = {blob.digest: blob.size for blob in map(descriptor, arrived)}
    return Shipped(held | names, sum(sizes.values()), replaced)


def _ship_one(raw: RawDescriptor, transport: Transport, store: Store, *, pushed: bool) -> RawDescriptor | None:
    """The layer's descriptor in the store; None where the engine exported no such blob: it took for granted that we
    have it."""
    blob = descriptor(raw)
    path = transport.exported_blob(blob.digest)
    if path is None:
        return None
    if blob.media_type.endswith(GZIP) and not pushed:
        return _as_zstd(raw, path, store)
    with path.open("rb") as source, store.new_blob(blob.media_type) as target:
        while piece := source.read(PIECE):
            target.write(piece)
        target.commit(blob.digest)
    return raw


def _as_zstd(raw: RawDescriptor, path: Path, store: Store) -> RawDescriptor:
    """The tar inside is the same, and so is its diff ID. Raises CacheError where it is not the one that was named."""
    from layercache_ci.layers.compression import Compressor  # noqa: PLC0415 - most saves have none to do

    zstd = Compressor()
    tar = hashlib.sha256()
    try:
        with gzip.open(path) as source, store.new_blob(ZSTD_LAYER) as target:
            while piece := source.read(PIECE):
                tar.update(piece)
                target.write(zstd.compress(piece))
            target.write(zstd.finish())
            if f"sha256:{tar.hexdigest()}" != diff_id(raw):
                raise CacheError(f"{raw['digest']}: its tar is not {diff_id(raw)}")
            blob = target.commit()
    except (OSError, EOFError, zlib.error) as error:
        raise CacheError(f"{raw['digest']} can't be read: {error}") from error
    return {**raw, "mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}
