"""What sets apart how the engine families read a Dockerfile and count the inputs of a step.

The planner walks the stages; everything that an engine does in its own way it asks of a `StageRules`, one for each
stage (containers.py for Podman and Buildah, buildkit.py for BuildKit).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from layercache_ci.dockerfile.ast import Instruction
from layercache_ci.dockerfile.content import Content
from layercache_ci.dockerfile.ignore import Family
from layercache_ci.dockerfile.plan import BaseImage
from layercache_ci.dockerfile.stages import Origin, Stage, StageGraph


@dataclass(frozen=True, slots=True)
class Ingredients:
    """The inputs of one step; the fields are those of PlannedStep."""

    values: Mapping[str, str]
    foreseeable: bool = True
    stages: tuple[int, ...] = ()
    reads_mounts: bool = False
    link: bool = True
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stage stands. `content` is the build context, `contexts` the named ones that are folders; `of_origin`
    gives the key of a stage or image that content comes from, empty where it can't be known."""

    graph: StageGraph
    stage: Stage
    build_args: Mapping[str, str]
    predefined: Mapping[str, str]
    content: Content | None
    contexts: Mapping[str, Content]
    of_origin: Callable[[Origin], str]

    def origin(self, name: str, *, numbered: bool = True) -> Origin:
        """What a `--from` of this stage means."""
        return self.graph.origin(name, before=self.stage.index, numbered=numbered)


class StageRules(Protocol):
    """The rules for one stage, which keep track of what its instructions change."""

    def ingredients(self, instruction: Instruction) -> Ingredients:
        """Of the next instruction. Raises PlanError and InputError."""

    def child(self, place: Place) -> StageRules:
        """Rules for a stage that builds on this one as it now stands."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """An engine family. `start` makes the rules of a stage that builds on an image."""

    family: Family
    start: Callable[[Place, BaseImage], StageRules]
