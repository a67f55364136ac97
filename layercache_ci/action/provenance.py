"""The provenance attestation as build-push-action asks for it (docker/build-push-action, src/context.ts)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from layercache_ci.action.inputs import FLAGS, Inputs
from layercache_ci.engines.buildkit.result import fields_of


def with_builder(provenance: str, environment: Mapping[str, str]) -> str:
    """The attributes, and which run built it."""
    if FLAGS.get(provenance) is False:
        return "false"
    fields = [] if provenance in FLAGS else provenance.split(",")
    known = environment.get("GITHUB_RUN_ID")
    if known and not any(field.strip().startswith("builder-id=") for field in fields):
        server, repository = environment.get("GITHUB_SERVER_URL", ""), environment.get("GITHUB_REPOSITORY", "")
        attempt = environment.get("GITHUB_RUN_ATTEMPT") or "1"
        fields.append(f"builder-id={server}/{repository}/actions/runs/{known}/attempts/{attempt}")
    return ",".join(fields) or "true"


def default_provenance(inputs: Inputs, environment: Mapping[str, str]) -> str | None:
    """What a run of GitHub's attests where no input speaks of it: all in a public repository, little in a private one;
    None where it is nothing, or buildx's own default: an image for a daemon has none."""
    asked = inputs.text("provenance") or _has(inputs, "attests", "provenance")
    in_daemon = inputs.flag("load") or _has(inputs, "outputs", "docker")
    refused = environment.get("BUILDX_NO_DEFAULT_ATTESTATIONS", "").lower() in {"1", "t", "true"}
    if asked or in_daemon or refused or environment.get("GITHUB_ACTIONS") != "true":
        return None
    return with_builder("mode=min,inline-only=true" if _is_private(environment) else "mode=max", environment)


def _has(inputs: Inputs, name: str, kind: str) -> bool:
    return any(fields_of(each).get("type") == kind for each in inputs.list(name))


def _is_private(environment: Mapping[str, str]) -> bool:
    with suppress(OSError, ValueError, LookupError, TypeError):
        event = json.loads(Path(environment["GITHUB_EVENT_PATH"]).read_bytes())
        return event["repository"]["private"] is True
    return False
