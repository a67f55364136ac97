"""BuildKit's checks of a Dockerfile (docs.docker.com/build/checks) as annotations at its lines, as build-push-action
has them (docker's actions-toolkit, Buildx.convertWarningsToGitHubAnnotations)."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from layercache_ci.action.context import commit_folder, folder_in_repository
from layercache_ci.dockerfile.go_numbers import FALSE
from layercache_ci.settings import BuildSettings, Machine

WANTED: Final = MappingProxyType({"BUILDX_METADATA_WARNINGS": "true"})
"""For buildx's environment: its metadata file is to tell of them, in FIELD."""
FIELD: Final = "buildx.build.warnings"
REFUSED: Final = "DOCKER_BUILD_CHECKS_ANNOTATIONS"
"""build-push-action's variable, a boolean of Go's."""
LINE: Final = re.compile(r"\s\(line \d+\)$")
USUAL: Final = "Dockerfile"


@dataclass(frozen=True, slots=True)
class Annotation:
    """`properties` are those of the runner's command: title, file, and the line where it is known."""

    text: str
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Dockerfile:
    """What was built, by its path in the repository; `data` is None where the file is not here to be read."""

    path: str
    data: bytes | None

    def is_that_of(self, source: Mapping[str, Any]) -> bool:
        same = self.data is None or self.data == base64.b64decode(source["data"])
        return same and bool(source["filename"]) and self.path.endswith(source["filename"])


def annotations_of(
    metadata: Mapping[str, object], settings: BuildSettings, machine: Machine, *, folder: Path, workspace: Path
) -> tuple[Annotation, ...]:
    """Of the build with these settings, made in the step's `folder`, that has written this metadata. None for a
    Dockerfile that the repository does not have: there is no line to show then."""
    warnings = metadata.get(FIELD)
    if machine.environment.get(REFUSED) in FALSE or not isinstance(warnings, list):
        return ()
    dockerfile = _dockerfile(settings, machine.environment, folder, workspace)
    if dockerfile is None:
        return ()
    found = {(each.text, *each.properties.values()): each for each in _told(warnings, dockerfile)}
    return tuple(found.values())  # each platform has the same


def _told(warnings: list[Any], dockerfile: _Dockerfile) -> Iterator[Annotation]:
    """What is not as buildx writes it is left out: it is no reason to fail a build that is done."""
    for warning in warnings:
        with suppress(LookupError, TypeError, ValueError, AttributeError):
            short, title = _text(warning["short"]), " ".join(map(_text, warning["detail"]))
            if not dockerfile.is_that_of(warning["sourceInfo"]):
                continue
            more = f"\nMore info: {warning['url']}" if warning.get("url") else ""
            properties = {"title": title, "file": dockerfile.path}
            if ranges := warning.get("range"):
                properties["line"] = str(int(ranges[0]["start"]["line"]))
            yield Annotation(LINE.sub("", short) + more, properties)


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode("utf-8", "replace")


def _dockerfile(
    settings: BuildSettings, environment: Mapping[str, str], folder: Path, workspace: Path
) -> _Dockerfile | None:
    """None where the repository has it not, as far as can be told."""
    if settings.remote_file or settings.piped_file:
        return None
    if settings.remote_context:
        within = folder_in_repository(settings.context, environment)
        path = None if within is None else os.path.normpath(f"{within or '.'}/{settings.file or USUAL}")
        return None if path is None else _Dockerfile(path, None)
    path = os.path.abspath(settings.buildkit_dockerfile)  # noqa: PTH100 - a link is shown where it is
    if (commit := commit_folder(environment, folder)) and Path(path).is_relative_to(commit):
        return _Dockerfile(os.path.relpath(path, commit), None)
    if not Path(path).is_relative_to(workspace):
        return None
    with suppress(OSError):
        return _Dockerfile(os.path.relpath(path, workspace), Path(path).read_bytes())
    return None
