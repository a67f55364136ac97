"""After the build: the finished steps' images, out of the engine's storage, as step records."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from layercache_ci import __version__
from layercache_ci.dockerfile.plan import BaseImage, Plan, PlannedStep
from layercache_ci.dockerfile.stages import SCRATCH
from layercache_ci.engines.containers.output import SeenStep
from layercache_ci.engines.containers.restore import IMAGE, image_id
from layercache_ci.engines.containers.ship import ship_layers
from layercache_ci.engines.containers.storage import Storage, StoredImage
from layercache_ci.engines.lookup import Lookup
from layercache_ci.engines.protocol import NOT_SAVED, Saved
from layercache_ci.errors import CacheError
from layercache_ci.layers.model import Layer
from layercache_ci.store.model import Match, Step, StepRecord, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Built:
    """What the engine did with the steps of one planned stage, in order; shorter than the plan where it did not end."""

    stage: int
    steps: tuple[SeenStep, ...]


def built_of(plan: Plan, seen: Mapping[int, Sequence[SeenStep]]) -> tuple[list[Built], frozenset[str]]:
    """What the engine did with the planned stages, and the keys of the steps that it ran; `seen` are its steps by stage
    index, FROM among them."""
    built: list[Built] = []
    missed: set[str] = set()
    for index, steps in seen.items():
        stage = plan.stages.get(index)
        if stage is None:
            continue
        own = tuple(step for step in steps if step.number > 1)
        built.append(Built(index, own))
        missed |= {planned.key for planned, step in zip(stage.steps, own, strict=False) if not step.hit}
    return built, frozenset(missed)


@dataclass(slots=True)
class _Tally:
    records: int = 0
    size: int = 0
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Saver:
    """Saves one build. `links` are the restored ones by key: what the engine hit there is not read again. `found` is
    what the store said before the build."""

    plan: Plan
    storage: Storage
    store: Store
    links: Mapping[str, Step]
    found: Lookup
    workers: int
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By ID, the names that images had which were built on, where another image may have taken them since."""
    _stages: tuple[int, ...] = ()
    """Those that are to be saved."""
    _from_images: tuple[tuple[BaseImage, str], ...] = ()
    """The same of the plan's images."""
    _layers: dict[str, Layer] = field(default_factory=dict)

    def save(self, built: Sequence[Built], missed: frozenset[str]) -> Saved:
        """Ship what is new, then the records. `missed` are the keys of steps that the engine ran. Of what was restored
        whole and taken there is nothing to save, and the store is not asked."""
        saved = _Tally()
        good = self.links.keys() - missed
        self._stages = tuple(index for index in self.plan.stages if not good.issuperset(self.plan.chain(index)))
        self._from_images = tuple((image, key) for image, key in self.plan.images if key not in good)
        if not self._stages and not self._from_images:
            return Saved()
        images = {stage.stage: self._images(stage) for stage in built}
        self._ship(images, saved)
        superseded = missed & self.links.keys()
        for stage in built:
            record = self._record(stage.stage, images, {step.stage: step for step in built})
            if record is not None and stage.stage in self._stages:
                self._publish(record, superseded, saved)
        for image, key in self._from_images:
            link = self._image_link(image, key)
            if link is not None:
                self._publish(self._stamp(f"image {image.reference}", (link,)), frozenset(), saved)
        return Saved(not saved.warnings, saved.records, saved.size, saved.warnings)

    def _images(self, built: Built) -> list[StoredImage]:
        """The image of each finished step, up to the first that has none."""
        found: list[StoredImage] = []
        for seen in built.steps:
            if not seen.image:
                break
            try:
                image = self.storage.image(seen.cached if seen.hit and seen.cached else seen.image)
                self._demand_own(built.stage, image, found[-1] if found else None)
            except CacheError as error:
                log.warning("step %s is not saved: %s", seen.text, error)
                break
            found.append(image)
        return found

    def _demand_own(self, stage: int, image: StoredImage, before: StoredImage | None) -> None:
        """Raises CacheError for an image that a step can't have left. An old engine takes for a step on scratch what an
        earlier build of the same storage has made for another platform."""
        if before is not None and not _follows(image, before):
            raise CacheError("its image was not made from that of the step before")
        base = self.plan.lineage(stage)[0].base
        platforms = {self.plan.stages[index].platform.split("/")[1] for index in (stage, self.plan.target)}
        if base is not None and base.identity == SCRATCH and image.config.get("architecture") not in platforms:
            raise CacheError("its image was made for another platform")

    def _ship(self, images: Mapping[int, Sequence[StoredImage]], saved: _Tally) -> None:
        held = {layer.diff_id: layer for step in self.links.values() for layer in step.layers}
        held |= self._known()
        present = self.store.contains({layer.blob.digest for layer in held.values()})
        held = {diff_id: layer for diff_id, layer in held.items() if layer.blob.digest in present}
        tops = {image.top_layer for chain in images.values() for image in chain if image.top_layer}
        bases = map(self._local, self.plan.base_images)
        tops |= {found.top_layer for found in bases if found is not None and found.top_layer}
        wanted = {layer.diff_id: layer for top in tops for layer in self.storage.layers(top)}
        new = [layer for diff_id, layer in wanted.items() if diff_id not in held]
        self._layers = {**held, **ship_layers(self.storage, new, self.store, held=held, workers=self.workers)}
        saved.size = sum(
            layer.blob.size + (layer.tar_split.size if layer.tar_split else 0)
            for diff_id, layer in self._layers.items()
            if diff_id not in held
        )

    def _known(self) -> dict[str, Layer]:
        """Layers that the store holds by earlier builds of the same stages, or of the same base images."""
        links = (step for match in self._matches() for step in match.record.chain)
        return {layer.diff_id: layer for step in links for layer in step.layers}

    def _matches(self) -> list[Match]:
        """What was not there lately is asked for again: others may have saved it, and it is much that would go up."""
        told = self.found if self.found.recent else Lookup()
        answers = [told.matches.get(index) or self._ask(self.plan.chain(index)) for index in self._stages]
        answers += [told.images.get(key) or self._ask((key,)) for _, key in self._from_images]
        return [match for match in answers if match is not None]

    def _ask(self, chain: Sequence[str]) -> Match | None:
        return self.store.lookup(self.plan.namespace, chain)

    def _local(self, base: BaseImage) -> StoredImage | None:
        if base.identity in {"", SCRATCH}:
            return None
        try:
            image = self.storage.image(base.identity)
        except CacheError:
            return None
        return replace(image, names=image.names or self.names.get(image.id, ()))

    def _record(
        self, index: int, images: Mapping[int, Sequence[StoredImage]], built: Mapping[int, Built]
    ) -> StepRecord | None:
        """The stage's whole lineage as far as it is finished and shipped."""
        lineage = self.plan.lineage(index)
        base = lineage[0].base
        first = None if base is None else self._image_link(base, lineage[0].base_key)
        if first is None:
            return None
        chain = [first]
        below = len(first.layers)
        for stage in lineage:
            steps = built[stage.index].steps if stage.index in built else ()
            finished = images.get(stage.index, ())
            for planned, seen, image in zip(stage.steps, steps, finished, strict=False):
                link = self._link(planned, seen, image, below)
                if link is None:
                    return self._stamp(self.plan.stage_id(index), tuple(chain)) if len(chain) > 1 else None
                below += len(link.layers)
                chain.append(link)
            if len(finished) < len(stage.steps):
                break
        return self._stamp(self.plan.stage_id(index), tuple(chain))

    def _link(self, planned: PlannedStep, seen: SeenStep, image: StoredImage, below: int) -> Step | None:
        known = self.links.get(planned.key)
        if known is not None and image_id(known) == image.id:
            return known
        stored = self.storage.layers(image.top_layer)
        layers = tuple(self._layers[layer.diff_id] for layer in stored if layer.diff_id in self._layers)
        if len(layers) != len(stored):
            return None
        return Step(
            key=planned.key,
            instruction=planned.instruction.keyword,
            text=planned.text,
            ingredients=planned.ingredients,
            layers=layers[below:],
            seconds=None if seen.ended is None or seen.hit else round(seen.ended - seen.started, 3),
            engine={IMAGE: replace(image, names=()).to_json()},
        )

    def _image_link(self, base: BaseImage, key: str) -> Step | None:
        if base.identity == SCRATCH:
            return Step(key, "FROM", SCRATCH, {"base": SCRATCH})
        known = self.links.get(key)
        if known is not None:
            return known
        image = self._local(base)
        if image is None:
            return None
        stored = self.storage.layers(image.top_layer)
        if any(layer.diff_id not in self._layers for layer in stored):
            return None
        layers = tuple(self._layers[layer.diff_id] for layer in stored)
        return Step(key, "FROM", base.reference, {"base": base.identity}, layers, engine={IMAGE: image.to_json()})

    def _stamp(self, stage: str, chain: tuple[Step, ...]) -> StepRecord:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return StepRecord(self.plan.namespace, stage, chain, now, f"layercache {__version__}")

    def _publish(self, record: StepRecord, superseded: frozenset[str], saved: _Tally) -> None:
        try:
            saved.records += self.store.put_record(record, supersede=superseded)
        except CacheError as error:
            saved.warnings.append(f"{NOT_SAVED}{error}")


def _follows(image: StoredImage, before: StoredImage) -> bool:
    """Whether an image is one step further: what the output says of images is checked against the images."""
    return bool(image.config.get("history", [])[:-1] == before.config.get("history", []))
