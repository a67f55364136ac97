"""Blobs and records to put into a store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from layercache_ci.layers.model import ZSTD_LAYER, Descriptor, Layer
from layercache_ci.store.model import Step, StepRecord, Store

NAMESPACE = "buildah-1.28/linux/amd64"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def descriptor_of(data: bytes) -> Descriptor:
    return Descriptor(ZSTD_LAYER, digest_of(data), len(data))


def put_blob(store: Store, data: bytes) -> Descriptor:
    with store.new_blob(ZSTD_LAYER) as writer:
        writer.write(data)
        return writer.commit()


def read_blob(store: Store, descriptor: Descriptor) -> bytes:
    with store.open_blob(descriptor) as blob:
        return blob.read()


def layer(blob: Descriptor, tar_split: Descriptor | None = None) -> Layer:
    return Layer(
        diff_id=digest_of(b"tar of " + blob.digest.encode()), size=2 * blob.size, blob=blob, tar_split=tar_split
    )


def step(key: str, blobs: Iterable[Descriptor] = ()) -> Step:
    return Step(
        key=key,
        instruction="RUN",
        text=f"RUN make {key}",
        ingredients={"instruction": digest_of(key.encode())},
        layers=tuple(layer(blob) for blob in blobs),
        seconds=1.5,
    )


def record(
    *chain: Step, stage: str = "Dockerfile:app", created: str = "2026-01-01T00:00:00Z", namespace: str = NAMESPACE
) -> StepRecord:
    return StepRecord(namespace=namespace, stage=stage, chain=chain, created=created, writer="0")


def save(
    store: Store, layers: Sequence[tuple[str, bytes]], *, created: str = "2026-01-01T00:00:00Z", stage: str = "app"
) -> StepRecord:
    """A chain of (key, content of its layer): blobs first, then the record."""
    saved = record(*(step(key, [put_blob(store, data)]) for key, data in layers), created=created, stage=stage)
    store.put_record(saved)
    return saved
