"""The metadata file of a build that was told to write all of its provenance."""

from __future__ import annotations

import json
from typing import Any

import pytest

from layercache_ci.engines.buildkit.metadata import as_asked

SHORT = {"buildType": "https://mobyproject.org/buildkit@v1", "materials": [{"uri": "pkg:docker/ü"}]}
LONG = {**SHORT, "buildConfig": {"llbDefinition": []}, "metadata": {"buildStartedOn": "2026-11-29T12:00:00Z"}}
OTHER = {"buildx.build.ref": "b/n/1", "containerimage.digest": "sha256:00", "metadata": {"of": "somebody else"}}


def read(mode: str | None, field: str) -> dict[str, Any]:
    metadata = json.dumps({**OTHER, field: LONG}).encode()
    found: dict[str, Any] = json.loads(as_asked(metadata, {} if mode is None else {"BUILDX_METADATA_PROVENANCE": mode}))
    return found


@pytest.mark.parametrize("field", ["buildx.build.provenance", "buildx.build.provenance/linux/arm64"])
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (None, SHORT), ("", SHORT), ("min", SHORT), ("true", SHORT), ("MAX", SHORT), ("max", LONG),
        ("disabled", None), ("false", None), ("0", None),
    ],
)  # fmt: skip
def test_is_what_buildx_writes_in_that_environment(mode: str | None, expected: object, field: str) -> None:
    assert read(mode, field) == {**OTHER, **({} if expected is None else {field: expected})}


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff"])
def test_what_are_none_stay_as_they_are(text: bytes) -> None:
    assert as_asked(text, {}) == text


def test_a_provenance_that_is_no_object_stays() -> None:
    assert json.loads(as_asked(b'{"buildx.build.provenance": "aGk="}', {})) == {"buildx.build.provenance": "aGk="}


@pytest.mark.parametrize(
    ("exported", "there"), [("sha256:0a", False), ("sha256:0b", True), (None, True)], ids=["ours", "theirs", "none"]
)
def test_our_own_cache_is_not_told_of(exported: str | None, *, there: bool) -> None:
    metadata = {**OTHER, "cache.manifest": {"mediaType": "application/json", "digest": "sha256:0a", "size": 3}}

    found = json.loads(
        as_asked(json.dumps(metadata).encode(), {"BUILDX_METADATA_PROVENANCE": "max"}, exported=exported)
    )

    assert found == (metadata if there else OTHER)
