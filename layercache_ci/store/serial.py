"""Step records as bytes: JSON, the same bytes for equal records, compressed where that is smaller.

A record's *identity* is the sha256 of its JSON, not of the compressed form, which may change with zstd's version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from layercache_ci.errors import CacheError
from layercache_ci.layers.model import Descriptor, Layer
from layercache_ci.store.model import RECORD_VERSION, Step, StepRecord

T = TypeVar("T")

ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"

LARGEST: Final = 64 << 20
"""Bytes of JSON: a record that claims more is no record."""


def to_json(record: StepRecord) -> bytes:
    """The record's canonical JSON. Raises CacheError where a step's `engine` holds what JSON can't."""
    document = {
        "version": RECORD_VERSION,
        "namespace": record.namespace,
        "stage": record.stage,
        "chain": [_step_out(step) for step in record.chain],
        "created": record.created,
        "writer": record.writer,
    }
    try:
        return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise CacheError(f"the step record of {record.stage} can't be written as JSON: {error}") from error


def from_json(data: bytes) -> StepRecord:
    """Raises CacheError for anything but a record of this version."""
    try:
        return _record_in(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise CacheError(f"a step record can't be read: {error}") from error


def identity(json_bytes: bytes) -> str:
    """64 hex digits."""
    return hashlib.sha256(json_bytes).hexdigest()


def compress(json_bytes: bytes) -> bytes:
    from layercache_ci.layers.compression import Compressor  # noqa: PLC0415 - a start without a record needs no zstd

    zstd = Compressor()
    small = zstd.compress(json_bytes) + zstd.finish()
    return small if len(small) < len(json_bytes) else json_bytes


def decompress(data: bytes) -> bytes:
    """What `compress` was given. Raises CacheError."""
    if not data.startswith(ZSTD_MAGIC):
        return data
    import io  # noqa: PLC0415 - as above

    from layercache_ci.layers.compression import decompressed  # noqa: PLC0415 - as above

    whole = bytearray()
    for piece in decompressed(io.BytesIO(data)):
        whole += piece
        if len(whole) > LARGEST:
            raise CacheError(f"a step record can't be read: it holds more than {LARGEST >> 20} MiB")
    return bytes(whole)


def encode(record: StepRecord) -> bytes:
    """Raises CacheError as `to_json` does."""
    return compress(to_json(record))


def decode(data: bytes) -> StepRecord:
    """Raises CacheError for anything but an encoded record of this version."""
    return from_json(decompress(data))


def _step_out(step: Step) -> dict[str, Any]:
    return {
        "key": step.key,
        "instruction": step.instruction,
        "text": step.text,
        "ingredients": dict(step.ingredients),
        "layers": [_layer_out(layer) for layer in step.layers],
        "seconds": None if step.seconds is None else float(step.seconds),
        "engine": dict(step.engine),
    }


def _layer_out(layer: Layer) -> dict[str, Any]:
    return {
        "diff_id": layer.diff_id,
        "size": layer.size,
        "blob": _descriptor_out(layer.blob),
        "tar_split": None if layer.tar_split is None else _descriptor_out(layer.tar_split),
    }


def _descriptor_out(descriptor: Descriptor) -> dict[str, Any]:
    return {"media_type": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def _record_in(document: Any) -> StepRecord:
    version = _field(document, "version", int)
    if version != RECORD_VERSION:
        raise ValueError(f"its version is {version}, this program reads {RECORD_VERSION}")
    return StepRecord(
        namespace=_field(document, "namespace", str),
        stage=_field(document, "stage", str),
        chain=tuple(_step_in(step) for step in _field(document, "chain", list)),
        created=_field(document, "created", str),
        writer=_field(document, "writer", str),
    )


def _step_in(document: Any) -> Step:
    ingredients = _field(document, "ingredients", dict)
    for name in ingredients:
        _field(ingredients, name, str)
    return Step(
        key=_field(document, "key", str),
        instruction=_field(document, "instruction", str),
        text=_field(document, "text", str),
        ingredients=ingredients,
        layers=tuple(_layer_in(layer) for layer in _field(document, "layers", list)),
        seconds=_optional(document, "seconds", lambda holder, name: _field(holder, name, float)),
        engine=_field(document, "engine", dict),
    )


def _layer_in(document: Any) -> Layer:
    return Layer(
        diff_id=_field(document, "diff_id", str),
        size=_field(document, "size", int),
        blob=_descriptor_in(document, "blob"),
        tar_split=_optional(document, "tar_split", _descriptor_in),
    )


def _descriptor_in(holder: Mapping[str, Any], name: str) -> Descriptor:
    document = _field(holder, name, dict)
    return Descriptor(
        media_type=_field(document, "media_type", str),
        digest=_field(document, "digest", str),
        size=_field(document, "size", int),
    )


def _optional(document: Any, name: str, read: Callable[[Any, str], T]) -> T | None:
    return None if isinstance(document, dict) and document.get(name) is None else read(document, name)


def _field(document: Any, name: str, kind: type[T]) -> T:
    """The member `name` of a JSON object, of exactly that type (JSON's true is no number)."""
    value = document.get(name) if isinstance(document, dict) else None
    if type(value) is not kind:
        raise ValueError(f"{name} should be {kind.__name__} and is {type(value).__name__}")
    return value
