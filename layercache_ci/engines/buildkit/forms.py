"""In which form layers are where: zstd in the store and in what a builder exports to it, gzip in an image that leaves
the builder, as plain buildx makes it.

BuildKit makes a layer once, in the form that is asked for first, and hands on what it has: a layer restored in zstd, or
made so for an earlier export, would be pushed so. `force-compression` has it make the other form besides. But of a
builder that has layers in two forms, an export that does not force one of them lists all combinations (moby/buildkit,
cache/remote.go, getAvailableBlobs): 1 GB of memory for 18 layers, twice that for each one more. So whoever forces the
image forces the export too, and all exports of that builder from then on. Which that is, is written down; where that
may be lost sooner than the builder's layers, only short images are forced.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

from layercache_ci.dockerfile.go_numbers import TRUE
from layercache_ci.dockerfile.plan import Plan
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.client_config import buildx_folder
from layercache_ci.engines.buildkit.options import is_on, options_of, values_of
from layercache_ci.engines.buildkit.restore import Selection
from layercache_ci.engines.buildkit.result import fields_of, is_image, pushes
from layercache_ci.layers.model import ZSTD_LAYER
from layercache_ci.settings import BuildSettings, Machine

FORCED: Final = "compression=gzip,force-compression=true"
NAMED: Final = frozenset({"compression", "force-compression"})
"""Fields of an output by which the user decides."""
SHORT: Final = 14
"""Layers of which all combinations are no burden: 40 MB, a second."""
UNKNOWN: Final = 10
"""Layers that a base image has, where nothing was restored of it: more than most have."""


class Form(Enum):
    """What an export of the cache is told of compression."""

    ZSTD = "compression=zstd"
    """Of what has no blob yet. Others go as they are, a base image's above all."""
    GZIP = "compression=gzip"
    """The same in gzip: then nothing in the builder is in zstd, and nothing has to be forced."""
    ONLY_GZIP = FORCED


class Held(Enum):
    """What a builder may have of our doing."""

    NOTHING = ""
    ZSTD = "zstd"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Restored:
    """What is known of the target before the engine starts: whether any of its layers is offered in zstd, and how many
    it has about."""

    zstd: bool
    layers: int


@dataclass(frozen=True, slots=True)
class Told:
    """The settings with which the engine is started, and the form of an export. `forced` says whether the image is in
    gzip because of us, and `long` that it is not, for all that it has in zstd."""

    settings: BuildSettings
    export: Form
    forced: bool = False
    long: bool = False


def restored_of(plan: Plan, chosen: Selection) -> Restored:
    """Of what `chosen` offers for the target: exact matches, and its newest record."""
    keys = plan.chain(plan.target)
    links = [chosen.links[key] for key in keys if key in chosen.links]
    stage = plan.stage_id(plan.target)
    newest = [step for record in chosen.records if record.stage == stage for step in record.chain]
    base = len(links[0].layers) if links and links[0].key == keys[0] else UNKNOWN
    return Restored(
        zstd=any(layer.blob.media_type == ZSTD_LAYER for step in (*links, *newest) for layer in step.layers),
        layers=base + len(keys) - 1,
    )


def zstd_keys(plan: Plan, index: int, chosen: Selection) -> tuple[str, ...]:
    """The keys of a stage's chain from the first on that is held in zstd."""
    keys = plan.chain(index)
    for at, key in enumerate(keys):
        if key in chosen.links and any(layer.blob.media_type == ZSTD_LAYER for layer in chosen.links[key].layers):
            return tuple(keys[at:])
    return ()


def tell(
    settings: BuildSettings, builder: Builder, held: Held, restored: Restored | None, *, stands_in: bool, near: bool
) -> Told:
    """How a build on `builder` is told. `near` says whether it reads from our registry: of one that does not, which is
    on another machine, nobody can tell what it holds. `restored` is None where that is not known yet."""
    if not near or exports_elsewhere(settings):
        return Told(settings, Form.GZIP)
    as_gzip = in_gzip(settings, driver=builder.driver, stands_in=stands_in)
    leaves = as_gzip != settings or any(map(_forces, settings.outputs))
    mixed = held is not Held.NOTHING or restored is None or restored.zstd
    if held is not Held.BOTH and not (leaves and mixed):
        return Told(settings, Form.ZSTD)
    if not leaves:
        return Told(settings, Form.ONLY_GZIP)
    if held is not Held.BOTH and not keeps_notes(builder) and (restored is None or restored.layers > SHORT):
        return Told(settings, Form.ZSTD, long=True)
    return Told(as_gzip, Form.ONLY_GZIP, forced=True)


def held_after(told: Told, held: Held) -> Held:
    """What the builder may have once it was told so."""
    if told.export is Form.GZIP:
        return held
    return Held.BOTH if told.export is Form.ONLY_GZIP else Held.ZSTD


def keeps_notes(builder: Builder) -> bool:
    """Whether our notes of it live as long as its layers: buildx knows such a builder from the same folder. A daemon,
    and a builder of ours in it, outlives the home of a job in a container."""
    return builder.driver == "docker-container" and not builder.ours


def exports_elsewhere(settings: BuildSettings) -> bool:
    """Whether the user has BuildKit's cache exported to a place of theirs besides: in gzip, unless they say so, and
    without force (`type=gha` and `type=inline` know none)."""
    return bool(values_of(settings.engine_options, "--cache-to"))


def in_gzip(settings: BuildSettings, *, driver: str, stands_in: bool) -> BuildSettings:
    """The settings with `--push` and `--load` as the outputs that buildx makes of them, and each image that leaves the
    builder in gzip, unless its output names something else. The same where there is no such."""
    if values_of(settings.engine_options, "--output"):
        return settings
    outputs = list(settings.outputs)
    push = settings.push or is_on(settings.engine_options, "--push")
    pushes_more = push and not any(map(is_image, outputs))
    outputs += ["type=image,push=true"] if pushes_more else []
    load = settings.load or (stands_in and not settings.outputs)
    there = any(map(_into_daemon, outputs)) or (stands_in and any(map(is_image, outputs)))
    loads_more = load and driver != "docker" and not there
    outputs += ["type=docker"] if loads_more else []
    told = [
        f"{output},{FORCED}" if _leaves(output, push=push, driver=driver, stands_in=stands_in) else output
        for output in outputs
    ]
    if told == outputs:
        return settings
    kept = (option for option in options_of(settings.engine_options) if not (pushes_more and option.name == "--push"))
    return replace(
        settings,
        outputs=tuple(told),
        push=settings.push and not pushes_more,
        load=settings.load and not loads_more,
        engine_options=tuple(word for option in kept for word in option.words),
    )


def _leaves(output: str, *, push: bool, driver: str, stands_in: bool) -> bool:
    fields = fields_of(output)
    if NAMED & fields.keys():
        return False
    if is_image(output):
        return push or stands_in or pushes(output)
    kind = fields.get("type")
    return kind == "oci" or (kind == "docker" and (driver != "docker" or "dest" in fields))


def _forces(output: str) -> bool:
    fields = fields_of(output)
    return fields.get("force-compression") in TRUE and fields.get("compression", "gzip") == "gzip"


def _into_daemon(output: str) -> bool:
    fields = fields_of(output)
    return fields.get("type") == "docker" and "dest" not in fields


@dataclass(frozen=True, slots=True)
class Notes:
    """What builders may have of our doing, in a file for each."""

    file: Path

    @classmethod
    def of(cls, machine: Machine, builder: Builder) -> Notes:
        """Of a builder by its name, as buildx knows it there."""
        name = f"{buildx_folder(machine)}\n{machine.environment.get('DOCKER_HOST', '')}\n{builder.name}"
        return cls(machine.cache_home / "builders" / hashlib.sha256(name.encode()).hexdigest()[:16])

    def read(self) -> Held:
        """Never raises."""
        return self._read()[0]

    def since(self, held: Held, *, by: str) -> Held:
        """What the builder may have where it had `held`: that, unless another build than `by` wrote of more since."""
        noted, writer = self._read()
        return held if writer == by else max(held, noted, key=list(Held).index)

    def write(self, held: Held, *, by: str = "") -> None:
        """Never raises, and nobody reads half of it."""
        with suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.file.with_name(f"{self.file.name}.{by or 'new'}")
            fresh.write_text(f"{held.value} {by}")
            fresh.replace(self.file)

    def _read(self) -> tuple[Held, str]:
        """And who wrote it."""
        try:
            value, _, writer = self.file.read_text().partition(" ")
            return Held(value), writer
        except (OSError, ValueError):
            return Held.NOTHING, ""
