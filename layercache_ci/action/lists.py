"""Images for several platforms by Podman and Buildah: their build makes a manifest list, which is named and pushed by
commands of its own (buildah-build(1), buildah-manifest(1))."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from layercache_ci.engines.process import ask
from layercache_ci.errors import EngineError, InputError
from layercache_ci.settings import BuildSettings

PUSH_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class ManifestList:
    """What a build for several platforms leaves; `names` are full references, the first the build's own."""

    engine: str
    names: tuple[str, ...]
    push: bool
    options: tuple[str, ...]

    def forget(self, environment: Mapping[str, str]) -> None:
        """An earlier list of that name: the build would add to it."""
        with suppress(EngineError):
            ask([self.engine, "manifest", "rm", "--", self.names[0]], environment)

    def publish(self, settings: BuildSettings, environment: Mapping[str, str]) -> None:
        """Give it its other names, push it where that is asked for, and write down what it is where the build has
        written of the platform that came last. Raises EngineError."""
        first, *more = self.names
        if more:
            ask([self.engine, "tag", "--", first, *more], environment)
        if self.push:
            digest = self._push(environment)
        else:
            # a line for each of its names
            digest, *_ = ask([self.engine, "images", "--format", "{{.Digest}}", first], environment).split() or [""]
        metadata = {"containerimage.digest": digest, "image.name": ",".join(self.names)}
        try:
            # a list has no image ID; buildx gives its digest for one, too
            for path, text in (
                (settings.iidfile, digest),
                (settings.metadata_file, f"{json.dumps(metadata, indent=2)}\n"),
            ):
                if path is not None:
                    path.write_text(text)
        except OSError as error:
            raise EngineError(f"the result can't be written down: {error}") from error

    def _push(self, environment: Mapping[str, str]) -> str:
        """Under every name; the digest that it has there."""
        with tempfile.NamedTemporaryFile("r", prefix="layercache-") as file:
            options = ["--all", f"--digestfile={file.name}", *self.options]
            for name in self.names:
                command = [self.engine, "manifest", "push", *options, "--", self.names[0], f"docker://{name}"]
                ask(command, environment, timeout=PUSH_SECONDS)
            return file.read().strip()


def as_list(settings: BuildSettings) -> tuple[BuildSettings, ManifestList | None]:
    """For Podman and Buildah, the settings of a build that makes a list, and that list; the same settings and None for
    a build for one platform. Raises InputError."""
    if "," not in (settings.platform or ""):
        return settings, None
    if not settings.tags:
        raise InputError(
            f"platforms: {settings.platform!r} makes a manifest list, which needs a name; give one with tags"
        )
    made = ManifestList(settings.engine, settings.tags, settings.push, settings.registry_options)
    built = (*settings.engine_options, f"--manifest={settings.tags[0]}")
    return replace(settings, tags=(), push=False, engine_options=built), made
