"""What BuildKit itself says of a build: the vertices of `--progress=rawjson`, and which instruction each of them is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

NAME: Final = re.compile(r"\[(?:(?P<stage>[^ \]]+) +)?(?P<number>\d+)/\d+\] (?P<text>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Vertex:
    stage: str
    number: int
    text: str
    started: bool
    cached: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """A stage of a Dockerfile: its name among the vertices, and the texts of its instructions that have a vertex."""

    name: str
    steps: Sequence[str]


def shapes(report: dict[str, Any]) -> list[Shape]:
    """The stages of a report; instructions that hit or missed are those that have a vertex."""
    stages = report["stages"]
    return [
        Shape(
            _name(stage, alone=len(stages) == 1),
            [step["text"] for step in stage["steps"] if step["outcome"] in {"hit", "miss"}],
        )
        for stage in stages
    ]


def _name(stage: dict[str, Any], *, alone: bool) -> str:
    named = re.search(r"\sAS\s+(\S+)\s*$", stage["steps"][0]["text"], re.IGNORECASE)
    return named[1].lower() if named else "" if alone else f"stage-{stage['index']}"


def read_vertices(output: str) -> list[Vertex]:
    """The vertices of instructions in the engine's output, each in its last state."""
    states: dict[str, dict[str, Any]] = {}
    for line in output.splitlines():
        if line.startswith("{"):
            for vertex in json.loads(line).get("vertexes") or ():
                states.setdefault(vertex["digest"], {}).update(vertex)
    found = []
    for state in states.values():
        name = NAME.fullmatch(state["name"])
        if name is not None:
            stage, started, cached = name["stage"] or "", bool(state.get("started")), bool(state.get("cached"))
            found.append(Vertex(stage, int(name["number"]), name["text"], started, cached))
    return found


def hits_of_vertices(vertices: Iterable[Vertex], stages: Sequence[Shape]) -> str:
    """`h` and `m` of each stage's steps, a blank between stages.

    Steps that do the same are one vertex, which bears the name of one of them. What was never looked at is a hit: what
    is built on it was one.
    """
    by_number = {(vertex.stage, vertex.number): vertex for vertex in vertices}
    by_text = {vertex.text: vertex for vertex in by_number.values()}
    return " ".join("".join(_hits(stage, by_number, by_text)) for stage in stages)


def _hits(stage: Shape, by_number: dict[tuple[str, int], Vertex], by_text: dict[str, Vertex]) -> Iterable[str]:
    first = max((2, 1), key=lambda number: _agreeing(stage, number, by_number))
    for number, text in enumerate(stage.steps, first):
        vertex = by_number.get((stage.name, number)) or by_text.get(text)
        missed = vertex is not None and vertex.started and not vertex.cached
        yield "m" if missed else "h"


def _agreeing(stage: Shape, first: int, by_number: dict[tuple[str, int], Vertex]) -> int:
    """How many steps have their own text if the first of them has that number. FROM takes the first number, but not
    where it names another stage, a named context or scratch."""
    found = [(by_number.get((stage.name, number)), text) for number, text in enumerate(stage.steps, first)]
    return sum(1 + (vertex.text == text) for vertex, text in found if vertex is not None)
