"""What is done with a finished image: it is pushed, and written down for other programs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from typing import Final

from layercache_ci.engines.containers.engine import Engine
from layercache_ci.engines.process import ask
from layercache_ci.errors import EngineError
from layercache_ci.settings import BuildSettings

PUSH_SECONDS: Final = 3600


def push(engine: Engine, settings: BuildSettings, environment: Mapping[str, str]) -> str | None:
    """Every name to its registry; the digest of the manifest that the last one has there, which is not the local one's
    where layers were compressed on the way. Raises EngineError with the engine's own last line."""
    verify = settings.registry_options
    with tempfile.NamedTemporaryFile("r", prefix="layercache-") as file:
        for tag in settings.tags:
            command = [engine.executable, "push", "--digestfile", file.name, *verify, "--", tag]
            ask(command, environment, timeout=PUSH_SECONDS)
        return file.read().strip() or None


def describe(image_id: str, manifest_digest: str | None, settings: BuildSettings) -> None:
    """`--iidfile` and `--metadata-file`, as buildx writes them; `image_id` with `sha256:`. Raises EngineError where
    they can't be written."""
    found = {"containerimage.config.digest": image_id}
    if manifest_digest is not None:
        found["containerimage.digest"] = manifest_digest
    if settings.tags:
        found["image.name"] = ",".join(settings.tags)
    try:
        if settings.iidfile is not None:
            settings.iidfile.write_text(image_id)
        if settings.metadata_file is not None:
            settings.metadata_file.write_text(json.dumps(found, indent=2) + "\n")
    except OSError as error:
        raise EngineError(f"the result can't be written down: {error}") from error
