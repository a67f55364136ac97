"""From the settings of a build to its plan, for Podman and Buildah."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Final

from layercache_ci.dockerfile.ast import Dockerfile
from layercache_ci.dockerfile.context import open_context
from layercache_ci.dockerfile.parser import parse
from layercache_ci.dockerfile.plan import BaseImage, Plan, digest, name_of
from layercache_ci.dockerfile.planner import Planner, Request
from layercache_ci.dockerfile.platform import host_platform, normalize, platform_args
from layercache_ci.dockerfile.treehash import StatCache
from layercache_ci.engines.containers.engine import Engine
from layercache_ci.engines.containers.images import Resolver, base_image
from layercache_ci.engines.containers.restore import IMAGE
from layercache_ci.engines.containers.storage import Storage, StoredImage
from layercache_ci.engines.fetched import demand_files
from layercache_ci.errors import CacheError, PlanError
from layercache_ci.settings import BuildSettings, Machine
from layercache_ci.store.model import Store

log = logging.getLogger(__name__)
HEREDOCS_SINCE: Final = (1, 33)
OWNER_NAMES_UNTIL: Final = (1, 28)
"""Since then it also makes one step of all labels, where there was one a label, and a step of `--env`."""
PLATFORMS_TOLD_APART_SINCE: Final = (1, 41)
"""Since then an image counts only for its own platform when a step is looked up (containers/buildah, pull 6269)."""


def make_plans(settings: BuildSettings, machine: Machine, engine: Engine, store: Store | None) -> dict[str, Plan]:
    """By platform, as it is written, the plans of a build; one by no name where none is asked for. Raises PlanError and
    InputError for what can't be planned."""
    asked = settings.platform.split(",") if settings.platform else [""]
    once = {normalize(platform) if platform else "": platform for platform in asked}
    if len(once) > 1 and settings.outputs:
        raise PlanError(f"--output {settings.outputs[0]}: build one platform at a time to have it cached")
    return {
        platform: make_plan(replace(settings, platform=platform or None), machine, engine, store)
        for platform in once.values()
    }


def are_mixed(plans: Mapping[str, Plan], engine: Engine) -> bool:
    """Whether the engine would take the images of one of the plans for those of another, being built on the same."""
    return any(
        engine.buildah_minor < PLATFORMS_TOLD_APART_SINCE or _architecture(one) == _architecture(other)
        for (one, first), (other, second) in combinations(plans.items(), 2)
        if {base.identity for base in _bases(first)} & {base.identity for base in _bases(second)}
    )


def _architecture(platform: str) -> list[str]:
    """All of it that the engine looks at."""
    return normalize(platform).split("/")[:2]


def demand_unseen(plans: Mapping[str, Plan], engine: Engine) -> None:
    """Raises PlanError where an image that is used is in the user's storage, and CacheError where that can't be read:
    what must not see that storage can't be built then."""
    users = Storage(engine.graph_root)
    for plan in plans.values():
        for image in (*_bases(plan), *(image for image, _ in plan.images)):
            if image.identity and users.has_image(image.identity):
                raise PlanError(
                    f"Buildah {engine.buildah} takes the layers of one platform for those of another where it has "
                    f"{image.reference} already; build one platform at a time, or with 1.41, to have it cached"
                )


def _bases(plan: Plan) -> list[BaseImage]:
    return [stage.base for stage in plan.stages.values() if stage.base is not None]


def make_plan(settings: BuildSettings, machine: Machine, engine: Engine, store: Store | None) -> Plan:
    """Raises PlanError and InputError for what can't be planned."""
    _demand_plannable(settings, engine)
    platform = normalize(settings.platform) if settings.platform else host_platform()
    dockerfile = parse(settings.dockerfile.read_bytes(), name=str(settings.dockerfile))
    if engine.buildah_minor < HEREDOCS_SINCE and _has_heredocs(dockerfile):
        raise PlanError(f"Buildah {engine.buildah} does not know heredocs")
    options = digest(settings.cache_version, *settings.engine_options)[:16]
    namespace = f"{engine.family}-{platform.replace('/', '-')}-{options}"
    request = Request(
        dockerfile=dockerfile,
        context=open_context(Path(settings.context).absolute(), settings.dockerfile.absolute(), family="containers"),
        namespace=namespace,
        platform=platform,
        name=name_of(Path(settings.context), settings.dockerfile),
        target=settings.target,
        build_args=settings.build_args,
        predefined=platform_args(host_platform(), platform, settings.target or ""),
        build_contexts=settings.build_contexts,
        labels=settings.labels,
        label_each=engine.buildah_minor < HEREDOCS_SINCE,
        docker_format=engine.docker_format(settings, machine),
        named_owner=machine.uid if engine.buildah_minor <= OWNER_NAMES_UNTIL else None,
        cache=StatCache(machine.cache_home / "hashes"),
        workers=machine.cpus,
    )
    resolver = Resolver(
        inspect=engine.inspect_image,
        environment=machine.environment,
        policy=engine.pull_policy(settings),
        remembered=lambda reference: _remembered(store, namespace, reference),
        options=settings.registry_options,
        unasked="" if settings.platform else host_platform(),
    )
    return Planner(request, resolver).plan()


def _demand_plannable(settings: BuildSettings, engine: Engine) -> None:
    demand_files(settings)
    names = {option.partition("=")[0] for option in settings.engine_options}
    if "--jobs" in names:
        raise PlanError("with --jobs the engine's output does not say which step it speaks of; leave it out")
    if "--env" in names and engine.buildah_minor >= HEREDOCS_SINCE:
        raise PlanError("--env makes the engine add steps that are not in the Dockerfile; write ENV there")
    if engine.driver != "overlay":
        raise PlanError(f"the storage driver {engine.driver!r} can't be filled from outside; set driver to overlay")


def _has_heredocs(dockerfile: Dockerfile) -> bool:
    return any(instruction.heredocs for instruction in dockerfile.instructions)


def _remembered(store: Store | None, namespace: str, reference: str) -> BaseImage | None:
    """The base image that the newest record with this reference was built on."""
    if store is None:
        return None
    try:
        for record in store.records():
            base = record.chain[0]
            image = base.engine.get(IMAGE)
            if record.namespace == namespace and base.text == reference and isinstance(image, Mapping):
                stored = StoredImage.from_json(image)
                return base_image(reference, stored.id, stored.config)
    except CacheError as error:
        log.warning("%s", error)
    return None
