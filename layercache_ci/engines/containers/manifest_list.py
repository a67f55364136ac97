"""The list that `--manifest` names: the engine adds the image of a build to it, in the storage that it builds in. Ours
may be another one, and a build for several platforms is several to the engine, so we do that after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from layercache_ci.dockerfile.platform import parse
from layercache_ci.engines.containers.engine import Engine
from layercache_ci.engines.process import ask
from layercache_ci.errors import EngineError
from layercache_ci.settings import BuildSettings

OPTION: Final = "--manifest"


def without_list(settings: BuildSettings) -> tuple[BuildSettings, str | None]:
    """The settings less the option, and the name of the list, None where there is none."""
    kept: list[str] = []
    name: str | None = None
    words = iter(settings.engine_options)
    for word in words:
        option, given, value = word.partition("=")
        if option == OPTION:
            name = value if given else next(words, None)
        else:
            kept.append(word)
    return replace(settings, engine_options=tuple(kept)), name


def add_to_list(
    engine: Engine, name: str, images: Iterable[tuple[str | None, str | None]], environment: Mapping[str, str]
) -> None:
    """By their IDs, each with the platform that was asked for: an old engine leaves that of the base image, or another
    variant, in the image itself, and its own build puts what was asked for into the list. Raises EngineError."""
    with suppress(EngineError):
        ask([engine.executable, "manifest", "create", "--", name], environment)  # one of that name is added to
    for image, platform in images:
        if image is not None:
            words = [engine.executable, "manifest", "add", *_entry(platform)]
            ask([*words, "--", name, f"containers-storage:{image}"], environment)


def _entry(platform: str | None) -> list[str]:
    """What the list is to say of an image; nothing but what the image says itself where no platform was asked for."""
    if platform is None:
        return []
    wanted = parse(platform)
    variant = [f"--variant={wanted.variant}"] if wanted.variant else []
    return [f"--os={wanted.system}", f"--arch={wanted.architecture}", *variant]
