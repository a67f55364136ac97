"""Choosing what to restore: for each stage the record of the deepest step held, as images of one lineage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from layercache_ci.dockerfile.containers import JUDGED_BY_CONTENT
from layercache_ci.dockerfile.plan import EXPLAINING, Plan, PlannedStep
from layercache_ci.engines.containers.image_store import RestoredImage
from layercache_ci.engines.containers.storage import StoredImage
from layercache_ci.engines.lookup import Lookup
from layercache_ci.layers.model import Layer
from layercache_ci.store.model import Step, StepRecord

IMAGE = "image"
"""The name in Step.engine under which the image of a link is kept."""


@dataclass(slots=True)
class Selection:
    """What to restore, the wanted chain first: Buildah takes the first image that fits and never goes back. `links`
    are the chosen links by key; two records can hold one key with two different images, and only one may be there."""

    images: list[RestoredImage] = field(default_factory=list)
    links: dict[str, Step] = field(default_factory=dict)
    offered: dict[int, int] = field(default_factory=dict)
    """Stage index → how many links of its chain are offered where that is more than match exactly: the engine, which
    sees what a COPY copies, may find that nothing changed."""

    def depth(self, chain: tuple[str, ...]) -> int:
        """How many links of a chain are chosen, from its start."""
        return next((count for count, key in enumerate(chain) if key not in self.links), len(chain))

    def deepest(self, chain: tuple[str, ...]) -> RestoredImage | None:
        """The image of the last link of a chain that is chosen and stands for one."""
        links = [self.links[key] for key in chain[: self.depth(chain)]]
        ids = [image for image in map(image_id, links) if image is not None]
        return next((image for image in self.images if ids and image.image.id == ids[-1]), None)

    def without(self, damaged: Mapping[str, str]) -> Selection:
        """The selection less every image that needs a damaged layer (by diff ID)."""
        kept = Selection(offered=self.offered)
        lost: set[str] = set()
        for image in self.images:
            if any(layer.diff_id in damaged for layer in image.layers):
                lost.add(image.image.id)
            else:
                kept.images.append(image)
        kept.links = {key: step for key, step in self.links.items() if image_id(step) not in lost}
        return kept


def image_id(step: Step) -> str | None:
    """The image that a link stands for, None for scratch."""
    image = step.engine.get(IMAGE)
    return str(image["id"]) if isinstance(image, Mapping) else None


def select(plan: Plan, found: Lookup) -> Selection:
    """Longest chains first, so that a stage shares the lineage of those that build on it."""
    chosen = Selection()
    for index in sorted(plan.stages, key=lambda index: len(plan.chain(index)), reverse=True):
        record, depth = _best(plan, index, found)
        if record is None:
            continue
        if record.chain[depth - 1].key != plan.chain(index)[depth - 1]:
            chosen.offered[index] = depth
        _take(chosen, record, depth)
    for match in found.images.values():
        _take(chosen, match.record, match.depth)
    return chosen


def _best(plan: Plan, index: int, found: Lookup) -> tuple[StepRecord | None, int]:
    """The deepest exact match, or the newest record of the same stage where that may serve further."""
    match, newest = found.matches.get(index), found.newest.get(index)
    depth = match.depth if match is not None else 0
    if newest is not None:
        reach = _reach(plan, index, newest)
        if reach > depth:
            return newest, reach
    return (match.record if match is not None else None), depth


def _reach(plan: Plan, index: int, record: StepRecord) -> int:
    """How many links of the record the engine may find to be the wanted ones: they differ at most in what it judges by
    the content that is copied. It does not look at all that we count, so everything else has to be equal."""
    if record.chain[0].key != plan.chain(index)[0]:
        return 0
    pairs = zip(plan.steps(index), record.chain[1:], strict=False)
    return 1 + sum(1 for _ in takewhile(lambda pair: _may_be_same(*pair), pairs))


def _may_be_same(step: PlannedStep, link: Step) -> bool:
    return all(
        step.ingredients.get(name) == link.ingredients.get(name) or name in JUDGED_BY_CONTENT
        for name in {*step.ingredients, *link.ingredients}
        if not name.startswith(EXPLAINING)
    )


def _take(chosen: Selection, record: StepRecord, depth: int) -> None:
    """Add the first `depth` links of a record, unless another image already stands for one of their keys."""
    have = {image.image.id for image in chosen.images}
    for step, layers in _cumulative(record, depth):
        held = chosen.links.setdefault(step.key, step)
        if image_id(held) != image_id(step):
            return
        image = step.engine.get(IMAGE)
        if isinstance(image, Mapping) and str(image["id"]) not in have:
            chosen.images.append(RestoredImage(StoredImage.from_json(image), layers))
            have.add(str(image["id"]))


def _cumulative(record: StepRecord, depth: int) -> Iterator[tuple[Step, tuple[Layer, ...]]]:
    layers: tuple[Layer, ...] = ()
    for step in record.chain[:depth]:
        layers += step.layers
        yield step, layers
