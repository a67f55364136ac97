"""What a build leaves, and what BuildKit reads for it: of layers that it only pushes, those that the registry lacks
(moby/buildkit, util/push)."""

from __future__ import annotations

import csv
from typing import Final

from layercache_ci.dockerfile.go_numbers import TRUE
from layercache_ci.engines.buildkit.options import is_on, values_of
from layercache_ci.settings import BuildSettings

IMAGES: Final = frozenset({"image", "registry"})
NO_FILES: Final = frozenset({*IMAGES, "cacheonly"})
"""Types of output that are made without a layer being unpacked, where the builder has no image store of its own."""


def fields_of(output: str) -> dict[str, str]:
    """The fields of `--output`, a line of CSV (docker/buildx, util/buildflags/export.go); a path alone has none."""
    pairs = (field.partition("=") for row in csv.reader([output]) for field in row)
    return {name.strip().lower(): value for name, equals, value in pairs if equals}


def is_image(output: str) -> bool:
    return fields_of(output).get("type") in IMAGES


def pushes(output: str) -> bool:
    """Whether what this output makes goes to a registry."""
    fields = fields_of(output)
    return fields.get("type") == "registry" or (fields.get("type") == "image" and fields.get("push") in TRUE)


def outputs_of(settings: BuildSettings) -> tuple[str, ...]:
    """All outputs, those behind `--` included."""
    return (*settings.outputs, *values_of(settings.engine_options, "--output"))


def is_pushed(settings: BuildSettings) -> bool:
    """Whether the image goes to a registry."""
    return settings.push or is_on(settings.engine_options, "--push") or any(map(pushes, outputs_of(settings)))


def needs_files(settings: BuildSettings, *, driver: str, stands_in: bool) -> bool:
    """Whether the result is made of the layers' content: with the docker driver, or a builder that `stands_in` for it,
    every image is, since it ends in the daemon."""
    if settings.load or driver == "docker" or (stands_in and not settings.outputs):
        return True
    if is_on(settings.engine_options, "--load"):
        return True
    without = NO_FILES - IMAGES if stands_in else NO_FILES
    return not all(fields_of(output).get("type") in without for output in outputs_of(settings))
