"""What the pipeline asks of an engine family. Adding one is adding a module with a `prepare` and a line in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol, Self

from layercache_ci.report.model import StageReport

NOT_SAVED: Final = "not saved: "
"""How a warning begins of what a save could not do."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a save shipped: records that something now points to, bytes of layers, and what went wrong. `complete` is
    false where there was nothing to save by, or not all was saved."""

    complete: bool = True
    records: int = 0
    size: int = 0
    warnings: Sequence[str] = ()

    @classmethod
    def failed(cls, why: object) -> Self:
        """Nothing, and the reason as a warning."""
        return cls(complete=False, warnings=(f"{NOT_SAVED}{why}",))

    @classmethod
    def of(cls, parts: Sequence[Self]) -> Self:
        """What the saves of a build's parts came to; without any it is not complete."""
        return cls(
            bool(parts) and all(each.complete for each in parts),
            sum(each.records for each in parts),
            sum(each.size for each in parts),
            tuple(dict.fromkeys(warning for each in parts for warning in each.warnings)),
        )


class Build(Protocol):
    """One build in its five stages, called in this order. Only `run` may fail a build, and only by its exit code;
    faults of the cache are added to `warnings`."""

    warnings: list[str]
    notes: list[str]
    """Lines that the user needs for what comes next."""
    later: dict[str, str]
    """Variables of the environment that later commands of the job need to find the result."""

    @property
    def bytes_restored(self) -> int:
        """What the engine read of the store."""

    @property
    def launched(self) -> float | None:
        """When the engine was started (monotonic, in seconds): maybe before the plan was made."""

    @property
    def engine_name(self) -> str: ...

    @property
    def engine_version(self) -> str: ...

    @property
    def transport(self) -> str: ...

    @property
    def image_id(self) -> str | None:
        """`sha256:<hex>` of the image built, where there is one."""

    @property
    def unpushed(self) -> Sequence[Mapping[str, object]]:
        """JSON by which it is kept how later commands push the images; empty where nothing of that is to be kept."""

    @property
    def kept(self) -> Sequence[Path]:
        """Of what stays for later commands, what `scratch.release` takes once there are none any more."""

    def abandon(self, warning: str) -> None:
        """Forget about the cache: the engine gets the build as it is."""

    def begin(self) -> None:
        """Start what takes its time beside the planning; only a build that will run does."""

    def plan(self) -> None:
        """Work out stages, steps and keys without running the engine."""

    def preview(self) -> None:
        """Only look up what `restore` would bring, so that `stages` tells what is to be expected."""

    def restore(self) -> None:
        """Put what the store holds where the engine will find it."""

    def run(self, sink: BinaryIO | None) -> int:
        """Run the engine, its output going to `sink` as it comes, and give its exit code."""

    def finish(self) -> None:
        """Leave the result where the replaced command would have left it. Raises EngineError where that fails."""

    def stages(self) -> tuple[StageReport, ...]:
        """What came of each step."""

    def save(self) -> Saved:
        """Ship what is new, then the records."""

    def close(self) -> None:
        """Remove what was only needed during the build."""
