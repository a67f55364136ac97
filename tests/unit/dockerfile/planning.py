"""Plans made without an engine: every image that is asked for is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from layercache_ci.dockerfile.containers import CONTAINERS
from layercache_ci.dockerfile.context import open_context
from layercache_ci.dockerfile.dialect import Dialect
from layercache_ci.dockerfile.parser import parse
from layercache_ci.dockerfile.plan import BaseImage, Plan, digest
from layercache_ci.dockerfile.planner import Planner, Request
from layercache_ci.dockerfile.platform import platform_args

PLATFORM = "linux/amd64"


@dataclass(frozen=True, slots=True)
class Images:
    """Gives each reference an identity of its own, or the image that `known` has."""

    known: Mapping[str, BaseImage] = field(default_factory=dict)

    def resolve(self, reference: str, platform: str) -> BaseImage:
        return self.known.get(reference) or BaseImage(reference, digest(reference, platform))


def plan_of(
    context: Path,
    *,
    dockerfile: Path | None = None,
    build_args: Mapping[str, str] | None = None,
    target: str | None = None,
    contexts: Mapping[str, str] | None = None,
    labels: Sequence[str] = (),
    newer: bool = False,
    docker_format: bool = False,
    images: Mapping[str, BaseImage] | None = None,
    dialect: Dialect = CONTAINERS,
) -> Plan:
    """What a build of the folder `context` is planned to do. `newer`: as Buildah 1.43 counts."""
    path = dockerfile or next(context / name for name in ("Containerfile", "Dockerfile") if (context / name).exists())
    request = Request(
        dockerfile=parse(path.read_bytes(), name=path.name),
        context=open_context(context, path, family=dialect.family),
        namespace="test",
        platform=PLATFORM,
        target=target,
        build_args=build_args or {},
        predefined=platform_args(PLATFORM, PLATFORM, target or ""),
        build_contexts=contexts or {},
        labels=labels,
        label_each=not newer,
        named_owner=None if newer else 0,
        docker_format=docker_format,
        dialect=dialect,
    )
    return Planner(request, Images(images or {})).plan()
