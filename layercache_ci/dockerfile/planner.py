"""From a Dockerfile and a context to a Plan, by the rules of Podman and Buildah."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from layercache_ci.dockerfile.ast import Dockerfile, Instruction
from layercache_ci.dockerfile.containers import Rules
from layercache_ci.dockerfile.containers_scope import Scope
from layercache_ci.dockerfile.content import Content
from layercache_ci.dockerfile.context import Context, walk
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
from layercache_ci.dockerfile.stages import SCRATCH, Origin, Stage, StageGraph, build_graph
from layercache_ci.dockerfile.treehash import StatCache
from layercache_ci.errors import InputError, PlanError


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


@dataclass(frozen=True, slots=True)
class _Finished:
    """What a stage hands on to those that build on it."""

    key: str
    environment: Mapping[str, str]
    triggers: tuple[Instruction, ...]


class Planner:
    """Plans one request; `plan` is the only entry."""

    def __init__(self, request: Request, resolver: ImageResolver) -> None:
        self._request = request
        self._resolver = resolver
        self._images: dict[tuple[str, str], BaseImage] = {}
        self._copied: dict[str, BaseImage] = {}
        self._finished: dict[int, _Finished] = {}
        self._stages: dict[int, PlannedStage] = {}
        self._content = self._content_of(request.context)
        folders = {name.lower(): Path(place) for name, place in request.build_contexts.items() if Path(place).is_dir()}
        self._contexts = {
            name: Content(
                Context(root, None, tuple(walk(root, None))), request.cache, request.workers, request.named_owner
            )
            for name, root in folders.items()
        }

    def plan(self) -> Plan:
        """Raises PlanError where the build can't be planned, InputError where an input is wrong."""
        request = self._request
        graph = build_graph(
            request.dockerfile,
            build_args=request.build_args,
            predefined=request.predefined,
            contexts=request.build_contexts,
            platform=request.platform,
        )
        target = graph.target(request.target)
        for index in sorted(graph.needed(target)):
            self._stage(graph, graph.stages[index], self._labels(graph, target, index))
        notes = [image.note for image in self._images.values() if image.note]
        return Plan(
            namespace=request.namespace,
            name=request.name,
            graph=graph,
            target=target.index,
            stages=self._stages,
            images=tuple((image, self._base_key(image)) for image in self._copied.values() if image.identity),
            warnings=tuple(notes),
        )

    def _labels(self, graph: StageGraph, target: Stage, index: int) -> tuple[Instruction, ...]:
        request = self._request
        if not request.labels or index != (len(graph.stages) - 1 if request.label_each else target.index):
            return ()
        texts = [
            " ".join(f'"{name}"="{value}"' for name, _, value in [label.partition("=")]) for label in request.labels
        ]
        lines = texts if request.label_each else [" ".join(texts)]
        return tuple(_parse_one(f"LABEL {line}", at=graph.stages[index].start) for line in lines)

    def _stage(self, graph: StageGraph, stage: Stage, labels: tuple[Instruction, ...]) -> None:
        before, parent, base = self._start(graph, stage)
        scope = Scope(self._request.build_args, graph.global_args, self._request.predefined, before.environment)
        rules = Rules(
            graph=graph,
            stage=stage,
            scope=scope,
            content=self._content,
            of_origin=lambda origin: self._origin_key(origin, stage),
            build_contexts=self._contexts,
        )
        steps: list[PlannedStep] = []
        key = before.key
        for instruction in (*before.triggers, *stage.instructions, *labels):
            found = rules.ingredients(instruction)
            key = step_key(key, found.values)
            steps.append(
                PlannedStep(instruction, key, found.values, found.stages, found.foreseeable, found.reads_mounts)
            )
        kept = stage.instructions if self._request.docker_format else ()
        triggers = tuple(step.trigger for step in kept if step.trigger is not None)
        self._finished[stage.index] = _Finished(key, scope.all_environment(), triggers)
        self._stages[stage.index] = PlannedStage(
            index=stage.index,
            name=stage.name,
            platform=stage.platform,
            start=stage.start,
            parent=parent,
            base=base,
            base_key=before.key,
            steps=tuple(steps),
        )

    def _start(self, graph: StageGraph, stage: Stage) -> tuple[_Finished, int | None, BaseImage | None]:
        if stage.base.kind == "stage" and stage.base.stage is not None:
            return self._finished[stage.base.stage], stage.base.stage, None
        base = self._image(graph, stage.base, stage)
        triggers = tuple(_parse_one(text, at=stage.start) for text in base.triggers)
        key = self._base_key(base)
        return _Finished(key, base.environment, triggers), None, base

    def _image(self, graph: StageGraph, origin: Origin, stage: Stage) -> BaseImage:
        if origin.kind == "scratch":
            return BaseImage(SCRATCH, SCRATCH)
        reference = origin.name
        if origin.kind == "context":
            place = graph.contexts[origin.name]
            for scheme in ("docker-image://", "container-image://"):
                place = place.removeprefix(scheme)
            if Path(place).is_dir() or "://" in place:
                raise PlanError(f"FROM {origin.name} is the build context {place!r}, which is no image")
            reference = place
        at = (reference, stage.platform)
        if at not in self._images:
            self._images[at] = self._resolver.resolve(reference, stage.platform)
        return self._images[at]

    def _origin_key(self, origin: Origin, stage: Stage) -> str:
        if origin.kind == "stage" and origin.stage is not None:
            return self._finished[origin.stage].key
        image = self._image_of_copy(origin, stage)
        return self._base_key(image) if image.identity else ""

    def _image_of_copy(self, origin: Origin, stage: Stage) -> BaseImage:
        if origin.name not in self._copied:
            reference = self._request.build_contexts.get(origin.name, origin.name)
            reference = reference.removeprefix("docker-image://").removeprefix("container-image://")
            self._copied[origin.name] = self._resolver.resolve(reference, stage.platform)
        return self._copied[origin.name]

    def _base_key(self, base: BaseImage) -> str:
        # an image that nobody knows gets a key that no record can have
        return base_key(self._request.namespace, base.identity or digest("unknown", base.reference))

    def _content_of(self, context: Context | None) -> Content | None:
        request = self._request
        return None if context is None else Content(context, request.cache, request.workers, request.named_owner)


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
