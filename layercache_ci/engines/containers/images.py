"""What an image reference means to Podman or Buildah now: a local image by the pull policy, else the registry's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from layercache_ci.dockerfile.plan import BaseImage
from layercache_ci.engines.process import ask
from layercache_ci.errors import EngineError

INDEXES: Final = frozenset(
    {"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"}
)


def base_image(reference: str, identity: str, config: Mapping[str, Any], *, note: str = "") -> BaseImage:
    """A BaseImage of an image ID and its config (OCI image specification, config.md)."""
    inner = config.get("config") or {}
    pairs = (entry.partition("=") for entry in inner.get("Env") or ())
    return BaseImage(
        reference=reference,
        identity=identity,
        environment={name: value for name, _, value in pairs},
        triggers=tuple(inner.get("OnBuild") or ()),
        note=note,
    )


@dataclass(frozen=True, slots=True)
class Resolver:
    """Asks the engine for local images and skopeo for remote ones.

    `policy` is the engine's: `missing` takes a local image where there is one, `newer` the registry's where it differs,
    `always` the registry's, `never` the local one. `remembered` gives the base image of the newest record for a
    reference, for when the registry can't be reached. For the platform `unasked` a local image of any other does too.
    """

    inspect: Sequence[str]
    environment: Mapping[str, str]
    policy: str
    remembered: Callable[[str], BaseImage | None]
    options: Sequence[str] = ()
    """Options of the build that `skopeo inspect` has too."""
    unasked: str = ""

    def resolve(self, reference: str, platform: str) -> BaseImage:
        """Never raises: an image that nobody knows has the identity ``""``, and what builds on it can't be foreseen."""
        local = None if self.policy == "always" else self._local(reference, platform)
        if local is not None and self.policy in {"missing", "never"}:
            return local
        try:
            return self._remote(reference, platform, local)
        except EngineError as error:
            known = local or self.remembered(reference)
            if known is not None:
                said = "the local image is used" if local else "the image of the newest build is assumed"
                return BaseImage(
                    known.reference,
                    known.identity,
                    known.environment,
                    known.triggers,
                    f"{reference}: the registry can't be asked ({error}); {said}",
                )
            return BaseImage(
                reference, "", note=f"{reference}: can't be found ({error}); what builds on it is not planned"
            )

    def _local(self, reference: str, platform: str) -> BaseImage | None:
        try:
            found = json.loads(ask([*self.inspect, reference], self.environment))
        except EngineError:
            return None
        image = found[0] if isinstance(found, list) else found
        if "FromImageID" in image:
            identity, config = image["FromImageID"], json.loads(image["Config"])
            has = (config.get("os"), config.get("architecture"))
        else:
            identity, config = image["Id"], {"config": image["Config"]}
            has = (image.get("Os"), image.get("Architecture"))
        differs = any(one and one != other for one, other in zip(has, platform.split("/")[:2], strict=True))
        if differs and platform != self.unasked:
            return None  # the engine asks the registry then (containers/common, libimage)
        return base_image(reference, identity, config)

    def _remote(self, reference: str, platform: str, local: BaseImage | None) -> BaseImage:
        manifest = self._manifest(reference)
        if manifest.get("mediaType") in INDEXES or "manifests" in manifest:
            repository = reference.partition("@")[0]
            head, _, tail = repository.rpartition(":")
            if head and "/" not in tail:
                repository = head
            wanted = f"{repository}@{_choose(manifest['manifests'], platform, reference)}"
            manifest = self._manifest(wanted)
        else:
            wanted = reference
        identity = str(manifest["config"]["digest"]).removeprefix("sha256:")
        if local is not None and local.identity == identity:
            return local
        config = json.loads(self._skopeo("--config", "--raw", f"docker://{wanted}"))
        return base_image(reference, identity, config)

    def _manifest(self, reference: str) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads(self._skopeo("--raw", f"docker://{reference}"))
        return manifest

    def _skopeo(self, *words: str) -> str:
        if shutil.which("skopeo", path=self.environment.get("PATH")) is None:
            raise EngineError("skopeo, which asks it, is not on PATH; install it")
        # Buildah and Podman read this variable, Skopeo only has an option of the same meaning.
        registries = self.environment.get("CONTAINERS_REGISTRIES_CONF")
        options = ["--registries-conf", registries] if registries else []
        return ask(["skopeo", *options, "inspect", *self.options, *words], self.environment)


def _choose(manifests: Sequence[Mapping[str, Any]], platform: str, reference: str) -> str:
    """The digest of the manifest for `os/architecture[/variant]`."""
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    for entry in manifests:
        has = entry.get("platform") or {}
        if (
            has.get("os") == system
            and has.get("architecture") == architecture
            and (not variant or has.get("variant", variant) == variant)
        ):
            return str(entry["digest"])
    raise EngineError(f"{reference} has no image for {platform}")
