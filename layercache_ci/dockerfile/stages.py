"""The stages of a Dockerfile as a graph: who builds on whom, who copies from whom, and which of them a target needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from layercache_ci.dockerfile.ast import Dockerfile, Instruction
from layercache_ci.dockerfile.expand import ExpansionError, process_word
from layercache_ci.dockerfile.flags import flag_values
from layercache_ci.dockerfile.ignore import Family
from layercache_ci.dockerfile.mounts import mounts
from layercache_ci.dockerfile.platform import normalize
from layercache_ci.errors import InputError, PlanError

SCRATCH: Final = "scratch"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where content comes from: another stage by its index, a named context, or an image by its reference."""

    kind: Literal["stage", "context", "image", "scratch"]
    name: str
    stage: int | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM with all that follows it. `name` is the alias, lower case, or the index in digits."""

    index: int
    name: str
    base: Origin
    platform: str
    start: Instruction
    instructions: tuple[Instruction, ...]

    @property
    def alias(self) -> str:
        """Its name in the Dockerfile, lower case; empty where it has none."""
        return self.start.args[2].lower() if len(self.start.args) == 3 else ""


@dataclass(frozen=True, slots=True)
class StageGraph:
    stages: tuple[Stage, ...]
    global_args: Mapping[str, str]
    """ARGs before the first FROM that have a value: build argument, else default."""
    escape: str
    contexts: Mapping[str, str]
    family: Family = "containers"

    def origin(self, name: str, *, before: int, numbered: bool = True) -> Origin:
        """What `--from=NAME` or `FROM NAME` means in stage `before`: named contexts first, then earlier stages by name
        or number, then an image. BuildKit knows a stage by its number (`numbered`) in COPY only."""
        context = self._context(name)
        if context is not None:
            return context
        by_number = numbered or self.family == "containers"
        for stage in reversed(self.stages[:before]):
            if name.lower() == (stage.name if by_number else stage.alias) or (by_number and name == str(stage.index)):
                return self._context(stage.alias) or Origin("stage", name, stage.index)
        return Origin("scratch", SCRATCH) if name == SCRATCH and self.family == "buildkit" else Origin("image", name)

    def _context(self, name: str) -> Origin | None:
        key = context_name(name, self.family)
        reserved = self.family == "buildkit" and key in {SCRATCH, "context"}
        return Origin("context", key) if key in self.contexts and not reserved else None

    def sources(self, stage: Stage, instruction: Instruction) -> tuple[Origin, ...]:
        """What a COPY, ADD or RUN reads from elsewhere: its `--from` or those of its mounts, in order."""
        if instruction.keyword in {"COPY", "ADD"}:
            names: Sequence[str] = flag_values(instruction, "from")
        elif instruction.keyword == "RUN":
            names = [mount.from_ for mount in mounts(instruction) if mount.from_]
        else:
            names = ()
        expanded = [self.expand(name, self.global_args) for name in names]
        return tuple(self.origin(name, before=stage.index, numbered=instruction.keyword != "RUN") for name in expanded)

    def expand(self, word: str, values: Mapping[str, str]) -> str:
        """`word` with its variables replaced; PlanError where it can't be."""
        try:
            return process_word(word, values, escape=self.escape)
        except ExpansionError as error:
            raise PlanError(f"{word!r} can't be expanded: {error}") from error

    def needed(self, target: Stage) -> frozenset[int]:
        """The indices of the stages that `target` needs, itself among them."""
        found: set[int] = set()
        todo = [target.index]
        while todo:
            index = todo.pop()
            if index in found:
                continue
            found.add(index)
            stage = self.stages[index]
            origins = [stage.base]
            for instruction in stage.instructions:
                origins.extend(self.sources(stage, instruction))
            todo.extend(origin.stage for origin in origins if origin.stage is not None)
        return frozenset(found)

    def target(self, name: str | None) -> Stage:
        """The stage of `--target NAME` (a name in any case, or a number), the last one without it. To BuildKit a
        number is none, and of several stages with one name it is the last."""
        if not name:
            return self.stages[-1]
        for stage in reversed(self.stages) if self.family == "buildkit" else self.stages:
            known_as = {stage.alias} if self.family == "buildkit" else {stage.name, str(stage.index)}
            if name.lower() in known_as:
                return stage
        known = ", ".join(stage.name for stage in self.stages)
        raise InputError(f"--target: no stage is named {name!r}; the Dockerfile has {known}")


def build_graph(
    dockerfile: Dockerfile,
    *,
    build_args: Mapping[str, str],
    predefined: Mapping[str, str],
    contexts: Mapping[str, str],
    platform: str,
    family: Family = "containers",
) -> StageGraph:
    """The graph of `dockerfile`. `predefined` are the platform ARGs, which every FROM line knows; `contexts` the named
    build contexts, which take precedence over stages and images. Raises PlanError where a FROM can't be expanded."""
    named = {context_name(name, family): place for name, place in contexts.items()}
    starts = [index for index, instruction in enumerate(dockerfile.instructions) if instruction.keyword == "FROM"]
    if not starts:
        raise PlanError("the Dockerfile has no FROM, so there is no stage to build")
    first = starts[0]
    graph = StageGraph((), {}, dockerfile.escape, named, family)
    values: dict[str, str] = {}
    for instruction in dockerfile.instructions[:first]:
        for argument in instruction.args:
            name, equals, default = argument.partition("=")
            if name in build_args:
                values[name] = build_args[name]
            elif equals:
                values[name] = graph.expand(default, {**predefined, **values})
    stages: list[Stage] = []
    for start, body in _bodies(dockerfile.instructions[first:]):
        index = len(stages)
        known = {**predefined, **values}
        graph = StageGraph(tuple(stages), values, dockerfile.escape, named, family)
        reference = graph.expand(start.args[0], known)
        if not reference:
            raise PlanError(f"line {start.start_line}: FROM {start.args[0]} expands to nothing: give its ARG a value")
        alias = start.args[2].lower() if len(start.args) == 3 else str(index)
        found = graph.origin(reference, before=index, numbered=False)
        base = Origin("scratch", SCRATCH) if reference == SCRATCH else found
        wanted = [graph.expand(value, known) for value in flag_values(start, "platform")]
        if family == "buildkit":
            # on scratch and on a stage what is asked for counts for nothing
            inherited = [] if base.stage is None else [stages[base.stage].platform]
            wanted = inherited if base.kind in {"scratch", "stage"} else [normalize(value) for value in wanted]
        stages.append(Stage(index, alias, base, (wanted or [platform])[0], start, tuple(body)))
    return StageGraph(tuple(stages), values, dockerfile.escape, named, family)


def context_name(name: str, family: Family) -> str:
    """The name of a build context as it is looked for. BuildKit: that of an image in its shortest form
    (distribution/reference's FamiliarString, without `:latest`), so that `alpine` stands for all spellings of it."""
    name = name.lower()
    if family == "buildkit":
        for beginning in ("docker.io/", "index.docker.io/"):
            name = name.removeprefix(beginning)
        name = name.removeprefix("library/").removesuffix(":latest")
    return name


def _bodies(instructions: Sequence[Instruction]) -> list[tuple[Instruction, list[Instruction]]]:
    bodies: list[tuple[Instruction, list[Instruction]]] = []
    for instruction in instructions:
        if instruction.keyword == "FROM":
            bodies.append((instruction, []))
        else:
            bodies[-1][1].append(instruction)
    return bodies
