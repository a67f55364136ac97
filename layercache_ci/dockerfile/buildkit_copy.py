"""COPY and ADD, as BuildKit's key counts them.

Sources: BuildKit v0.34.2, frontend/dockerfile/dockerfile2llb/convert_copy.go and solver/llbsolver/ops/file.go: of a
source its base name and its content, the destination made absolute, the owner and mode that are asked for. A stage or
image that is copied from counts by its own key and the paths taken; where that differs BuildKit compares the content,
which only the build will see.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from layercache_ci.dockerfile.ast import Heredoc, Instruction
from layercache_ci.dockerfile.buildkit_content import Selector, content_ingredients, has_wildcards
from layercache_ci.dockerfile.buildkit_state import State, destination, join, owner
from layercache_ci.dockerfile.dialect import Ingredients, Place
from layercache_ci.dockerfile.expand import ExpansionError, process_word
from layercache_ci.dockerfile.flags import flag_values, is_set
from layercache_ci.dockerfile.heredoc import chomped, in_word
from layercache_ci.dockerfile.plan import digest
from layercache_ci.errors import PlanError

URL: Final = ("http://", "https://")
GIT: Final = re.compile(r"(git|ssh)://|[a-zA-Z0-9-]+@[a-zA-Z0-9-.]+:|https?://[^?#]*\.git([?#]|$)")
"""What util/gitutil takes for a repository; `github.com/...` without a scheme is a path in the context."""
SHA256: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _Source:
    """A path of the context or of where `--from` points, with what names it in the key."""

    selector: Selector
    name: str


def copy_ingredients(instruction: Instruction, state: State, place: Place) -> Ingredients:
    """Raises PlanError and InputError."""
    *words, last = instruction.args
    documents = [document for document in map(in_word, words) if document is not None]
    paths = [state.expand(word, place) for word in words if in_word(word) is None]
    remote = [path for path in paths if instruction.keyword == "ADD" and _is_remote(path)]
    sources = [_source(instruction, path) for path in paths if path not in remote]
    found = {
        "instruction": digest(*(source.name for source in sources)),
        "destination": digest(destination(state.workdir, state.expand(last, place))),
        **_options(instruction, state, place),
        **_heredocs(instruction, documents, state),
    }
    if remote:
        found["remote"] = digest(*remote)
    known = all(path.startswith(URL) and not GIT.match(path) for path in remote) and _pinned(instruction, state, place)
    foreseeable = not remote or known
    names = flag_values(instruction, "from")
    if not sources:
        return Ingredients(found, foreseeable)
    content = place.content
    if names:
        origin = place.origin(names[0])
        content = place.contexts.get(origin.name) if origin.kind == "context" else None
        if content is None:
            key = place.of_origin(origin)
            found |= {"from": key, "sources": digest(*(source.selector.path for source in sources))}
            stages = (origin.stage,) if origin.stage is not None else ()
            return Ingredients(found, foreseeable and bool(key), stages)
    if content is None:
        raise PlanError(f"line {instruction.start_line}: {instruction.keyword} without a build context")
    selectors = [source.selector for source in sources]
    return Ingredients({**found, **content_ingredients(content, selectors)}, foreseeable)


def _source(instruction: Instruction, path: str) -> _Source:
    include: tuple[str, ...] = ()
    required = ""
    if is_set(instruction, "parents"):
        pivot, found, pattern = path.partition("/./")
        path, pattern = (pivot, pattern) if found else ("/", path)
        pattern = join("/", pattern) if not pattern.startswith("/") else pattern
        include = (pattern.removeprefix("/"),)
        if not has_wildcards(path) and not has_wildcards(pattern):
            required = join("/", path, pattern)
    whole = join("/", path)
    exclude = flag_values(instruction, "exclude")
    selector = Selector(whole, has_wildcards(whole), include, exclude)
    return _Source(selector, digest(posixpath.basename(whole), *include, required))


def _options(instruction: Instruction, state: State, place: Place) -> dict[str, str]:
    def given(name: str) -> str:
        return state.expand((flag_values(instruction, name) or ("",))[0], place)

    found: dict[str, str] = {}
    chmod = given("chmod")
    if chmod:
        found["--chmod"] = digest(f"{int(chmod, 8):o}" if re.fullmatch("[0-7]+", chmod) else chmod)
    if given("chown"):
        found["--chown"] = digest(*owner(given("chown")))
    exclude = flag_values(instruction, "exclude")
    if exclude:
        found["--exclude"] = digest(*exclude)
    if is_set(instruction, "link") and not chmod:
        found["--link"] = digest("link")
    if is_set(instruction, "unpack") or (instruction.keyword == "ADD" and not flag_values(instruction, "unpack")):
        found["--unpack"] = digest("unpack")
    for name in ("checksum", "keep-git-dir"):
        if given(name):
            found[f"--{name}"] = digest(given(name))
    return found


def _heredocs(instruction: Instruction, documents: Sequence[Heredoc], state: State) -> dict[str, str]:
    """Name and content of each, its variables expanded."""
    contents = {document.delimiter: document for document in instruction.heredocs}
    found = {}
    for number, document in enumerate(documents):
        content = chomped(replace(document, content=contents[document.delimiter].content))
        if document.expand:
            try:
                content = process_word(content, state.environment, skip_quotes=True)
            except ExpansionError as error:
                raise PlanError(f"the heredoc {document.delimiter} can't be expanded: {error}") from error
        found[f"heredoc {number}"] = digest(document.delimiter, content)
    return found


def _is_remote(path: str) -> bool:
    return path.startswith(URL) or GIT.match(path) is not None


def _pinned(instruction: Instruction, state: State, place: Place) -> bool:
    """Whether a checksum says what a URL holds."""
    given = flag_values(instruction, "checksum")
    return bool(given) and SHA256.fullmatch(state.expand(given[0], place)) is not None
