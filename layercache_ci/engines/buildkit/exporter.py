"""Exports what a build finished: the build itself does where we would wait for that anyway, else all of it one solve
more, or of a failed build the parts that end before what failed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from layercache_ci.dockerfile.plan import Plan
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.command import export_words
from layercache_ci.engines.buildkit.export import Export, read_export, solve
from layercache_ci.engines.buildkit.forms import Form
from layercache_ci.engines.buildkit.progress import SeenStep
from layercache_ci.engines.buildkit.session import Reached
from layercache_ci.engines.buildkit.truncated import truncated
from layercache_ci.errors import CacheError
from layercache_ci.settings import BuildSettings

NOT_ALONG: Final = frozenset({"--call", "--check", "--metadata-file", "--no-cache", "--no-cache-filter"})
"""Options of the user's with which the build is not what is to be exported, or its metadata go where we don't read."""

OLD: Final = re.compile(r"v?0\.(\d|1[01])\.")
"""Versions of BuildKit without `ignore-error`."""

LINK: Final = re.compile(rb"--link(?![\w-])")


def may_export(settings: BuildSettings, builder: Builder) -> bool:
    """Whether a build on this builder may export its cache by itself. No fault of the cache's may be the build's, which
    BuildKit can be told since 0.12."""
    if settings.no_cache or OLD.match(builder.version):
        return False
    return not {word.partition("=")[0] for word in settings.engine_options} & NOT_ALONG


def should_export(settings: BuildSettings, *, pulled: bool) -> bool:
    """Whether a build that may had better do. Who waits for the save is spared a client's start and a solve; who does
    not loses what was built upon layers that nobody reads, and that are gone when the build has ended: those of an
    image that is to be `pulled` into the daemon, and those below a `COPY --link`."""
    return settings.wait or pulled or _links(settings)


def _links(settings: BuildSettings) -> bool:
    """Whether a layer may be laid upon others without a look at them. That it is only mentioned costs little."""
    with suppress(OSError):
        return LINK.search(settings.buildkit_dockerfile.read_bytes()) is not None
    return False


@dataclass(frozen=True, slots=True)
class Exporter:
    """For one build. `cache_from` is what it was built with: a result that was imported and never downloaded is only
    exported where its source is known. Raises CacheError for whatever goes wrong."""

    settings: BuildSettings
    reached: Reached
    cache_from: tuple[str, ...]
    folder: Path
    stands_in: bool
    form: Form = Form.ZSTD
    first: int = 0
    """The number of its first export among those of the build."""
    given_up: Callable[[], bool] = lambda: False
    """Whether nobody waits for an export any more."""

    def along(self, metadata: Path | None, steps: tuple[SeenStep, ...]) -> Export | None:
        """What a build that was told to export has left, `metadata` being its metadata file; None where it did not."""
        with suppress(CacheError):
            if metadata is not None and steps:
                return read_export(self.reached.transport.exported(0), metadata, steps)
        return None

    def whole(self) -> Export:
        """Of a build that ended well."""
        return self._export(self.settings, self.first)

    def parts(self, plan: Plan, finished: Collection[str]) -> list[Export]:
        """Of a build that failed: the steps with these keys."""
        source = self.settings.buildkit_dockerfile
        ignore = source.with_name(f"{source.name}.dockerignore")
        # the target is another one now, and a step may have seen what it was
        target = self.settings.target or plan.graph.stages[-1].alias or "default"
        build_args = {"TARGETSTAGE": target, **self.settings.build_args}
        exports = []
        for number, part in enumerate(truncated(plan, finished, source.read_bytes()), self.first):
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
            cache_to=self.reached.transport.cache_to(number, self.form),
            metadata=metadata,
            stands_in=self.stands_in,
        )
        steps = solve(words, self.reached.environment, given_up=self.given_up)
        return read_export(self.reached.transport.exported(number), metadata, steps)
