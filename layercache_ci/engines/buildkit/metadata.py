"""What buildx writes down of a build, as its user is to read it where we had it write more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from layercache_ci.dockerfile.go_numbers import FALSE
from layercache_ci.engines.buildkit.provenance import METADATA_KEY

MODE: Final = "BUILDX_METADATA_PROVENANCE"
"""How much of the provenance buildx is to write down (docker/buildx, util/confutil/metadata.go)."""
ALL_OF_IT: Final = {MODE: "max"}
"""For buildx's environment: the provenance in its metadata file is to tell of every step."""
CACHE: Final = "cache.manifest"
"""Its field for the manifest of the cache that was exported last, the user's own where there is one (moby/buildkit,
cache/remotecache/export.go)."""
OF_MAX_ALONE: Final = frozenset({"buildConfig", "metadata"})
"""What it leaves out of the provenance by default (docker/buildx, build/provenance.go)."""


def as_asked(metadata: bytes, environment: Mapping[str, str], *, exported: str | None = None) -> bytes:
    """The metadata of a build that was told ALL_OF_IT, with what buildx would have written in this environment, had the
    build not exported a cache of ours, whose manifest has the digest `exported`. What are none stay as they are."""
    mode = environment.get(MODE, "")
    about: object = None
    with suppress(ValueError):
        about = json.loads(metadata)
    if not isinstance(about, dict):
        return metadata
    if exported is not None and exported in json.dumps(about.get(CACHE)):
        del about[CACHE]
    for field in [field for field in about if field.partition("/")[0] == METADATA_KEY]:
        if mode == "disabled" or mode in FALSE:
            del about[field]
        elif mode != "max":
            about[field] = _short(about[field])
    return json.dumps(about, indent=2, ensure_ascii=False).encode()


def _short(provenance: object) -> object:
    if not isinstance(provenance, dict):
        return provenance
    return {name: value for name, value in provenance.items() if name not in OF_MAX_ALONE}
