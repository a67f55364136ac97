"""What ENV, ARG, USER, WORKDIR and SHELL have set at one point of a stage, as BuildKit keeps it.

Source: BuildKit v0.34.2, frontend/dockerfile/dockerfile2llb/convert.go (dispatchStages, dispatchEnv, dispatchArg,
dispatchWorkdir) and client/llb/meta.go (EnvList).
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import Final, Literal

from layercache_ci.dockerfile.ast import Instruction
from layercache_ci.dockerfile.dialect import Place
from layercache_ci.dockerfile.plan import ARGUMENT, ENVIRONMENT, BaseImage, digest

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL: Final = ("/bin/sh", "-c")
NEVER_SET: Final = frozenset({"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"})
"""Arguments that no RUN sees."""


@dataclass(slots=True)
class State:
    """Changes as the instructions of a stage go by.

    `environment` is what a RUN sees, ordered by when each variable was set last; `setters` tells what set it. `image`
    is what the image's config would hold: what a stage that builds on this one sets anew, so that there an ENV wins
    over a later ARG of the same name.
    """

    environment: dict[str, str] = field(default_factory=dict)
    setters: dict[str, Literal["arg", "env"]] = field(default_factory=dict)
    image: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = ""
    shell: tuple[str, ...] = DEFAULT_SHELL

    @classmethod
    def of_image(cls, base: BaseImage) -> State:
        """At the beginning of a stage on an image."""
        state = cls(image=dict(base.environment), user=base.user, shell=base.shell or DEFAULT_SHELL)
        state.image.setdefault("PATH", DEFAULT_PATH)
        # a relative one is joined to itself: its own value is the current one already
        state.workdir = absolute(join("/", base.working_dir), base.working_dir)
        state._take_over()
        return state

    def child(self) -> State:
        """At the beginning of a stage on this one."""
        state = State(
            environment=dict(self.environment),
            setters=dict(self.setters),
            image=dict(self.image),
            workdir=self.workdir,
            user=self.user,
            shell=self.shell,
        )
        state._take_over()
        return state

    def apply(self, instruction: Instruction, place: Place) -> None:
        """Take an instruction into account; most change nothing here. Raises PlanError."""
        match instruction.keyword:
            case "ENV":
                words = [self.expand(word, place) for word in instruction.args]
                for name, value in zip(words[::2], words[1::2], strict=True):
                    self._set(name, value, "env")
                    self.image[name] = value
            case "ARG":
                for word in instruction.args:
                    self._declare(word, place)
            case "USER":
                self.user = self.expand(instruction.args[0], place)
            case "WORKDIR":
                self.workdir = absolute(self.workdir, self.expand(instruction.args[0], place))
            case "SHELL":
                self.shell = instruction.args

    def expand(self, word: str, place: Place) -> str:
        return place.graph.expand(word, self.environment)

    def ingredients(self) -> dict[str, str]:
        """The variables that a RUN sees, one by one, and their order."""
        kinds = {"arg": ARGUMENT, "env": ENVIRONMENT}
        found = {f"{kinds[self.setters[name]]}{name}": digest(value) for name, value in self.environment.items()}
        return {**found, "environment": digest(*self.environment)}

    def _declare(self, word: str, place: Place) -> None:
        name, equals, default = word.partition("=")
        if name in NEVER_SET:
            return
        if name in place.build_args:
            self._set(name, place.build_args[name], "arg")
        elif equals:
            self._set(name, self.expand(default, place), "arg")
        else:
            known = {**place.predefined, **place.graph.global_args}
            if name in known:
                self._set(name, known[name], "arg")

    def _set(self, name: str, value: str, setter: Literal["arg", "env"]) -> None:
        self.environment.pop(name, None)
        self.environment[name] = value
        self.setters[name] = setter

    def _take_over(self) -> None:
        for name, value in self.image.items():
            self._set(name, value, "env")


def absolute(folder: str, path: str) -> str:
    """system.NormalizePath for Linux without keepSlash: an absolute path stays as it is written."""
    if not path:
        return folder
    return path if path.startswith("/") else join(folder, path)


def destination(folder: str, path: str) -> str:
    """Where COPY and ADD copy to: cleaned, but with the slash or `/.` at its end."""
    path = "./" if path in {"", "."} else path
    found = join("/", path if path.startswith("/") else join(folder, path))
    if path.endswith("/") and not found.endswith("/"):
        return f"{found}/"
    if path.endswith("/."):
        return f"{found.rstrip('/')}/."
    return found


def join(*parts: str) -> str:
    """Go's path.Join, for parts of which the first is absolute."""
    joined = posixpath.normpath("/".join(parts))
    return f"/{joined.lstrip('/')}"


def owner(spec: str) -> tuple[str, ...]:
    """`--chown` or USER as BuildKit understands it (llb.WithUser): numbers, `root` being 0, or names."""
    user, _, group = spec.partition(":")
    return tuple(map(_id, [user, group] if group else [user]))


def _id(name: str) -> str:
    if name in {"", "root"}:
        return "0"
    try:
        return str(int(name)) if name.isascii() and "_" not in name and name == name.strip() else name
    except ValueError:
        return name
