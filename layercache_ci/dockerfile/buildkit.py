"""What BuildKit counts as the inputs of a step.

It has a result for RUN, COPY, ADD and WORKDIR only; ENV, ARG, USER, SHELL and WORKDIR change what a later one of these
hashes, and all other instructions nothing (docs/keys.md has the rules). Source: BuildKit v0.34.2,
frontend/dockerfile/dockerfile2llb/convert.go and solver/llbsolver/ops/{exec,file}.go. Equal ingredients on an equal
chain are equal keys there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from layercache_ci.dockerfile.ast import Instruction
from layercache_ci.dockerfile.buildkit_copy import copy_ingredients
from layercache_ci.dockerfile.buildkit_mounts import mounted
from layercache_ci.dockerfile.buildkit_state import State, join, owner
from layercache_ci.dockerfile.dialect import Dialect, Ingredients, Place
from layercache_ci.dockerfile.flags import flag_values
from layercache_ci.dockerfile.heredoc import chomped, in_word
from layercache_ci.dockerfile.mounts import mounts
from layercache_ci.dockerfile.plan import BaseImage, digest
from layercache_ci.errors import PlanError

JUDGED_BY_CONTENT: Final = frozenset({"from", "mount from", "sources"})
"""Ingredients that may differ while BuildKit, which then compares the files that are taken, finds the same: what a COPY
or a mount takes out of another stage or image."""
EPOCH: Final = "SOURCE_DATE_EPOCH"


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the whole build that the key of a step counts.

    `run` are those that only name a value: ingredient → what is hashed. `shm_size` is in bytes, `epoch` the build
    argument SOURCE_DATE_EPOCH. `no_cache` names the stages, in lower case, whose RUN, COPY and ADD always run; None
    means none, an empty set all.
    """

    run: Mapping[str, str] = field(default_factory=dict)
    network: str = ""
    shm_size: int = 0
    cache_namespace: str = ""
    epoch: int | None = None
    no_cache: frozenset[str] | None = None


@dataclass(slots=True)
class Rules:
    """The rules for one stage."""

    options: Options
    place: Place
    state: State

    def child(self, place: Place) -> Rules:
        return Rules(self.options, place, self.state.child())

    def ingredients(self, instruction: Instruction) -> Ingredients:
        self.state.apply(instruction, self.place)
        match instruction.keyword:
            case "RUN":
                return self._run(instruction)
            case "COPY" | "ADD":
                found = copy_ingredients(instruction, self.state, self.place)
                return Ingredients(found.values, found.foreseeable, found.stages, forced=self._forced())
            case "WORKDIR" if self.state.workdir != "/":
                return Ingredients(self._workdir())
            case _:
                return Ingredients({}, link=False)

    def _workdir(self) -> dict[str, str]:
        found = {"instruction": digest("WORKDIR", join("/", self.state.workdir))}
        if self.state.user:
            found["user"] = digest(*owner(self.state.user))
        epoch = self._epoch()
        if epoch is not None:
            found["created"] = digest(str(epoch))
        return found

    def _epoch(self) -> int | None:
        """Seconds since 1970, where they are given."""
        default = self.place.graph.global_args.get(EPOCH, "")
        return seconds(default) if self.options.epoch is None and default else self.options.epoch

    def _run(self, instruction: Instruction) -> Ingredients:
        state = self.state
        words, script = _command(instruction)
        found = {
            "instruction": digest(instruction.form, *words),
            "workdir": digest(state.workdir),
            "user": digest(state.user),
            "platform": digest(self.place.stage.platform),
            **state.ingredients(),
            **self.options.run,
        }
        if script:
            found["heredoc"] = digest(*script)
        if instruction.form == "shell":
            found["shell"] = digest(*state.shell)
        network = (flag_values(instruction, "network") or ("default",))[0]
        network = self.options.network if network == "default" else network
        if network:
            found["network"] = digest(network)
        if "insecure" in flag_values(instruction, "security"):
            found["security"] = digest("insecure")
        devices = flag_values(instruction, "device")
        if devices:
            found["--device"] = digest(*devices)
        extra = mounted(
            mounts(instruction, lambda word: state.expand(word, self.place)),
            state,
            self.place,
            shm_size=self.options.shm_size,
            cache_namespace=self.options.cache_namespace,
        )
        return Ingredients(
            {**found, **extra.values},
            extra.foreseeable,
            tuple(extra.stages),
            reads_mounts=bool(extra.stages),
            forced=self._forced(),
        )

    def _forced(self) -> bool:
        stages = self.options.no_cache
        return stages is not None and (not stages or self.place.stage.alias in stages)


def seconds(epoch: str) -> int | None:
    """What SOURCE_DATE_EPOCH says; None for the time of the context, as a folder has none. Raises PlanError."""
    if epoch == "context":
        return None
    if not re.fullmatch("[+-]?[0-9]+", epoch):
        raise PlanError(f"{EPOCH}={epoch!r} is known to the engine only; write seconds to have the build cached")
    return int(epoch)


def buildkit(options: Options) -> Dialect:
    """The dialect of a build with these options."""
    return Dialect("buildkit", partial(_on_image, options))


def _on_image(options: Options, place: Place, base: BaseImage) -> Rules:
    return Rules(options, place, State.of_image(base))


def _command(instruction: Instruction) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of a RUN without the shell, and, where its heredoc is a script of its own (`#!`), name and content of
    the file that is mounted and run."""
    documents = instruction.heredocs
    if not documents or instruction.form == "exec":
        return instruction.args, ()
    (text,) = instruction.args
    if in_word(text) is None:
        return ("\n".join([text, *(f"{each.content}{each.delimiter}" for each in documents)]),), ()
    content = chomped(documents[0])
    if content.startswith("#!"):
        return (f"/dev/pipes/{documents[0].delimiter}",), (documents[0].delimiter, content)
    return (content,), ()
