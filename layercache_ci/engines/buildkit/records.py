"""BuildKit's cache config inside step records: the whole of a stage's in its first link, each step's share by index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Final

from layercache_ci.dockerfile.plan import BaseImage
from layercache_ci.engines.buildkit.cacheconfig import CacheConfig
from layercache_ci.engines.buildkit.cachemanifest import RawDescriptor
from layercache_ci.engines.buildkit.cachemerge import cut
from layercache_ci.errors import CacheError
from layercache_ci.layers.model import Descriptor
from layercache_ci.store.model import Step, StepRecord

CONFIG: Final = "config"
"""In the first link's `engine`: the stage's cache config as JSON."""
DESCRIPTORS: Final = "descriptors"
"""There too: by digest, the OCI descriptor of each blob that the config names, annotations included."""
FORMS: Final = "forms"
"""There too: by the digest that a blob had in the builder, that of the blob which the store has of the same tar."""
RECORDS: Final = "records"
"""In a step's `engine`: the indices of its records in that config."""
BASE: Final = "base"
ORDERED: Final = "environment"
"""There too: what the base image's config says that a plan needs, for builds that can't ask its registry."""
DIFF_ID: Final = "containerd.io/uncompressed"
"""BuildKit's annotation of a layer descriptor."""


def first_engine(
    config: CacheConfig,
    descriptors: Mapping[str, RawDescriptor],
    base: BaseImage | None,
    forms: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, object]:
    """The `engine` of a chain's first link."""
    # the order of the environment counts, and a record's mappings are sorted
    image = {} if base is None else {BASE: asdict(replace(base, note="")) | {ORDERED: list(base.environment.items())}}
    named = {blob: dict(descriptors[blob]) for blob in config.blobs() if blob in descriptors}
    others = {other: blob for other, blob in sorted(forms.items()) if blob in named}
    return {CONFIG: config.to_json(), DESCRIPTORS: named, **({FORMS: others} if others else {}), **image}


def forms_of(record: StepRecord) -> dict[str, str]:
    """The digests that blobs of the store had in a builder, each with that of the store's."""
    forms = record.chain[0].engine.get(FORMS)
    return {str(other): str(blob) for other, blob in forms.items()} if isinstance(forms, Mapping) else {}


def base_of(first: Step) -> BaseImage | None:
    """The base image that a chain was built on, as it was then."""
    value = first.engine.get(BASE)
    if not isinstance(value, Mapping):
        return None
    lists = {name: tuple(value[name]) for name in ("triggers", "shell") if isinstance(value.get(name), list)}
    try:
        return BaseImage(**{**value, **lists, ORDERED: dict(value[ORDERED])})
    except (KeyError, TypeError, ValueError):
        return None  # another version's


def config_of(record: StepRecord, depth: int) -> tuple[CacheConfig, dict[str, RawDescriptor]]:
    """What the first `depth` links of a record say of BuildKit's cache: their results, and the keys that lead there.
    Raises CacheError where the record holds none that can be read."""
    first = record.chain[0].engine
    descriptors = first.get(DESCRIPTORS)
    if not isinstance(descriptors, Mapping):
        raise CacheError(f"the record of stage {record.stage[:12]} has no cache of BuildKit's")
    config = CacheConfig.from_json(first.get(CONFIG))
    kept = sorted({index for step in record.chain[:depth] for index in indices_of(step)})
    if kept and kept[-1] >= len(config.records):
        raise CacheError(f"the record of stage {record.stage[:12]} names a cache record that it does not have")
    found = cut(config, kept)
    return found, {blob: _raw(descriptors, blob) for blob in found.blobs()}


def indices_of(step: Step) -> tuple[int, ...]:
    """The records that belong to a step."""
    indices = step.engine.get(RECORDS, ())
    if not isinstance(indices, (list, tuple)):
        raise CacheError("a step's cache records are no list")
    return tuple(index for index in indices if isinstance(index, int) and index >= 0)


def descriptor(raw: RawDescriptor) -> Descriptor:
    """The store's view of an OCI descriptor. Raises CacheError."""
    media_type, digest, size = (raw.get(name) for name in ("mediaType", "digest", "size"))
    if not isinstance(media_type, str) or not isinstance(digest, str) or not isinstance(size, int):
        raise CacheError(f"{digest!r}: not a descriptor")
    return Descriptor(media_type, digest, size)


def diff_id(raw: RawDescriptor) -> str:
    """The digest of the layer's uncompressed tar. Raises CacheError where BuildKit did not say it."""
    annotations = raw.get("annotations")
    value = annotations.get(DIFF_ID) if isinstance(annotations, Mapping) else None
    if not isinstance(value, str):
        raise CacheError(f"{raw.get('digest')}: a layer without a diff ID")
    return value


def _raw(descriptors: Mapping[str, object], blob: str) -> RawDescriptor:
    value = descriptors.get(blob)
    if not isinstance(value, Mapping):
        raise CacheError(f"{blob} has no descriptor")
    return value
