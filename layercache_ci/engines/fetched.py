"""What only the engine gets to see: there is nothing here to plan by."""

from __future__ import annotations

from typing import Final

from layercache_ci.errors import PlanError
from layercache_ci.settings import BuildSettings, without_credentials

FETCHED: Final = "the engine fetches the context"


def demand_files(settings: BuildSettings) -> None:
    """Raises PlanError for a context that the engine fetches, and for a Dockerfile that it does, or that comes by its
    standard input."""
    if settings.remote_context:
        raise PlanError(f"{FETCHED} {without_credentials(settings.context)!r}; check it out first to have it cached")
    if settings.remote_file or settings.piped_file:
        file = without_credentials(settings.file or "")
        raise PlanError(f"--file {file}: write the Dockerfile into a file to have the build cached")
