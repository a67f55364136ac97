"""From a Dockerfile and a context to a Plan, by the rules of one engine family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from layercache_ci.dockerfile.ast import Dockerfile, Instruction
from layercache_ci.dockerfile.containers import CONTAINERS
from layercache_ci.dockerfile.content import Content
from layercache_ci.dockerfile.context import Context, open_context, walk
from layercache_ci.dockerfile.dialect import Dialect, Place, StageRules
from layercache_ci.dockerfile.parser import parse
from layercache_ci.dockerfile.plan import (
    BaseImage,
    ImageResolver,
    Plan,
    PlannedStage,
    PlannedStep,
    base_key,
    digest,
    step_key,
)
from layercache_ci.dockerfile.stages import SCRATCH, Origin, Stage, build_graph, context_name
from layercache_ci.dockerfile.treehash import StatCache
from layercache_ci.errors import InputError, PlanError
from layercache_ci.settings import without_credentials

IMAGE_SCHEMES: Final = ("docker-image://", "container-image://")
"""What `--build-context NAME=` may begin with where it means an image."""
NO_DOCKERFILE: Final = ".no-dockerfile"
"""A named context has no Dockerfile beside which an ignore file could lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to plan. `namespace` keeps caches apart that must not meet; `label_step` says whether labels given on the
    command line come one step each at the end of the file (Buildah to 1.39) or as one at the end of the target."""

    dockerfile: Dockerfile
    context: Context | None
    namespace: str
    platform: str
    name: str = ""
    """Tells this Dockerfile from others in the store, on every machine alike."""
    target: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    predefined: Mapping[str, str] = field(default_factory=dict)
    build_contexts: Mapping[str, str] = field(default_factory=dict)
    labels: Sequence[str] = ()
    label_each: bool = True
    docker_format: bool = False
    """Whether the engine writes images in Docker's format: OCI's has no place for the triggers of ONBUILD."""
    named_owner: int | None = None
    """Content.named_owner: the user who runs a Buildah that counts whether files are its own."""
    cache: StatCache | None = None
    workers: int = 1
    dialect: Dialect = CONTAINERS


@dataclass(frozen=True, slots=True)
class _Start:
    """What a stage begins with."""

    key: str
    rules: StageRules
    triggers: tuple[Instruction, ...]
    parent: int | None
    base: BaseImage | None


@dataclass(frozen=True, slots=True)
class _Finished:
    """What a stage hands on to those that build on it."""

    key: str
    rules: StageRules
    triggers: tuple[Instruction, ...]


class Planner:
    """Plans one request; `plan` is the only entry."""

    def __init__(self, request: Request, resolver: ImageResolver) -> None:
        self._request = request
        self._resolver = resolver
        self._buildkit = request.dialect.family == "buildkit"
        self._images: dict[tuple[str, str], BaseImage] = {}
        self._copied: dict[str, BaseImage] = {}
        self._finished: dict[int, _Finished] = {}
        self._stages: dict[int, PlannedStage] = {}
        self._content = None if request.context is None else self._content_of(request.context)
        self._contexts: dict[str, Content] = {}
        for name, place in request.build_contexts.items():
            if Path(place).is_dir():
                self._contexts[context_name(name, request.dialect.family)] = self._folder(Path(place))
        self._graph = build_graph(
            request.dockerfile,
            build_args=request.build_args,
            predefined=request.predefined,
            contexts=request.build_contexts,
            platform=request.platform,
            family=request.dialect.family,
        )
        self._target = self._graph.target(request.target)

    def plan(self) -> Plan:
        """Raises PlanError where the build can't be planned, InputError where an input is wrong."""
        needed = sorted(self._graph.needed(self._target))
        self._resolve_bases(needed)
        for index in needed:
            self._finish(index)
        notes = [image.note for image in self._images.values() if image.note]
        return Plan(
            namespace=self._request.namespace,
            name=self._request.name,
            graph=self._graph,
            target=self._target.index,
            stages=self._stages,
            images=tuple((image, self._base_key(image)) for image in self._copied.values() if image.identity),
            warnings=tuple(notes),
        )

    def _labels(self, stage: Stage) -> tuple[Instruction, ...]:
        request = self._request
        labelled = self._graph.stages[-1] if request.label_each else self._target
        if not request.labels or stage.index != labelled.index or self._buildkit:
            return ()
        texts = [
            " ".join(f'"{name}"="{value}"' for name, _, value in [label.partition("=")]) for label in request.labels
        ]
        lines = texts if request.label_each else [" ".join(texts)]
        return tuple(_parse_one(f"LABEL {line}", at=stage.start) for line in lines)

    def _finish(self, index: int) -> _Finished:
        """Plan a stage, once. A trigger may need one that nothing else does."""
        if index not in self._finished:
            self._finished[index] = self._stage(self._graph.stages[index])
        return self._finished[index]

    def _stage(self, stage: Stage) -> _Finished:
        start = self._start(stage)
        steps: list[PlannedStep] = []
        key = start.key
        for instruction in (*start.triggers, *stage.instructions, *self._labels(stage)):
            found = start.rules.ingredients(instruction)
            key = step_key(key, found.values) if found.link else key
            steps.append(
                PlannedStep(
                    instruction=instruction,
                    key=key,
                    ingredients=found.values,
                    origins=found.stages,
                    foreseeable=found.foreseeable,
                    reads_mounts=found.reads_mounts,
                    link=found.link,
                    forced=found.forced,
                )
            )
        self._stages[stage.index] = PlannedStage(
            index=stage.index,
            name=stage.name,
            platform=stage.platform,
            start=stage.start,
            parent=start.parent,
            base=start.base,
            base_key=start.key,
            steps=tuple(steps),
        )
        hands_on = self._request.docker_format or self._buildkit
        kept = stage.instructions if hands_on else ()
        return _Finished(key, start.rules, tuple(step.trigger for step in kept if step.trigger is not None))

    def _start(self, stage: Stage) -> _Start:
        place = Place(
            graph=self._graph,
            stage=stage,
            build_args=self._request.build_args,
            predefined=self._request.predefined,
            content=self._content,
            contexts=self._contexts,
            of_origin=lambda origin: self._origin_key(origin, stage),
        )
        parent = stage.base.stage
        if parent is not None:
            before = self._finish(parent)
            triggers = before.triggers
            if self._buildkit:
                first, last = stage.start.start_line, stage.start.end_line
                triggers = tuple(replace(trigger, start_line=first, end_line=last) for trigger in triggers)
            return _Start(before.key, before.rules.child(place), triggers, parent, None)
        base = self._image(stage.base, stage)
        triggers = tuple(_parse_one(text, at=stage.start) for text in base.triggers)
        return _Start(self._base_key(base), self._request.dialect.start(place, base), triggers, None, base)

    def _image(self, origin: Origin, stage: Stage) -> BaseImage:
        if origin.kind == "scratch":
            return BaseImage(SCRATCH, SCRATCH)
        reference = origin.name
        if origin.kind == "context":
            place = self._graph.contexts[origin.name]
            reference = _of_image(place)
            if Path(reference).is_dir() or "://" in reference:
                raise PlanError(
                    f"FROM {origin.name} is the build context {without_credentials(place)!r}, which is no image"
                )
        return self._resolve(reference, stage.platform)

    def _resolve_bases(self, needed: Sequence[int]) -> None:
        """Ask for the images of all stages at once: each may be a round trip to a registry."""
        stages = [self._graph.stages[index] for index in needed]
        wanted = {(stage.base.name, stage.platform) for stage in stages if stage.base.kind == "image"}
        if len(wanted) > 1:
            with ThreadPoolExecutor(len(wanted)) as pool:
                self._images.update(zip(wanted, pool.map(lambda at: self._ask(*at), wanted), strict=True))

    def _resolve(self, reference: str, platform: str) -> BaseImage:
        if reference == SCRATCH:
            return BaseImage(SCRATCH, SCRATCH)
        at = (reference, platform)
        if at not in self._images:
            self._images[at] = self._ask(reference, platform)
        return self._images[at]

    def _ask(self, reference: str, platform: str) -> BaseImage:
        # to the programs that are asked it would be an option, which a build argument may have made of FROM ${NAME}
        if reference.startswith("-"):
            raise PlanError(f"{reference!r} is no name of an image")
        return self._resolver.resolve(reference, platform)

    def _origin_key(self, origin: Origin, stage: Stage) -> str:
        if origin.stage is not None:
            return self._finish(origin.stage).key
        if origin.kind == "scratch":
            return self._base_key(BaseImage(SCRATCH, SCRATCH))
        reference = _of_image(self._graph.contexts.get(origin.name, origin.name))
        if "://" in reference:
            return ""
        if origin.name not in self._copied:
            # BuildKit takes it for the platform of the build, not for that of the stage
            platform = self._request.platform if self._buildkit else stage.platform
            self._copied[origin.name] = self._resolve(reference, platform)
        image = self._copied[origin.name]
        return self._base_key(image) if image.identity else ""

    def _base_key(self, base: BaseImage) -> str:
        # an image that nobody knows gets a key that no record can have
        return base_key(self._request.namespace, base.identity or digest("unknown", base.reference))

    def _content_of(self, context: Context) -> Content:
        request = self._request
        return Content(context, request.cache, request.workers, request.named_owner)

    def _folder(self, root: Path) -> Content:
        """A named build context. BuildKit minds the ignore file in it."""
        if self._buildkit:
            return self._content_of(open_context(root, root / NO_DOCKERFILE, family="buildkit"))
        return self._content_of(Context(root, None, tuple(walk(root, None))))


def _of_image(place: str) -> str:
    for scheme in IMAGE_SCHEMES:
        place = place.removeprefix(scheme)
    return place


def _parse_one(text: str, *, at: Instruction) -> Instruction:
    """An instruction that stands in no file (a trigger of the base image, a label option), at FROM's lines."""
    try:
        found = parse(f"FROM scratch\n{text}\n".encode(), name="trigger").instructions[-1]
    except InputError as error:
        raise PlanError(f"{text!r} can't be read as an instruction: {error}") from error
    return Instruction(
        keyword=found.keyword,
        flags=found.flags,
        form=found.form,
        args=found.args,
        heredocs=found.heredocs,
        trigger=found.trigger,
        original=text,
        start_line=at.start_line,
        end_line=at.end_line,
    )
