"""Exports what a build finished: all of it by one solve, or of a failed build the parts that end before what failed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from layercache_ci.dockerfile.plan import Plan
from layercache_ci.engines.buildkit.command import export_words
from layercache_ci.engines.buildkit.export import Export, read_export, solve
from layercache_ci.engines.buildkit.session import Reached
from layercache_ci.engines.buildkit.truncated import truncated
from layercache_ci.settings import BuildSettings


@dataclass(frozen=True, slots=True)
class Exporter:
    """For one build. `cache_from` is what it was built with: a result that was imported and never downloaded is only
    exported where its source is known. Raises CacheError for whatever goes wrong."""

    settings: BuildSettings
    reached: Reached
    cache_from: tuple[str, ...]
    folder: Path
    stands_in: bool
    given_up: Callable[[], bool] = lambda: False
    """Whether nobody waits for an export any more."""

    def whole(self) -> Export:
        """Of a build that ended well."""
        return self._export(self.settings, 0)

    def parts(self, plan: Plan, finished: Collection[str]) -> list[Export]:
        """Of a build that failed: the steps with these keys."""
        source = self.settings.buildkit_dockerfile
        ignore = source.with_name(f"{source.name}.dockerignore")
        # the target is another one now, and a step may have seen what it was
        target = self.settings.target or plan.graph.stages[-1].alias or "default"
        build_args = {"TARGETSTAGE": target, **self.settings.build_args}
        exports = []
        for number, part in enumerate(truncated(plan, finished, source.read_bytes())):
            file = self.folder / f"Dockerfile.{number}"
            file.write_bytes(part.dockerfile)
            if ignore.is_file():
                shutil.copyfile(ignore, file.with_name(f"{file.name}.dockerignore"))
            shortened = replace(self.settings, file=str(file), target=part.target, build_args=build_args)
            exports.append(self._export(shortened, number))
        return exports

    def _export(self, settings: BuildSettings, number: int) -> Export:
        metadata = self.folder / f"export-{number}.json"
        words = export_words(
            settings,
            builder=self.reached.builder.name,
            environment=self.reached.environment,
            cache_from=self.cache_from,
            cache_to=self.reached.transport.cache_to(number),
            metadata=metadata,
            stands_in=self.stands_in,
        )
        steps = solve(words, self.reached.environment, given_up=self.given_up)
        return read_export(self.reached.transport.exported(number), metadata, steps)
