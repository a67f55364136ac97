"""What an image reference means to a builder now: the daemon's own image where it looks there first, else the
registry's.

BuildKit knows an image by its manifest's digest or by the chain ID of its layers (source/containerimage/pull.go); ours
is the chain ID, since it stays the same however the layers are compressed and wherever they come from.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from layercache_ci.dockerfile.plan import BaseImage
from layercache_ci.dockerfile.platform import normalize, runs
from layercache_ci.dockerfile.stages import SCRATCH
from layercache_ci.engines.buildkit.builders import Builder, docker_words
from layercache_ci.engines.buildkit.buildx import buildx
from layercache_ci.engines.process import ask
from layercache_ci.errors import EngineError, InputError

ATTESTATION: Final = "unknown"
"""The platform of what an index holds beside images."""
UNSEEN: Final = re.compile(r"\b(?:ONBUILD|SHELL)\b")
"""What OCI's specification of an image has no place for, and Docker's has, as a history mentions it."""
PATIENCE: Final = 20.0
"""Seconds that a registry has."""


@dataclass(frozen=True, slots=True)
class Resolver:
    """Asks the daemon that a `builder` of the docker driver is in, and the registry by buildx, with the builder's
    configuration; `asked` is told first. `remembered` gives the base image of the newest record for a reference, for
    when the registry can't be reached; with `pull` the daemon is not asked."""

    builder: Builder
    environment: Mapping[str, str]
    remembered: Callable[[str], BaseImage | None]
    pull: bool = False
    asked: Callable[[], None] = lambda: None

    def resolve(self, reference: str, platform: str) -> BaseImage:
        """Never raises: an image that nobody knows has the identity ``""``, and what builds on it can't be foreseen."""
        self.asked()
        if self.builder.driver == "docker" and not self.pull:
            local = self._local(reference, platform)
            if local is not None:
                return local
        try:
            return self._remote(reference, platform)
        except EngineError as error:
            known = self.remembered(reference)
            if known is None:
                return BaseImage(
                    reference, "", note=f"{reference}: can't be found ({error}); what builds on it is not planned"
                )
            said = f"{reference}: the registry can't be asked ({error}); the image of the newest build is assumed"
            return replace(known, note=said)

    def _local(self, reference: str, platform: str) -> BaseImage | None:
        try:
            (image,) = json.loads(ask([*docker_words(self.builder), "image", "inspect", reference], self.environment))
        except (EngineError, ValueError):
            return None
        if not _fits(image, platform):
            return None
        return base_image(reference, (image.get("RootFS") or {}).get("Layers") or (), image.get("Config") or {})

    def _remote(self, reference: str, platform: str) -> BaseImage:
        manifest = _decoded(self._inspect(reference, "--raw"), reference)
        wanted = reference
        if "manifests" in manifest:
            wanted = f"{_repository(reference)}@{_choose(manifest['manifests'], platform, reference)}"
        image = _decoded(self._inspect(wanted, "--format", "{{json .Image}}"), reference)
        if "config" not in image and "rootfs" not in image and len(image) == 1:
            (image,) = image.values()
        config = image.get("config") or {}
        history = "\n".join(str(entry.get("created_by", "")) for entry in image.get("history") or ())
        # where it has neither, that spares two commands
        if not history or UNSEEN.search(history):
            try:
                config = self._whole_config(reference, wanted, manifest)
            except EngineError:
                if "ONBUILD" in history:  # steps that nobody would plan
                    raise
        return base_image(reference, (image.get("rootfs") or {}).get("diff_ids") or (), config)

    def _whole_config(self, reference: str, wanted: str, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        """The config as the registry has it: of its fields buildx shows only those that OCI's specification knows."""
        if "config" not in manifest:
            manifest = _decoded(self._inspect(wanted, "--raw"), reference)
        digest = (manifest.get("config") or {}).get("digest")
        whole = _decoded(self._inspect(f"{_repository(reference)}@{digest}", "--raw"), reference)
        return whole.get("config") or {}

    def _inspect(self, reference: str, *options: str) -> str:
        words = [
            *buildx(self.environment),
            "imagetools",
            "inspect",
            f"--builder={self.builder.name}",
            *options,
            reference,
        ]
        return ask(words, self.environment, timeout=PATIENCE)


def base_image(reference: str, diff_ids: Sequence[str], config: Mapping[str, Any]) -> BaseImage:
    """A BaseImage of the layers' diff IDs and the `config` of an image's config (OCI image specification, config.md).
    An image without layers is `scratch` to BuildKit."""
    environment: dict[str, str] = {}
    for entry in config.get("Env") or ():
        name, _, value = entry.partition("=")
        environment.pop(name, None)
        environment[name] = value
    return BaseImage(
        reference=reference,
        identity=chain_id(diff_ids) if diff_ids else SCRATCH,
        environment=environment,
        triggers=tuple(config.get("OnBuild") or ()),
        working_dir=config.get("WorkingDir") or "",
        user=config.get("User") or "",
        shell=tuple(config.get("Shell") or ()),
    )


def chain_id(diff_ids: Sequence[str]) -> str:
    """OCI image specification, config.md: the identity of layers applied one on another."""
    found = diff_ids[0]
    for diff_id in diff_ids[1:]:
        found = f"sha256:{hashlib.sha256(f'{found} {diff_id}'.encode()).hexdigest()}"
    return found


def _decoded(text: str, reference: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise EngineError(f"docker buildx imagetools inspect {reference}: {error}") from error
    if not isinstance(value, dict):
        raise EngineError(f"docker buildx imagetools inspect {reference}: no image")
    return value


def _fits(image: Mapping[str, Any], platform: str) -> bool:
    return _normal((image.get("Os"), image.get("Architecture"), image.get("Variant"))) in runs(platform)


def _normal(platform: Sequence[str | None]) -> str:
    """Empty where it is none that we know of."""
    try:
        return normalize("/".join(filter(None, platform)))
    except InputError:
        return ""


def _repository(reference: str) -> str:
    """The reference without its tag and digest."""
    repository = reference.partition("@")[0]
    head, _, tail = repository.rpartition(":")
    return head if head and "/" not in tail else repository


def _choose(manifests: Sequence[Mapping[str, Any]], platform: str, reference: str) -> str:
    """The digest of the manifest for a normalized `platform`, or for one whose images serve; of several the first."""
    found: dict[str, str] = {}
    for entry in manifests:
        has = entry.get("platform") or {}
        if has.get("os") != ATTESTATION:
            found.setdefault(
                _normal((has.get("os"), has.get("architecture"), has.get("variant"))), str(entry["digest"])
            )
    for wanted in runs(platform):
        if wanted in found:
            return found[wanted]
    raise EngineError(f"{reference} has no image for {platform}")
