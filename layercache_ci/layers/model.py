"""What a layer is: OCI's words, as values.

A *digest* is `sha256:<64 hex>`. A *diff ID* is the digest of a layer's uncompressed tar; a *descriptor* names a stored
blob.
"""

from __future__ import annotations

from dataclasses import dataclass

ZSTD_LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob as the store holds it: the digest and size of its (compressed) bytes."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an image. `tar_split` describes how to make the very same tar again out of the extracted files
    (vbatts/tar-split, gzip), which containers-storage needs to push or save a restored image."""

    diff_id: str
    size: int
    """Bytes of the uncompressed tar."""
    blob: Descriptor
    tar_split: Descriptor | None = None
