"""GitHub Actions, and what runs its workflows elsewhere (Gitea, Forgejo, act).

Own ref, base and default branch are read, the own ref is written, as GitHub's cache service does it for its own entries
(docs.github.com, "Restrictions for accessing a cache"). What may run somebody else's code writes nothing: a fork's pull
request, and since 2026-06-26 there the events that run for one in the base repository.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from layercache_ci.ci.run import Environment, Run, branch

_PULL_REQUESTS: Final = frozenset({"pull_request", "pull_request_review", "pull_request_review_comment"})
_TRUSTS_NOBODY: Final = frozenset({"pull_request_target", "issue_comment"})
"""Run for anybody, on the default branch."""


def github(environment: Environment) -> Run | None:
    if environment.get("GITHUB_ACTIONS") != "true":
        return None
    name = environment.get("GITHUB_EVENT_NAME", "")
    event, why = _event(environment.get("GITHUB_EVENT_PATH", ""))
    own = _own(environment, name, event)
    base = branch(environment.get("GITHUB_BASE_REF")) or _merge_base(event)
    default = branch(_text(event, "repository", "default_branch"))
    warnings = [why] if why else []
    if own is None:
        warnings.append("GITHUB_REF is not set: nothing is saved; name the scope of this run with --scope")
    return Run("GitHub Actions", own, (base, default), _denied(name, event, known=not why), tuple(warnings))


def _event(path: str) -> tuple[Mapping[str, Any], str | None]:
    """The event, empty with the reason where it can't be read."""
    if not path:
        return {}, "GITHUB_EVENT_PATH is not set, so the default branch's cache is not used"
    try:
        event = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        cause = error.strerror if isinstance(error, OSError) else str(error)
        return {}, f"GITHUB_EVENT_PATH: {path!r} can't be read ({cause}), so the default branch's cache is not used"
    if not isinstance(event, dict):
        return {}, f"GITHUB_EVENT_PATH: {path!r} holds no event, so the default branch's cache is not used"
    return event, None


def _own(environment: Environment, name: str, event: Mapping[str, Any]) -> str | None:
    ref = environment.get("GITHUB_REF") or None
    number = _at(event, "pull_request", "number")
    if name in _PULL_REQUESTS and not (ref or "").startswith("refs/pull/") and isinstance(number, int):
        return f"refs/pull/{number}/merge"
    return ref


def _merge_base(event: Mapping[str, Any]) -> str | None:
    """What a merge queue is to merge into."""
    return branch(_text(event, "merge_group", "base_ref"))


def _denied(name: str, event: Mapping[str, Any], *, known: bool) -> str | None:
    if name in _TRUSTS_NOBODY:
        return f"a run for {name} may be anybody's"
    if name in _PULL_REQUESTS:
        if not known:
            return "this pull request may be a fork's"
        if _is_fork(_at(event, "pull_request", "head", "repo"), event):
            return "it is a fork's pull request"
    if name == "workflow_run" and (not known or _is_fork(_at(event, "workflow_run", "head_repository"), event)):
        return "the run that it follows may be a fork's"
    return None


def _is_fork(head: object, event: Mapping[str, Any]) -> bool:
    """Whether that repository is another one than the run's. A fork that was removed is null. `fork` alone says little:
    in a repository that is itself a fork of something it is true of all."""
    if not isinstance(head, dict):
        return True
    own = _text(event, "repository", "full_name")
    return head.get("full_name") != own if own else bool(head.get("fork", True))


def _at(event: object, *names: str) -> object:
    for name in names:
        event = event.get(name) if isinstance(event, dict) else None
    return event


def _text(event: object, *names: str) -> str | None:
    found = _at(event, *names)
    return found if isinstance(found, str) and found else None
