"""What a build will do, known before it runs: stages, steps and the step keys that choose what to restore.

`key(step) = sha256(key(previous link) ‖ ingredients)`, the first link of a chain being the base image. The ingredients
are those that the engine itself counts (dockerfile/containers.py for Podman and Buildah, dockerfile/buildkit.py for
BuildKit); a name that starts with `file:` only explains a miss and is not part of the key, since `tree` covers it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from layercache_ci.dockerfile.ast import Instruction
from layercache_ci.dockerfile.stages import StageGraph

KEY_VERSION: Final = "lc1"
EXPLAINING: Final = "file:"
ARGUMENT: Final = "arg:"
ENVIRONMENT: Final = "env:"
"""Beginnings of the names of ingredients: files, and variables by what set them last."""


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image from outside: what FROM, or a `--from`, names. `identity` is what the engine knows it by (Podman and
    Buildah: its image ID, the digest of its config; BuildKit: the chain ID of its layers), `scratch`, or empty where
    nobody could say what the reference means now."""

    reference: str
    identity: str
    environment: Mapping[str, str] = field(default_factory=dict)
    triggers: tuple[str, ...] = ()
    note: str = ""
    """Anything the user should know of how it was found, or nothing."""
    working_dir: str = ""
    user: str = ""
    shell: tuple[str, ...] = ()


class ImageResolver(Protocol):
    """Finds what a reference means to the engine now: its local image by its pull policy, else the registry's."""

    def resolve(self, reference: str, platform: str) -> BaseImage: ...


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """An instruction. `origins` are the stages that it takes content from; where `foreseeable` is false, the engine's
    own key depends on content from outside that only the build will see."""

    instruction: Instruction
    key: str
    ingredients: Mapping[str, str]
    origins: tuple[int, ...] = ()
    foreseeable: bool = True
    reads_mounts: bool = False
    """Whether it is a RUN that mounts from one of `origins`."""
    link: bool = True
    """Whether it is a link of the chain. BuildKit has results for some instructions only; the others have the key of
    the link before them."""
    forced: bool = False
    """Whether the engine is told to run it whatever its cache holds."""

    @property
    def text(self) -> str:
        return self.instruction.original.strip()


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """`parent` is the stage that it builds on; where there is none, `base` is the image and `base_key` its link."""

    index: int
    name: str
    platform: str
    start: Instruction
    parent: int | None
    base: BaseImage | None
    base_key: str
    steps: tuple[PlannedStep, ...]

    @property
    def needs(self) -> tuple[int, ...]:
        """The stages that it builds on or takes content from."""
        origins = {origin for step in self.steps for origin in step.origins}
        return tuple(sorted(origins if self.parent is None else origins | {self.parent}))


@dataclass(frozen=True, slots=True)
class Plan:
    """`stages` are those that are built, by index; `images` those that only a `--from` names, with their keys."""

    namespace: str
    name: str
    graph: StageGraph
    target: int
    stages: Mapping[int, PlannedStage]
    images: tuple[tuple[BaseImage, str], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def base_images(self) -> tuple[BaseImage, ...]:
        """All that is built on, and copied from."""
        bases = [stage.base for stage in self.stages.values() if stage.base is not None]
        return (*bases, *(image for image, _ in self.images))

    def lineage(self, index: int) -> tuple[PlannedStage, ...]:
        """The stage's ancestors and itself, the one on an image first."""
        stage = self.stages[index]
        before = () if stage.parent is None else self.lineage(stage.parent)
        return (*before, stage)

    def steps(self, index: int) -> tuple[PlannedStep, ...]:
        """All steps of the lineage, in order."""
        return tuple(step for stage in self.lineage(index) for step in stage.steps)

    def links(self, index: int) -> tuple[PlannedStep, ...]:
        """The steps that are links, in order: `links(index)[n - 1]` is the step at position n of the chain."""
        return tuple(step for step in self.steps(index) if step.link)

    def chain(self, index: int) -> tuple[str, ...]:
        """The keys of the stage's chain, the base image's link first."""
        return (self.lineage(index)[0].base_key, *(step.key for step in self.links(index)))

    def stage_id(self, index: int) -> str:
        """Names the stage across builds of the same Dockerfile, so that its newest record can be found."""
        lineage = "/".join(stage.name for stage in self.lineage(index))
        return digest("stage", self.name, str(index), lineage, self.graph.stages[self.target].name)


def name_of(context: Path, dockerfile: Path) -> str:
    """What tells this Dockerfile from others in the store, on every machine alike. One that lies neither in the context
    nor where we run counts by its own name: its folder may have been made for this build alone."""
    root, place = context.resolve(), dockerfile.resolve()
    stays = place.is_relative_to(root) or place.is_relative_to(Path.cwd())
    return f"{root.name}/{os.path.relpath(place, root) if stays else place.name}"


def digest(*parts: str) -> str:
    """sha256, hex, of the parts as a JSON array: no two different lists of parts share one."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode("utf-8", "surrogateescape")).hexdigest()


def base_key(namespace: str, identity: str) -> str:
    """The key of a base image's link."""
    return digest(KEY_VERSION, namespace, "base", identity)


def step_key(previous: str, ingredients: Mapping[str, str]) -> str:
    """The key of the link after `previous`. Whether ARG or ENV gave a variable its value makes no difference."""
    counted = sorted(
        f"{re.sub(f'^{ENVIRONMENT}', ARGUMENT, name)}={value}"
        for name, value in ingredients.items()
        if not name.startswith(EXPLAINING)
    )
    return digest(KEY_VERSION, previous, *counted)
