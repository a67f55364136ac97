"""What the store has for a build, and what that lets expect of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from layercache_ci.dockerfile.plan import Plan
from layercache_ci.engines.containers.predict import predict
from layercache_ci.engines.containers.restore import Selection, select
from layercache_ci.engines.lookup import Lookup, look_up
from layercache_ci.report.model import Prediction, Reason
from layercache_ci.store.model import Step, Store


@dataclass(frozen=True, slots=True)
class Offer:
    """`selection` is what of the store's answer is restored, and `lost` says why other steps, by key, are not. What the
    store holds of them as it should is `left`."""

    lookup: Lookup = field(default_factory=Lookup)
    selection: Selection = field(default_factory=Selection)
    lost: Mapping[str, Reason] = field(default_factory=dict)
    left: Mapping[str, Step] = field(default_factory=dict)

    @property
    def links(self) -> Mapping[str, Step]:
        """What need not be saved again, by key."""
        return {**self.left, **self.selection.links}

    def without(self, damaged: Mapping[str, str]) -> Offer:
        """Less what needs a damaged layer (by diff ID, with what is wrong with it)."""
        kept, why = self.selection.without(damaged), "; ".join(damaged.values())
        lost = {key: Reason("damaged", why) for key in self.selection.links.keys() - kept.links.keys()}
        return replace(self, selection=kept, lost=lost)

    def withdrawn(self, why: str) -> Offer:
        """After all, nothing of it is used. The store is not to blame, and what it holds is not saved again."""
        lost = dict.fromkeys(self.selection.links, Reason("not-restored", why))
        return replace(self, selection=Selection(), lost={**self.lost, **lost}, left=self.selection.links)

    def predictions(self, plan: Plan, *, version: tuple[int, int]) -> dict[int, list[Prediction]]:
        """By stage; `version` is Buildah's."""
        depths = {index: self.selection.depth(plan.chain(index)) for index in plan.stages}
        return predict(plan, depths, self.selection.offered, version=version)


def make_offer(plan: Plan, store: Store, warnings: list[str], *, no_cache: bool) -> Offer:
    """What the store can't do becomes a warning. Where the cache is not to be used nothing is chosen."""
    lookup = look_up(plan, store)
    warnings += lookup.warnings
    return Offer(lookup, Selection() if no_cache else select(plan, lookup))
