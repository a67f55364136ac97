"""The outputs of the action: the one table of them, and what each is for a build."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from layercache_ci.action.request import Request
from layercache_ci.pipeline import Result
from layercache_ci.report.model import Report
from layercache_ci.report.text import shorten

OUTPUTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "imageid": "The image's ID",
        "digest": "The digest of its manifest",
        "metadata": "What the engine wrote down of the build, as JSON",
        "image": "The image's name, where the inputs are buildah-build's",
        "tags": "Its tags as they were given, likewise",
        "image-with-tag": "Its name with the first tag",
        "cache-hit": "true where every step hit, else false",
        "hit-steps": "How many steps hit",
        "total-steps": "How many steps hit or missed",
        "report": "The path of report.json (docs/report.md)",
        "seconds-saved": "What the hit steps took when they were built, less the time to restore them",
        "bytes-restored": "Bytes read from the store",
        "bytes-saved": "Bytes written to the store; 0 where that goes on in the background",
    }
)


def outputs(request: Request, result: Result, folder: Path) -> dict[str, str]:
    """All of them, empty where there is nothing to say: a failed build has no image."""
    settings, report = request.settings, result.report
    metadata = read(settings.metadata_file)
    digest = parsed(metadata).get("containerimage.digest", "")
    return {
        "imageid": read(settings.iidfile),
        "digest": digest if isinstance(digest, str) else "",
        "metadata": metadata,
        "image": request.image,
        "tags": request.tags,
        "image-with-tag": request.names[0] if request.names else "",
        "cache-hit": str(all_hit(result)).lower(),
        "hit-steps": str(report.hits),
        "total-steps": str(report.hits + report.misses),
        "report": str(folder / "report.json"),
        "seconds-saved": f"{report.seconds_saved:.1f}",
        "bytes-restored": str(report.bytes_restored),
        "bytes-saved": str(report.bytes_saved),
    }


def all_hit(result: Result) -> bool:
    """Whether the build was one that the cache could do everything for, and did."""
    return result.code == 0 and bool(result.report.stages) and result.report.misses == 0


def why_missed(result: Result) -> str | None:
    """For `fail-on-miss`: which steps missed, or why there was no cache; None where every step hit."""
    if all_hit(result):
        return None
    missed = misses(result.report)
    if not missed:
        return "fail-on-miss: it was built without the cache; the log says why"
    return f"fail-on-miss: {len(missed)} steps missed: {'; '.join(missed)}"


def misses(report: Report) -> list[str]:
    """A line for each step that missed."""
    return [f"line {step.start_line} ({shorten(step.text)})" for _, step in report.steps() if step.outcome == "miss"]


def read(path: Path | None) -> str:
    """Empty where there is no such file."""
    with suppress(OSError):
        return "" if path is None else path.read_text().strip()
    return ""


def parsed(text: str) -> Mapping[str, object]:
    """Empty where it is no JSON object."""
    with suppress(ValueError):
        value = json.loads(text)
        if isinstance(value, dict):
            return value
    return {}
