"""The build context where none is named: build-push-action's is the run's commit, as BuildKit fetches it with git
(docker's actions-toolkit, gitContext). Where the workspace holds a checkout, that is built instead: there are files to
hash, so there is something to cache."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layercache_ci.settings import REMOTE_FILE

HERE: Final = "."
TEMPLATE: Final = re.compile(r"\{\{\s*defaultContext\s*\}\}")
CHECKOUT: Final = (".git", "Dockerfile", "Containerfile", "dockerfile")
"""What tells that the workspace is not empty; any of them does."""


@dataclass(frozen=True, slots=True)
class DefaultContext:
    """`place` is `.` or the git context."""

    place: str

    @property
    def remote(self) -> bool:
        return self.place != HERE

    def fill(self, text: str) -> str:
        """`text` with build-push-action's `{{defaultContext}}`, behind which a `:` names a folder of it."""
        if self.remote:
            return TEMPLATE.sub(lambda _: self.place, text)
        return re.sub(rf"({TEMPLATE.pattern})(:(?P<folder>[^,]+))?", lambda found: found["folder"] or HERE, text)

    def file(self, context: str, file: str | None) -> str | None:
        """The Dockerfile for a `context` as it was written: git's are in it, as BuildKit has it of what it fetches."""
        if file is None or self.remote or file.startswith(REMOTE_FILE) or not TEMPLATE.search(context):
            return file
        return os.path.join(self.fill(context), file)  # noqa: PTH118 - it may be absolute, and pathlib drops its ./

    def fetches(self, context: str) -> bool:
        """Whether git is asked for it, which may take the job's token."""
        return self.remote and context.startswith(self.place)


def default_context(environment: Mapping[str, str], workspace: Path, file: str | None) -> DefaultContext:
    """The workspace where it holds a checkout, or the Dockerfile; else the git context, where the run has one."""
    held = any((workspace / name).exists() for name in (*CHECKOUT, *([file] if file else [])))
    url = git_context(environment)
    return DefaultContext(HERE if held or url is None else url)


def git_context(environment: Mapping[str, str]) -> str | None:
    """`URL.git#COMMIT`; of a pull request its ref, since the commit is one that no branch has."""
    repository = environment.get("GITHUB_REPOSITORY")
    ref, commit = environment.get("GITHUB_REF", ""), environment.get("GITHUB_SHA")
    if not repository or not (ref or commit):
        return None
    server = environment.get("GITHUB_SERVER_URL") or "https://github.com"
    if ref.startswith("refs/pull/"):
        if environment.get("DOCKER_DEFAULT_GIT_CONTEXT_PR_HEAD_REF") == "true":
            ref = re.sub("/merge$", "/head", ref)
        commit = None
    elif ref and not ref.startswith("refs/"):
        ref = f"refs/heads/{ref}"
    return f"{server}/{repository}.git#{commit or ref}"
