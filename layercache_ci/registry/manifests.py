"""Manifests and tags of a run: they are small, so they are kept in memory."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass
from typing import Any, Final

from layercache_ci.registry.http import Refused
from layercache_ci.registry.uploads import DIGEST

PATIENCE: Final = 300.0
"""Seconds to wait for a manifest that is expected: planning a build takes seconds at most."""


@dataclass(frozen=True, slots=True)
class Manifest:
    media_type: str
    digest: str
    data: bytes


class Manifests:
    """By repository, then by digest or tag."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._expected: set[tuple[str, str]] = set()
        self._repositories: dict[str, dict[str, Manifest]] = {}

    def put(self, repository: str, reference: str, data: bytes, media_type: str) -> Manifest:
        """Raises Refused where `data` is no manifest, or not the one whose digest `reference` is."""
        inner = _media_type(data)
        manifest = Manifest(media_type or inner, f"sha256:{hashlib.sha256(data).hexdigest()}", data)
        if ":" in reference and reference != manifest.digest:
            raise Refused(400, "DIGEST_INVALID", f"{reference} was to be put, what came is {manifest.digest}")
        with self._lock:
            held = self._repositories.setdefault(repository, {})
            held[manifest.digest] = held[reference] = manifest
            self._expected.discard((repository, reference))
            self._lock.notify_all()
        return manifest

    def expect(self, repository: str, reference: str) -> None:
        """It is about to come: who asks for it waits for it."""
        with self._lock:
            self._expected.add((repository, reference))

    def get(self, repository: str, reference: str) -> Manifest:
        """Raises Refused where there is none."""
        with self._lock:
            self._lock.wait_for(lambda: (repository, reference) not in self._expected, PATIENCE)
            held = dict(self._repositories.get(repository, {}))
        try:
            return held[reference]
        except KeyError:
            raise Refused(404, "MANIFEST_UNKNOWN", f"there is no manifest {repository}:{reference}") from None

    def tags(self, repository: str) -> list[str]:
        """In lexical order. Raises Refused where nothing was put into the repository."""
        with self._lock:
            held = self._repositories.get(repository)
            if held is None:
                raise Refused(404, "NAME_UNKNOWN", f"there is no repository {repository}")
            return sorted(reference for reference in held if not DIGEST.fullmatch(reference))


def _media_type(data: bytes) -> str:
    try:
        value: Any = json.loads(data)
    except ValueError as error:
        raise Refused(400, "MANIFEST_INVALID", f"the manifest is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refused(400, "MANIFEST_INVALID", "the manifest is no JSON object")
    return str(value.get("mediaType", "application/vnd.oci.image.manifest.v1+json"))
