"""What Podman and Buildah count as the inputs of a step.

They look for an image whose history is the parent's plus one entry with the same `created_by`
(containers/buildah imagebuildah/stage_executor.go: intermediateImageExists, getCreatedBy; docs/keys.md has the rules).
The ingredients made here are equal exactly where `created_by` would be, with two kinds of exceptions. Where the engine
is blind and would reuse a stale image, ours differ, and that image is not restored: the content of bind mounts (before
1.39; of a stage, before 1.33), and the values that an ARG gives to ENV, WORKDIR, USER, LABEL and to the destination of
COPY. And where only the engine will see that what COPY and ADD take is the same, ours differ too (JUDGED_BY_CONTENT),
but what was saved last is restored for it to judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from layercache_ci.dockerfile.ast import Heredoc, Instruction
from layercache_ci.dockerfile.containers_scope import EXPANDED, Scope
from layercache_ci.dockerfile.content import Content, single
from layercache_ci.dockerfile.context import Context, walk
from layercache_ci.dockerfile.dialect import Dialect, Ingredients, Place
from layercache_ci.dockerfile.flags import flag_values
from layercache_ci.dockerfile.mounts import Mount, mounts
from layercache_ci.dockerfile.plan import BaseImage, digest
from layercache_ci.dockerfile.stages import Origin

JUDGED_BY_CONTENT: Final = frozenset({"from", "name", "--chown", "archive"})
"""Ingredients of COPY and ADD that may differ while the engine, which hashes the very files that it copies, finds
the same: another stage or image with the same files; the name of a file whose destination turns out to name it; an
owner written in another way; an archive packed again."""
GIT: Final = ("git@", "git://", "ssh://")
URL: Final = ("http://", "https://")


@dataclass(slots=True)
class Rules:
    """The rules for one stage."""

    place: Place
    scope: Scope

    def child(self, place: Place) -> Rules:
        return Rules(place, _scope(place, self.scope.all_environment()))

    def ingredients(self, instruction: Instruction) -> Ingredients:
        """Of the next instruction of the stage; ARG and ENV change what the later ones see."""
        values = self.scope.values
        expanded = self._expanded(instruction, values)
        self.scope.apply(instruction, self.place.graph.expand)
        if instruction.keyword == "RUN":
            return self._run(instruction)
        if instruction.keyword in {"COPY", "ADD"}:
            return self._copy(instruction, values)
        if instruction.keyword == "ARG":
            # what the engine writes down: the names in force, not the text
            return Ingredients({"instruction": digest("ARG", *sorted(self.scope.arguments))})
        return Ingredients({"instruction": digest(instruction.original), **expanded})

    def _expanded(self, instruction: Instruction, values: Mapping[str, str]) -> dict[str, str]:
        """Where variables change what the instruction means, although not its text."""
        if instruction.keyword not in EXPANDED:
            return {}
        words = [self.place.graph.expand(word, values) for word in instruction.args]
        return {} if words == list(instruction.args) else {"expanded": digest(*words)}

    def _run(self, instruction: Instruction) -> Ingredients:
        found = {"instruction": digest(instruction.original[3:])}
        for name, value in self.scope.run_arguments().items():
            found[f"arg:{name}"] = digest(value)
        found |= _heredocs(instruction.heredocs)
        stages: list[int] = []
        foreseeable = True
        for number, mount in enumerate(mounts(instruction)):
            if mount.from_:
                origin = self._origin(mount.from_)
                key = self._of_origin(origin)
                found[f"mount {number} from {mount.from_}"] = key
                foreseeable = foreseeable and bool(key)
                stages += [origin.stage] if origin.stage is not None else []
            elif mount.type == "bind" and self.place.content is not None:
                found[f"mount {number}"] = self._bound(mount, self.place.content)
        return Ingredients(found, foreseeable, tuple(stages), reads_mounts=bool(stages))

    def _bound(self, mount: Mount, content: Content) -> str:
        """The content of a bind mount out of the context, which is mounted raw: no ignore file applies."""
        source = self.place.graph.expand(mount.source or ".", self.scope.values).strip("/") or "."
        place = content.context.root / source
        raw = Context(place, None, tuple(walk(place, None))) if place.is_dir() else single(place)
        mounted = Content(raw, content.cache, content.workers)
        items = mounted.items("." if place.is_dir() else place.name)
        return mounted.ingredients(items, mode=None)["tree"]

    def _copy(self, instruction: Instruction, values: Mapping[str, str]) -> Ingredients:
        words = [self.place.graph.expand(word, values) for word in instruction.args]
        *sources, destination = words
        found = {"instruction": digest(instruction.keyword, destination)}
        for flag in ("chown", "chmod", "exclude", "parents", "link", "checksum", "keep-git-dir", "unpack"):
            given = flag_values(instruction, flag)
            if given:
                found[f"--{flag}"] = digest(*(self.place.graph.expand(value, values) for value in given))
        found |= _heredocs(instruction.heredocs)
        here_documents = {document.delimiter for document in instruction.heredocs}
        local = [source for source in sources if source.lstrip("<-0123456789").strip("\"'") not in here_documents]
        names = flag_values(instruction, "from")
        if names:
            origin = self._origin(names[0])
            if origin.kind != "context" or origin.name not in self.place.contexts:
                key = self._of_origin(origin)
                found |= {"from": key, "sources": digest(*sources)}
                stages = (origin.stage,) if origin.stage is not None else ()
                return Ingredients(found, bool(key), stages)
            content: Content | None = self.place.contexts[origin.name]
        else:
            content = self.place.content
        remote = [source for source in local if source.startswith((*URL, *GIT)) or ".git#" in source]
        if content is None or remote:
            return Ingredients({**found, "sources": digest(*sources)}, foreseeable=not remote)
        mode = (flag_values(instruction, "chmod") or (None,))[0]
        items = [item for source in local for item in content.items(source)]
        if len(items) == 1 and items[0].type == "file":
            (item,) = items
            if not destination.endswith(("/", "/.")) and destination != ".":
                # only in the container it shows whether the destination is a folder, and the name in it the source's
                found["name"] = digest(item.name)
                items = [replace(item, name="")]
            if instruction.keyword == "ADD" and content.is_archive(item):
                return Ingredients({**found, "archive": content.ingredients(items, mode=None)["tree"]})
        return Ingredients({**found, **content.ingredients(items, mode=mode)})

    def _origin(self, name: str) -> Origin:
        return self.place.origin(self.place.graph.expand(name, self.scope.values))

    def _of_origin(self, origin: Origin) -> str:
        if origin.kind == "context" and origin.name in self.place.contexts:
            content = self.place.contexts[origin.name]
            return content.ingredients(content.items("."), mode=None)["tree"]
        return self.place.of_origin(origin)


def _scope(place: Place, inherited: Mapping[str, str]) -> Scope:
    return Scope(place.build_args, place.graph.global_args, place.predefined, inherited)


def _on_image(place: Place, base: BaseImage) -> Rules:
    return Rules(place, _scope(place, base.environment))


CONTAINERS: Final = Dialect("containers", _on_image)


def _heredocs(documents: tuple[Heredoc, ...]) -> dict[str, str]:
    return {f"heredoc {number}": digest(document.content) for number, document in enumerate(documents)}
