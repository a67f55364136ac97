"""Platforms that are to be built apart: until Buildah 1.41 a cached image counts for every platform, whichever it was
built for, and since then for every variant of one (containers/buildah, imagebuildah/stage_executor.go; pull 6269). So
of two that begin alike, on `scratch` or on one base image, the second would take the layers of the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import Final

from layercache_ci.dockerfile.plan import BaseImage, Plan
from layercache_ci.dockerfile.platform import normalize
from layercache_ci.engines.containers.engine import Engine
from layercache_ci.engines.containers.images import Resolver
from layercache_ci.engines.containers.storage import Storage
from layercache_ci.errors import PlanError

TOLD_APART_SINCE: Final = (1, 41)


def are_mixed(plans: Mapping[str, Plan], engine: Engine) -> bool:
    """Whether the engine would take the images of one of the plans, by their platforms, for those of another."""
    return any(
        engine.buildah_minor < TOLD_APART_SINCE or _architecture(one) == _architecture(other)
        for (one, first), (other, second) in combinations(plans.items(), 2)
        if {base.identity for _, base in _bases(first)} & {base.identity for _, base in _bases(second)}
    )


def demand_unseen(plans: Mapping[str, Plan], seen: Storage, resolver: Resolver) -> None:
    """What is built apart does not see the user's storage. Raises PlanError where it needs an image of there that the
    registry does not have."""
    registry = replace(resolver, policy="always")
    for asked, plan in plans.items():
        copied = [(normalize(asked), image) for image, _ in plan.images]
        for platform, image in (*_bases(plan), *copied):
            if not (image.identity and seen.has_image(image.identity)):
                continue
            if registry.resolve(image.reference, platform).identity != image.identity:
                raise PlanError(
                    f"{image.reference} is in the engine's storage only, and this engine would take the layers that it "
                    "has of one platform for those of another; build one platform at a time to have it cached"
                )


def _bases(plan: Plan) -> list[tuple[str, BaseImage]]:
    """With the platforms that they are for."""
    return [(stage.platform, stage.base) for stage in plan.stages.values() if stage.base is not None]


def _architecture(platform: str) -> list[str]:
    """All of it that the engine looks at."""
    return normalize(platform).split("/")[:2]
