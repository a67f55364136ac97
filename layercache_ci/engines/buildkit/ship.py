"""Brings exported layers into the store: those in gzip, as base images' are, as zstd, which unpacks faster.

Not those of an image that is pushed: the registry must know them again, or each would be read from the store, made gzip
again and pushed a second time.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Mapping
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
    wanted: Mapping[str, RawDescriptor],
    transport: Transport,
    store: Store,
    *,
    as_it_is: bool,
    known: Iterable[RawDescriptor] = (),
    workers: int,
) -> Shipped:
    """Every layer of `wanted` that was exported, byte for byte with `as_it_is`; else one of which the store has another
    form, among those `known`, stays in that. Raises CacheError where the store can't be used."""
    held = store.contains(wanted)
    new = [raw for blob, raw in wanted.items() if blob not in held]
    others = {} if as_it_is else _other_forms(new, known, store)
    lacking = [raw for raw in new if raw["digest"] not in others]
    with ThreadPoolExecutor(workers) as pool:
        done = list(pool.map(lambda raw: _ship_one(raw, transport, store, as_it_is=as_it_is), lacking))
    arrived = [raw for raw in done if raw is not None]
    pairs = zip(lacking, done, strict=True)
    replaced = others | {str(old["digest"]): raw for old, raw in pairs if raw is not None and raw is not old}
    names = frozenset(str(raw["digest"]) for raw in (*arrived, *others.values()))
    sizes = {blob.digest: blob.size for blob in map(descriptor, arrived)}
    return Shipped(held | names, sum(sizes.values()), replaced)


def _other_forms(
    wanted: Iterable[RawDescriptor], known: Iterable[RawDescriptor], store: Store
) -> dict[str, RawDescriptor]:
    """By the digest of what is wanted, what the store has of the same tar."""
    by_tar = {diff_id(raw): raw for raw in known}
    found = {str(raw["digest"]): by_tar[diff_id(raw)] for raw in wanted if diff_id(raw) in by_tar}
    held = store.contains(str(raw["digest"]) for raw in found.values()) if found else frozenset()
    return {blob: raw for blob, raw in found.items() if raw["digest"] in held}


def _ship_one(raw: RawDescriptor, transport: Transport, store: Store, *, as_it_is: bool) -> RawDescriptor | None:
    """The layer's descriptor in the store; None where the engine exported no such blob: it took for granted that we
    have it."""
    blob = descriptor(raw)
    path = transport.exported_blob(blob.digest)
    if path is None:
        return None
    if blob.media_type.endswith(GZIP) and not as_it_is:
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
