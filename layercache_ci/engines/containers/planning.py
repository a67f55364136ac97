"""From the settings of a build to its plan, for Podman and Buildah."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
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
from layercache_ci.engines.containers.storage import StoredImage
from layercache_ci.engines.fetched import demand_files
from layercache_ci.errors import CacheError, PlanError
from layercache_ci.settings import BuildSettings, Machine
from layercache_ci.store.model import Store

log = logging.getLogger(__name__)
HEREDOCS_SINCE: Final = (1, 33)
"""Since then it also makes one step of all labels, where there was one a label, and a step of `--env`."""
OWNER_NAMES_UNTIL: Final = (1, 42)
"""Until then it counts whether a file is its own user's: 1.28, 1.33 and 1.39 do, 1.43 does not."""


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
    resolver = replace(resolver_of(settings, machine, engine), remembered=partial(_remembered, store, namespace))
    return Planner(request, resolver).plan()


def resolver_of(settings: BuildSettings, machine: Machine, engine: Engine) -> Resolver:
    """Finds what a reference means to a build with these settings."""
    return Resolver(
        inspect=engine.inspect_image,
        environment=machine.environment,
        policy=engine.pull_policy(settings),
        remembered=lambda _: None,
        options=settings.registry_options,
        unasked="" if settings.platform else host_platform(),
    )


def _demand_plannable(settings: BuildSettings, engine: Engine) -> None:
    demand_files(settings)
    names = {option.partition("=")[0] for option in settings.engine_options}
    if "--jobs" in names:
        raise PlanError("with --jobs the engine's output does not say which step it speaks of; leave it out")
    if "--env" in names and engine.buildah_minor >= HEREDOCS_SINCE:
        raise PlanError("--env makes the engine add steps that are not in the Dockerfile; write ENV there")
    if engine.remote:
        raise PlanError("a service of Podman builds, which does not read what is restored; unset CONTAINER_HOST")
    if engine.keeps_no_layers(settings):
        raise PlanError("with --squash Podman keeps no layers of a step, and finds none; leave it out")
    if engine.driver != "overlay":
        raise PlanError(
            f"the storage driver {engine.driver!r} can't be filled from outside; `layercache doctor` has the remedy"
        )


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
