"""One comment on the pull request, edited by each run rather than added to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from layercache_ci.errors import CacheError

TIMEOUT: Final = 20
"""Seconds that a request may take."""
MOST: Final = 65_536
"""Characters of a comment: GitHub refuses a longer one."""
CUT: Final = "The rest is in the job summary."
FENCE: Final = re.compile(r"(`{3,})(text)?")
DENIED: Final = (401, 403, 404)
BUILD: Final = (
    "ARCH", "ARCHS", "CONTAINERFILES", "CONTEXT", "DOCKERFILES", "FILE", "PLATFORM", "PLATFORMS", "TARGET",
)  # fmt: skip
"""Inputs by which builds of a matrix may differ, whose image has the same name."""
HASH_LENGTH: Final = 8
PASSING: Final = re.compile(r"(?<![0-9a-zA-Z])(?=[a-f]*\d)[0-9a-f]{7,64}(?![0-9a-zA-Z])")
"""Commits and run IDs in a tag."""


def sticky_comment(text: str, environment: Mapping[str, str], token: str) -> bool:
    """Make `text` (Markdown) the comment of this workflow, job and build; false where the run is for no pull request.

    Raises CacheError where GitHub does not take it; a run for a fork has a token that may only read.
    """
    number = pull_request(environment)
    if number is None:
        return False
    if not token:
        raise CacheError("there is no token to comment with; leave github-token to its default")
    from github import Auth, Github, GithubException  # noqa: PLC0415 - slow, and few want a comment
    from requests import RequestException  # noqa: PLC0415 - as above

    mark = marker(environment)
    try:
        api = environment.get("GITHUB_API_URL") or "https://api.github.com"
        with Github(auth=Auth.Token(token), base_url=api, timeout=TIMEOUT, retry=None, lazy=True) as github:
            issue = github.get_repo(environment.get("GITHUB_REPOSITORY", "")).get_issue(number)
            ours = next((comment for comment in issue.get_comments() if (comment.body or "").startswith(mark)), None)
            body = f"{mark}\n{fitting(text, MOST - len(mark) - 1)}"
            if ours is None:
                issue.create_comment(body)
            elif ours.body != body:
                ours.edit(body)
    except GithubException as error:
        said = (error.data or {}).get("message") if isinstance(error.data, dict) else None
        advice = "; the job needs permissions: pull-requests: write, which a fork's run never has"
        raise CacheError(
            f"pull request {number} gets none: {error.status} {said or ''}{advice if error.status in DENIED else ''}"
        ) from error
    except RequestException as error:
        raise CacheError(f"pull request {number} gets none: {error}") from error
    return True


def pull_request(environment: Mapping[str, str]) -> int | None:
    """Its number by the event that started the run. Raises CacheError where the event can't be read."""
    path = environment.get("GITHUB_EVENT_PATH")
    if not path:
        return None
    try:
        event = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise CacheError(f"the event {path} can't be read: {error}") from error
    number = _part(event, "pull_request").get("number")
    if number is None and _part(_part(event, "issue"), "pull_request"):
        number = _part(event, "issue").get("number")
    return number if isinstance(number, int) else None


def marker(environment: Mapping[str, str]) -> str:
    """What the comment is found again by: a line of HTML that nobody sees. What an input has of the commit or the run
    is left out, since the next one has another."""
    tags = environment.get("INPUT_IMAGE", "") + " " + environment.get("INPUT_TAGS", "")
    tags = ",".join(sorted(PASSING.sub("*", tags).replace(",", " ").split()))
    build = {name: PASSING.sub("*", given) for name in BUILD if (given := environment.get(f"INPUT_{name}", "").strip())}
    names = [environment.get("GITHUB_WORKFLOW", ""), environment.get("GITHUB_JOB", ""), tags]
    if build:
        names.append(hashlib.sha256(json.dumps(build).encode()).hexdigest()[:HASH_LENGTH])
    return f"<!-- layercache:{re.sub(r'[^A-Za-z0-9_.:/,*@]+', '-', '/'.join(names))} -->"


def _part(value: object, name: str) -> Mapping[str, object]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def fitting(text: str, most: int) -> str:
    """Where it is longer than that, its first lines and a word of the rest. A block of code is closed again."""
    if len(text) <= most:
        return text
    kept: list[str] = []
    open_fence = ""
    left = most - len(CUT) - 2
    for line in text.splitlines():
        left -= len(line) + 1
        if left <= max(len(open_fence), len(line)):  # which may begin a block
            break
        kept.append(line)
        if (fence := FENCE.fullmatch(line)) and (fence[2] or fence[1] == open_fence):
            open_fence = fence[1] if fence[2] else ""
    closing = [open_fence] if open_fence else []
    return "\n".join([*kept, *closing, "", CUT])
