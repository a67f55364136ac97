"""Plans of builds with BuildKit, and records and vertices to go with them, without an engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from layercache_ci.dockerfile.buildkit import Options, buildkit
from layercache_ci.dockerfile.plan import BaseImage, Plan
from layercache_ci.engines.buildkit.progress import Progress, SeenStep, State
from tests.unit.dockerfile.planning import plan_of
from tests.unit.engines.buildkit.configs import DATA

SOURCES = {"src/a": "x\n"}


def planned(
    folder: Path,
    dockerfile: str | None,
    *,
    target: str | None = None,
    contexts: Mapping[str, str] | None = None,
    images: Mapping[str, BaseImage] | None = None,
    files: Mapping[str, str] | None = None,
    build_args: Mapping[str, str] | None = None,
) -> Plan:
    """The plan of a context in `folder`, which is made, with that Dockerfile or the one that is there."""
    given = {} if dockerfile is None else {"Dockerfile": dockerfile}
    for name, content in {**given, **SOURCES, **(files or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return plan_of(
        folder,
        target=target,
        contexts=contexts,
        images=images,
        build_args=build_args,
        dialect=buildkit(Options()),
    )


def vertex(
    stage: str | None,
    number: int,
    total: int,
    *,
    state: State = "ran",
    digest: str = "",
    text: str = "RUN x",
    seconds: float | None = None,
) -> SeenStep:
    """A step of the display."""
    return SeenStep(stage, number, total, text, digest or f"{stage} {number}", state, seconds)


def recorded(name: str) -> tuple[SeenStep, ...]:
    """The steps of a real build's progress in tests/data/buildkit."""
    progress = Progress()
    for line in (DATA / f"{name}.jsonl").read_text().splitlines():
        progress.feed(line)
    return progress.steps()


def keys(plan: Plan) -> dict[str, str]:
    """Step keys by the text of their instruction."""
    return {step.text: step.key for index in plan.stages for step in plan.links(index)}
