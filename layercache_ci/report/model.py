"""report.json: what was predicted, what came true and why, for people and programs. docs/report.md describes it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

REPORT_VERSION: Final = 1
Outcome = Literal["hit", "miss", "skipped"]
Prediction = Literal["hit", "miss", "skipped", "unknown"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a step missed: `code` for programs (docs/report.md lists them), `detail` for people."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class StepReport:
    index: int
    instruction: str
    text: str
    start_line: int
    end_line: int
    key: str | None
    predicted: Prediction | None
    outcome: Outcome | None = None
    source: Literal["store", "engine"] | None = None
    reason: Reason | None = None
    seconds: float | None = None
    bytes_restored: int = 0
    built_seconds: float | None = None
    """Of what was restored: how long it took when it was built."""


@dataclass(frozen=True, slots=True)
class StageReport:
    """`needs` are the indices of the stages that it builds on or takes files from."""

    index: int
    name: str
    steps: tuple[StepReport, ...]
    needs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Seconds:
    before: float = 0.0
    """Until the engine was started; it may be while we still plan."""
    plan: float = 0.0
    restore: float = 0.0
    build: float = 0.0
    save: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    engine: str
    engine_version: str
    transport: str | None
    exit_code: int = 0
    failed_in: Literal["input", "engine"] | None = None
    saved: bool | None = None
    """None until the save is done."""
    stages: tuple[StageReport, ...] = ()
    bytes_restored: int = 0
    bytes_read: int | None = None
    bytes_saved: int = 0
    seconds: Seconds = field(default_factory=Seconds)
    warnings: tuple[str, ...] = ()

    def steps(self) -> Iterator[tuple[StageReport, StepReport]]:
        """The steps of all stages that count: those that hit or missed."""
        for stage in self.stages:
            for step in stage.steps:
                if step.outcome in {"hit", "miss"}:
                    yield stage, step

    @property
    def hits(self) -> int:
        return sum(step.outcome == "hit" for _, step in self.steps())

    @property
    def misses(self) -> int:
        return sum(step.outcome == "miss" for _, step in self.steps())

    @property
    def seconds_saved(self) -> float:
        """What the restored steps took when they were built, less the time to restore them; never less than 0."""
        return max(0.0, (self.seconds_avoided or 0.0) - self.seconds.restore)

    @property
    def seconds_avoided(self) -> float | None:
        """What the restored steps took when they were built, None where nothing is known of any."""
        known = [step.built_seconds for _, step in self.steps() if step.outcome == "hit"]
        return None if all(seconds is None for seconds in known) else sum(filter(None, known))

    def to_json(self) -> dict[str, object]:
        """The value of report.json, as docs/report.schema.json has it."""
        totals = {
            "steps": self.hits + self.misses,
            "hits": self.hits,
            "misses": self.misses,
            "bytes_restored": self.bytes_restored,
            "bytes_read": self.bytes_read,
            "bytes_saved": self.bytes_saved,
            "seconds_saved": round(self.seconds_saved, 3),
            "seconds": {name: round(value, 3) for name, value in asdict(self.seconds).items()},
        }
        return {
            "version": REPORT_VERSION,
            "engine": self.engine,
            "engine_version": self.engine_version,
            "transport": self.transport,
            "exit_code": self.exit_code,
            "failed_in": self.failed_in,
            "saved": self.saved,
            "stages": [asdict(stage) for stage in self.stages],
            "totals": totals,
            "warnings": list(self.warnings),
        }

    def write(self, path: Path) -> None:
        """Write it as JSON, atomically: a reader sees the old one or the new one."""
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w") as file:
            json.dump(self.to_json(), file, indent=1)
            file.write("\n")
        finished = Path(name)
        finished.chmod(0o644)
        finished.replace(path)

    def warn(self, *texts: str) -> Report:
        """The same with more warnings."""
        return replace(self, warnings=(*self.warnings, *texts))
