"""Why a step missed: the difference between what went into it now and what went into it when it was last saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from layercache_ci.dockerfile.plan import ARGUMENT, ENVIRONMENT, EXPLAINING, BaseImage
from layercache_ci.report.model import Reason
from layercache_ci.settings import BuildSettings
from layercache_ci.store.model import Step, StepRecord

BEFORE: Final = Reason("parent-missed", "the step before it missed")
DIFFERS: Final = Reason("engine-differs", "the engine did not take what was restored for it")
MOST_NAMED: Final = 5
DETAILS: Final = {
    "tree": "the copied files changed",
    "expanded": "a variable in it changed",
    "sources": "the sources changed",
    "environment": "the order of the environment variables changed",
    "user": "USER changed",
    "workdir": "WORKDIR changed",
    "shell": "SHELL changed",
    "mounts": "its mounts changed",
    "network": "the network mode changed",
    "created": "SOURCE_DATE_EPOCH changed",
}
KINDS: Final = (
    (ARGUMENT, "argument-changed", "build argument "),
    (ENVIRONMENT, "environment-changed", "environment variable "),
    (EXPLAINING, "file-changed", ""),
)
"""Beginnings of names of ingredients, with the code of the reason and what the names are."""


def explain(position: int, ingredients: Mapping[str, str], newest: StepRecord | None, base: BaseImage | None) -> Reason:
    """The reason of the first miss of a chain. `position` is the link's place in it (0 is the base image), `newest` the
    stage's newest record as it was before this build."""
    if newest is None:
        return Reason("not-stored", "no earlier build of this stage is in the store")
    before = newest.chain[0].ingredients.get("base")
    if base is not None and before is not None and base.identity != before:
        return Reason("base-moved", f"base image {base.reference} moved from {before[:12]} to {base.identity[:12]}")
    if position >= len(newest.chain):
        return Reason("not-stored", "the newest build in the store did not get this far")
    return difference(ingredients, newest.chain[position])


def difference(ingredients: Mapping[str, str], known: Step) -> Reason:
    """What changed between a saved step and the ingredients now, the most telling first."""
    changed = [
        name
        for name in sorted({*ingredients, *known.ingredients})
        if ingredients.get(name) != known.ingredients.get(name)
    ]
    if "instruction" in changed:
        return Reason("instruction-changed", "the instruction changed")
    for kind, code, what in KINDS:
        if names := [name.removeprefix(kind) for name in changed if name.startswith(kind)]:
            return Reason(code, f"{what}{_some(names)} changed")
    if any(name == "from" or name.startswith("mount ") for name in changed):
        return Reason("source-changed", "the stage, image or folder that it takes files from changed")
    if changed:
        return Reason("input-changed", "; ".join(DETAILS.get(name, f"{name} changed") for name in changed[:MOST_NAMED]))
    return Reason("gone", "the store no longer holds its layers")


def _some(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    shown = ", ".join(names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED} more"


def unasked(settings: BuildSettings) -> Reason | None:
    """Why nothing is looked up at all, where the settings say so."""
    if settings.no_cache:
        return Reason("no-cache", "--no-cache was given")
    return Reason("no-store", "--mode off was given") if settings.mode == "off" else None
