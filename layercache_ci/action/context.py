"""The build context where none is named: as with build-push-action it is the run's commit and nothing besides
(docker's actions-toolkit, Build.gitContext). Where the workspace's repository has that commit, its files are written
into a folder: what is here can be hashed, and so cached. Else the engine fetches it with git."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from layercache_ci.action.commit import export_commit
from layercache_ci.action.given import CONTEXT
from layercache_ci.dockerfile.go_numbers import TRUE
from layercache_ci.errors import CacheError, InputError
from layercache_ci.settings import CONTEXT_SCHEMES, REMOTE_FILE

HERE: Final = "."
TEMPLATE: Final = re.compile(r"\{\{\s*defaultContext\s*\}\}")
WITH_FOLDER: Final = re.compile(rf"({TEMPLATE.pattern})(:(?P<folder>[^,]+))?")
PULL_REQUEST: Final = "refs/pull/"
OF_HEAD: Final = "DOCKER_DEFAULT_GIT_CONTEXT_PR_HEAD_REF"
KEEP_GIT: Final = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"


@dataclass(frozen=True, slots=True)
class DefaultContext:
    """`place` is `.`, a folder with the files of `commit`, or the git context; `why` says why it is that, where the
    files are not here."""

    place: str
    commit: str = ""
    why: str = ""

    @property
    def remote(self) -> bool:
        return self.place.startswith(CONTEXT_SCHEMES)

    def fill(self, text: str) -> str:
        """`text` with build-push-action's `{{defaultContext}}`, behind which a `:` names a folder of it. Raises
        InputError for a folder that the commit has not."""
        if self.remote:
            return TEMPLATE.sub(lambda _: self.place, text)
        return WITH_FOLDER.sub(lambda found: self._folder(found["folder"] or ""), text)

    def _folder(self, name: str) -> str:
        found = Path(self.place) / name.lstrip("/")
        # a link may lead anywhere, and BuildKit takes none either
        if self.commit and not (found.is_dir() and found.resolve() == Path(self.place).resolve() / _normal(name)):
            raise InputError(f"context: {name!r} is no folder of the commit {self.commit}; name one that is in it")
        return str(found)

    def file(self, context: str, file: str | None) -> str | None:
        """The Dockerfile for a `context` as it was written: git's are in it, as BuildKit has it of what it fetches."""
        if file is None or self.remote or file.startswith(REMOTE_FILE) or not TEMPLATE.search(context):
            return file
        return os.path.join(self.fill(context), file)  # noqa: PTH118 - it may be absolute, and pathlib drops its ./

    def is_in(self, context: str) -> bool:
        """Of a `context` that was filled in: whether it is the run's commit, or of it."""
        return self.place != HERE and context.startswith(self.place)


def default_context(
    environment: Mapping[str, str], workspace: Path, folder: Path, build_args: Mapping[str, str]
) -> DefaultContext:
    """The run's commit, which is written into `folder` where that can be done; the workspace where the run has none."""
    url, commit = git_context(environment), run_commit(environment)
    place = commit_folder(environment, folder)
    if url is None or place is None:
        return DefaultContext(HERE)
    if build_args.get(KEEP_GIT) in TRUE:
        return DefaultContext(url, why=f"{KEEP_GIT} asks for its .git")
    if commit is None:
        return DefaultContext(url, why="the run does not say which commit it is for")
    try:
        export_commit(commit, workspace, place, url.partition("#")[0], environment)
    except CacheError as reason:
        return DefaultContext(url, why=str(reason))
    return DefaultContext(str(place), commit)


def commit_folder(environment: Mapping[str, str], folder: Path) -> Path | None:
    """Where in the step's `folder` the files of the run's commit are; by its name a later run finds the build in the
    cache. None where the run has no repository."""
    repository = environment.get("GITHUB_REPOSITORY")
    return folder / CONTEXT / Path(repository).name if repository else None


def folder_in_repository(context: str, environment: Mapping[str, str]) -> str | None:
    """Of a git context: which folder of the run's own repository it is, empty for all of it; None for another's."""
    url = urlsplit(context)
    repository = url.path.strip("/").removesuffix(".git")
    if url.netloc.rpartition("@")[2] != git_host(environment) or repository != environment.get("GITHUB_REPOSITORY"):
        return None
    named = dict(parse_qsl(url.query)).get("subdir")
    return (named or url.fragment.partition(":")[2]).strip("/")


def git_context(environment: Mapping[str, str]) -> str | None:
    """`URL.git#COMMIT`, or the ref where the commit is not known: a ref may be at another one by now. None where the
    run has no repository. GitHub gives BuildKit any commit that it asks for, of a branch or not."""
    repository, ref = environment.get("GITHUB_REPOSITORY"), environment.get("GITHUB_REF", "")
    commit = run_commit(environment)
    if not repository or not (ref or commit):
        return None
    if ref.startswith(PULL_REQUEST) and environment.get(OF_HEAD) == "true":
        ref = re.sub("/merge$", "/head", ref)
    elif not ref.startswith("refs/"):
        ref = f"refs/heads/{ref}"
    return f"{_server(environment)}/{repository}.git#{commit or ref}"


def git_host(environment: Mapping[str, str]) -> str:
    """The host of that URL with its port, if any, just as it is written there: so BuildKit takes it out of it."""
    return urlsplit(_server(environment)).netloc.rpartition("@")[2]


def run_commit(environment: Mapping[str, str]) -> str | None:
    """The commit that the run is for: of a pull request its merge, or its head where that is asked for."""
    if not environment.get("GITHUB_REF", "").startswith(PULL_REQUEST) or environment.get(OF_HEAD) != "true":
        return environment.get("GITHUB_SHA") or None
    with suppress(OSError, ValueError, LookupError, TypeError):
        event = json.loads(Path(environment["GITHUB_EVENT_PATH"]).read_bytes())
        return str(event["pull_request"]["head"]["sha"])
    return None


def _server(environment: Mapping[str, str]) -> str:
    return environment.get("GITHUB_SERVER_URL") or "https://github.com"


def _normal(name: str) -> str:
    return os.path.normpath(f"/{name}").lstrip("/")
