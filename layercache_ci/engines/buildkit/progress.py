"""What BuildKit says about a build: its `rawjson` progress, one SolveStatus (moby/buildkit, client/graph.go) a line.

It comes on standard error, while building (`docker buildx build --progress rawjson`, buildx 0.13) or afterwards, all in
one line and for failed builds too, from the history (`docker buildx history logs --progress rawjson REF`, buildx 0.20).
Seen with BuildKit 0.34 (remote and docker-container) and Docker 28.5's own (both stores), buildx 0.29:

- REF is the last part of `buildx.build.ref` in the metadata file. A failed build writes none: its REF is the name of
  the file that buildx made in `$BUILDX_CONFIG/refs/BUILDER/NODE/` within the build's first 0.4 s. A command of the
  history takes 0.15 s, 0.4 s through a container.
- A vertex that depends on the local context has another digest in every build, so digests join events and provenance
  of the same build only; across builds, names do.
- Identical steps of two stages are one vertex, under the name of one of the stages. Here the other has it too,
  where one of its later steps is its own (a `WORKDIR /`, numbered but no vertex, then shows the step before it).
- A vertex comes again for each of its parts (cache keys, content, running), with other times, and then without inputs.
- Sources (FROM, context, URL) say `cached` by chance: they are always asked for their key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

State = Literal["hit", "ran", "failed", "pending"]

# moby/buildkit, dockerfile2llb/convert.go, prefixCommand; bake puts the target in front.
_STEP: Final = re.compile(r"\[(?:([^\]]*) )? *(\d+)/(\d+)\] (?:LINK )?(.*)", re.DOTALL)
_IMPORTING: Final = "importing cache manifest from "
_CUT_OFF: Final = "context canceled"


@dataclass(frozen=True, slots=True)
class Vertex:
    """A node of the build's graph. `runs` are the times it was at work: start and, once over, end."""

    digest: str
    name: str
    inputs: tuple[str, ...] = ()
    runs: tuple[tuple[datetime, datetime | None], ...] = ()
    cached: bool = False
    error: str = ""
    """Of the last that was heard of it."""

    @property
    def started(self) -> datetime | None:
        return self.runs[0][0] if self.runs else None

    @property
    def completed(self) -> datetime | None:
        """The end of its last run; none while it is at work."""
        return self.runs[-1][1] if self.runs else None

    @property
    def seconds(self) -> float:
        return sum((end - start).total_seconds() for start, end in self.runs if end is not None)

    @property
    def state(self) -> State:
        if self.error:
            # What was cut off because another step failed did not fail itself.
            return "pending" if self.error.endswith(_CUT_OFF) else "failed"
        if self.cached:
            return "hit"
        return "pending" if self.completed is None else "ran"


@dataclass(frozen=True, slots=True)
class SeenStep:
    """A step of the Dockerfile as the display names it: `[PLATFORM STAGE NUMBER/TOTAL] TEXT`."""

    stage: str | None
    """`stage-0` and so on where it has no name; None where only one stage is in play."""
    number: int
    total: int
    text: str
    """The instruction with variables filled in; of an ONBUILD trigger, `ONBUILD ` and the instruction."""
    digest: str
    """The vertex that gives the step's result: the merge of a `COPY --link`."""
    state: State
    seconds: float | None
    """How long it ran, for what ran or failed."""
    platform: str | None = None


@dataclass(slots=True)
class Progress:
    """Reads the lines of a build and knows what they come to."""

    vertices: dict[str, Vertex] = field(default_factory=dict)
    _blobs: dict[str, int] = field(default_factory=dict)

    def feed(self, line: str) -> None:
        """Takes in a line; what is no SolveStatus (the client warns in plain text) is passed over."""
        if not line.startswith("{"):
            return
        try:
            event = json.loads(line)
        except ValueError:
            return
        for vertex in _objects(event, "vertexes"):
            self._see_vertex(vertex)
        for status in _objects(event, "statuses"):
            if str(status.get("id", "")).startswith("sha256:"):
                name, size = str(status["id"]), status.get("current", 0)
                self._blobs[name] = max(self._blobs.get(name, 0), size if isinstance(size, int) else 0)

    def steps(self) -> tuple[SeenStep, ...]:
        """The Dockerfile's steps by stage and number."""
        groups: dict[_Place, list[Vertex]] = {}
        for vertex in self.vertices.values():
            place = _place(vertex)
            if place is not None:
                groups.setdefault(place, []).append(vertex)
        self._add_shared(groups)
        return tuple(_step(place, groups[place]) for place in sorted(groups))

    def _add_shared(self, groups: dict[_Place, list[Vertex]]) -> None:
        """Gives a stage the steps that came under another stage's name: what its own steps stand on."""
        by_digest = {vertex.digest: place for place, group in groups.items() for vertex in group}
        for place in sorted(groups, reverse=True):
            at = place
            while at.number > 1 and at._replace(number=at.number - 1) not in groups:
                below = by_digest.get(next(iter(_top(groups[at]).inputs), ""))
                if below is None or below._replace(number=0) == at._replace(number=0):
                    break
                at = at._replace(number=at.number - 1)
                groups[at] = groups[below]

    def import_errors(self) -> Mapping[str, str]:
        """By reference, why a cache could not be imported."""
        return {
            vertex.name.removeprefix(_IMPORTING): vertex.error
            for vertex in self.vertices.values()
            if vertex.name.startswith(_IMPORTING) and vertex.error
        }

    def imported_blobs(self) -> Mapping[str, int]:
        """The bytes read of each blob that was downloaded, of base images too."""
        return dict(self._blobs)

    def _see_vertex(self, event: Mapping[str, Any]) -> None:
        digest = event.get("digest")
        if not isinstance(digest, str):
            return
        known = self.vertices.get(digest) or Vertex(digest, str(event.get("name", "")))
        runs, started = dict(known.runs), _moment(event.get("started"))
        if started is not None:
            runs[started] = _moment(event.get("completed")) or runs.get(started)
        self.vertices[digest] = replace(
            known,
            inputs=tuple(map(str, event.get("inputs") or ())) or known.inputs,
            runs=tuple(sorted(runs.items(), key=lambda run: run[0])),
            # A hit may still be downloaded afterwards, in further runs; one that can't be loaded says so at its end.
            cached=known.cached or (event.get("cached") is True and "completed" in event and not event.get("error")),
            error=known.error if started is None else str(event.get("error") or ""),
        )


class _Place(NamedTuple):
    stage: str
    platform: str
    total: int
    number: int


def _place(vertex: Vertex) -> _Place | None:
    """Where `[TARGET] [PLATFORM] [STAGE] NUMBER/TOTAL` is; of the words only a platform has a slash."""
    found = _STEP.fullmatch(vertex.name)
    if found is None:
        return None
    words = (found[1] or "").split()
    platform = next((word for word in words if "/" in word), "")
    names = [word for word in words if "/" not in word]
    return _Place(names[-1] if names else "", platform, int(found[3]), int(found[2]))


def _judged(group: list[Vertex]) -> list[Vertex]:
    """Without the source that an ADD of a URL has next to it: it is asked in every build."""
    return [vertex for vertex in group if vertex.inputs] or group


def _top(group: list[Vertex]) -> Vertex:
    judged = _judged(group)
    below = {digest for vertex in judged for digest in vertex.inputs}
    return next((vertex for vertex in judged if vertex.digest not in below), judged[0])


def _step(place: _Place, group: list[Vertex]) -> SeenStep:
    top, states = _top(group), {vertex.state for vertex in _judged(group)}
    if "failed" in states:
        state: State = "failed"
    elif top.state == "pending":
        state = "pending"
    else:
        state = "ran" if "ran" in states else "hit"
    found = _STEP.fullmatch(top.name)
    return SeenStep(
        stage=place.stage or None,
        number=place.number,
        total=place.total,
        text=found[4] if found is not None else top.name,
        digest=top.digest,
        state=state,
        seconds=sum(vertex.seconds for vertex in group) if state in {"ran", "failed"} else None,
        platform=place.platform or None,
    )


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


def _objects(event: object, key: str) -> Iterator[Mapping[str, Any]]:
    listed = event.get(key) if isinstance(event, dict) else None
    if isinstance(listed, list):
        yield from (item for item in listed if isinstance(item, dict))
