"""One platform of a build: its plan, what the store holds of it, and what came of it. A build for several platforms is
one engine's, with one cache to read from, and has a part for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from layercache_ci.dockerfile.plan import EXPLAINING, Plan, digest
from layercache_ci.engines.buildkit.export import Export
from layercache_ci.engines.buildkit.outcome import Facts, outcomes, stage_reports
from layercache_ci.engines.buildkit.predict import predict
from layercache_ci.engines.buildkit.progress import SeenStep
from layercache_ci.engines.buildkit.restore import Selection, read_ahead, select
from layercache_ci.engines.buildkit.steps import seen_by_key
from layercache_ci.engines.lookup import Lookup, look_up
from layercache_ci.engines.outlines import of_platform
from layercache_ci.errors import CacheError
from layercache_ci.report.model import Outcome, Prediction, Reason, StageReport
from layercache_ci.settings import BuildSettings
from layercache_ci.store import Store


@dataclass(slots=True)
class Part:
    """`platform` is what it is for where it is one of several, None where the build has no other part."""

    plan: Plan
    platform: str | None = None
    lookup: Lookup = field(default_factory=Lookup)
    selection: Selection = field(default_factory=Selection)
    predictions: dict[int, list[Prediction | None]] = field(default_factory=dict)
    seen: Mapping[str, SeenStep] | None = None
    """BuildKit's vertices by step key; None where nothing is known of how the build went."""
    export: Future[Export] | None = None
    """What the build left of it in the engine, on its way to us."""

    def settings(self, settings: BuildSettings) -> BuildSettings:
        """The build's, for this platform alone."""
        return settings if self.platform is None else replace(settings, platform=self.platform)

    def ask(self, store: Store, *, restores: bool) -> list[str]:
        """What the store holds of it, selected where anything is to be restored; the warnings."""
        self.lookup = look_up(self.plan, store)
        warnings = [*self.lookup.warnings]
        if not restores:
            return warnings
        try:
            self.selection = select(self.plan, self.lookup, store)
        except CacheError as error:
            warnings.append(f"nothing was restored: {error}")
        return warnings + self.selection.warnings

    def predict(self, others: Iterable[Part] = ()) -> None:
        """What the engine will find of what is selected. What one of the `others` holds it may find too, where the
        platform makes no difference."""
        self.predictions = predict(self.plan, self.selection.depths, self.selection.offered)
        if held := frozenset[str]().union(*(other.held() for other in others)):
            same = {key for key, identity in identities(self.plan).items() if identity in held}
            for index, states in self.predictions.items():
                steps = self.plan.stages[index].steps
                self.predictions[index] = [
                    "unknown" if state == "miss" and step.key in same and not step.forced else state
                    for step, state in zip(steps, states, strict=True)
                ]

    def held(self) -> frozenset[str]:
        """The identities of the links that are selected."""
        keys = {key for index, depth in self.selection.depths.items() for key in self.plan.chain(index)[:depth]}
        return frozenset(identity for key, identity in identities(self.plan).items() if key in keys)

    def read_ahead(self, *, files: bool) -> frozenset[str]:
        """As `restore.read_ahead`."""
        return read_ahead(self.plan, self.selection, self.predictions, files=files)

    @property
    def foreseen(self) -> bool:
        """Whether there will be nothing to save of it, as far as we know."""
        return all(each in {"hit", None} for stage in self.predictions.values() for each in stage)

    def look_back(self, steps: Sequence[SeenStep]) -> None:
        """Take from the build's steps those of this part."""
        self.seen = seen_by_key(self.plan, steps, platform=self.platform)

    def outcomes(self, *, ended_well: bool) -> dict[str, Outcome]:
        """As `outcome.outcomes`."""
        return outcomes(self.plan, self.seen, ended_well=ended_well)

    def stages(
        self, served: Mapping[str, int], *, ended_well: bool, ignored: Reason | None, first: int
    ) -> tuple[StageReport, ...]:
        """The stages of the report, those of one platform among several by its name and numbered from `first`."""
        found = stage_reports(
            Facts(
                self.plan,
                self.selection,
                self.predictions or predict(self.plan, {}, {}),
                self.lookup.newest,
                self.seen,
                served=served,
                ended_well=ended_well,
                ignored=ignored,
            )
        )
        return found if self.platform is None else of_platform(found, self.platform, first=first)


def identities(plan: Plan) -> dict[str, str]:
    """By key, what a link is whatever the build is for: a stage of the builder's own platform that uses nothing of the
    target's is one and the same to BuildKit, though each platform has keys of its own. What is copied has no platform
    at all."""
    found: dict[str, str] = {}
    for index in sorted(plan.stages):
        start = plan.lineage(index)[0]
        identity = digest("" if start.base is None else start.base.identity)
        found[start.base_key] = identity
        for step in plan.links(index):
            counted = [item for item in sorted(step.ingredients.items()) if not item[0].startswith(EXPLAINING)]
            runs_on = start.platform if step.instruction.keyword == "RUN" else ""
            texts = (text for name, value in counted for text in (name, found.get(value, value)))
            identity = digest(identity, runs_on, *texts)
            found[step.key] = identity
    return found
