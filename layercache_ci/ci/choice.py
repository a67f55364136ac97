"""Which store a run uses, and what it may do to it: what was asked for, or what the surroundings offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Final

from layercache_ci.ci.scopes import Policy, scopes
from layercache_ci.errors import InputError
from layercache_ci.settings import BuildSettings, Machine
from layercache_ci.store import Store, StoreChoice, open_store

CACHE_URLS: Final = ("ACTIONS_RESULTS_URL", "ACTIONS_CACHE_URL")


BASES_ARE_SAVED: Final = (
    "--cache-base-images false is not followed: neither engine takes a restored step without the layers below it, so "
    "base images' layers are saved too; leave the option out"
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A store and what may be done to it; `why` is for people, as Policy's is."""

    store: StoreChoice
    why: str
    policy: Policy

    def open(self, environment: Mapping[str, str], warn: Callable[[str], None] = lambda _: None) -> Store:
        """Raises InputError."""
        return open_store(self.store, environment=environment, warn=warn)

    @property
    def notes(self) -> list[str]:
        """What whoever reads the log should know."""
        if self.policy.scopes.write is not None:
            return []
        return [f"the cache is {'only read' if self.policy.scopes.read else 'not used'}: {self.policy.why}"]


def choose(settings: BuildSettings, machine: Machine) -> Chosen:
    """`--store`; else S3 where a bucket is named; else the cache service that a job on GitHub (or the like) has; else
    a local folder. Raises InputError."""
    location, why = _location(settings, machine.environment)
    policy = scopes(machine, settings)
    if settings.cache_base_images == "false":
        policy = replace(policy, warnings=(*policy.warnings, BASES_ARE_SAVED))
    allowed = policy.scopes
    choice = StoreChoice(
        location, machine.cache_home, allowed.read, allowed.write, settings.max_size, settings.s3, settings.tier
    )
    return Chosen(choice, why, policy)


def _location(settings: BuildSettings, environment: Mapping[str, str]) -> tuple[str, str]:
    if settings.store is not None and settings.store.strip():
        return settings.store, "--store names it"
    if settings.s3_bucket is not None:
        bucket = settings.s3_bucket.removeprefix("s3://")
        if not bucket.strip("/"):
            raise InputError(f"--s3-bucket: {settings.s3_bucket!r} names no bucket; write BUCKET or BUCKET/PREFIX")
        return f"s3://{bucket}", "a bucket is named (--s3-bucket or LAYERCACHE_S3_BUCKET)"
    if not any(environment.get(name) for name in CACHE_URLS):
        return "local", "no bucket is named and no cache service is at hand"
    if find_spec("requests") is None:
        return "local", "the job has a cache service, but layercache-ci[github] is not installed"
    from layercache_ci.store.github.service import find_service  # noqa: PLC0415 - only where one may be

    service = find_service(environment)
    if service is None:
        return "local", "a cache service is named, but ACTIONS_RUNTIME_TOKEN, which opens it, is not given"
    return "github", f"the job has a cache service ({service.version})"
