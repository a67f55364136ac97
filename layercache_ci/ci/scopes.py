"""Whose records a run may read and write, on every store alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from layercache_ci.ci.github import github
from layercache_ci.ci.gitlab import gitlab
from layercache_ci.ci.jenkins import jenkins
from layercache_ci.ci.run import Environment, Run
from layercache_ci.ci.woodpecker import drone, woodpecker
from layercache_ci.settings import BuildSettings, Machine
from layercache_ci.store.model import Scopes

SYSTEMS: Final[tuple[Callable[[Environment], Run | None], ...]] = (github, gitlab, woodpecker, drone, jenkins)

NO_CI: Final = Run("no CI", "default")


@dataclass(frozen=True, slots=True)
class Policy:
    """`why` is for people: why the run may not write, or where its scopes come from."""

    scopes: Scopes
    why: str
    warnings: tuple[str, ...] = ()


def scopes(machine: Machine, settings: BuildSettings) -> Policy:
    """The own ref's scope is read and written, the base's and the default branch's are read; outside of a CI system all
    is in one scope, `default`. `--scope` names another own one, `--read-scope` others to read, and `--mode` overrides
    what may be done."""
    run = next((found for system in SYSTEMS if (found := system(machine.environment))), NO_CI)
    own = settings.scope or run.own
    others = settings.read_scopes or run.others
    read = tuple(dict.fromkeys(name for name in (own, *others) if name))
    if settings.mode == "off":
        return Policy(Scopes((), None), "--mode off")
    if settings.mode == "read-only":
        return Policy(Scopes(read, None), "--mode read-only", run.warnings)
    if run.denied is not None and settings.mode is None:
        return Policy(Scopes(read, None), run.denied, run.warnings)
    return Policy(Scopes(read, own), "--scope" if settings.scope else run.system, run.warnings)
