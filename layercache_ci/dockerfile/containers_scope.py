"""ARG and ENV as they stand at one point of a stage, as Podman and Buildah (openshift/imagebuilder) keep them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from layercache_ci.dockerfile.ast import Instruction

PROXIES: Final = frozenset(
    name for lower in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy") for name in (lower, lower.upper())
)
EXPANDED: Final = frozenset({"ENV", "EXPOSE", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"})
"""Those whose arguments are expanded, besides COPY and ADD (Dockerfile reference, "Environment replacement")."""


@dataclass(slots=True)
class Scope:
    """Changes as the instructions of a stage go by. `inherited` is the environment of the base image or stage."""

    build_args: Mapping[str, str]
    global_args: Mapping[str, str]
    predefined: Mapping[str, str]
    inherited: Mapping[str, str]
    environment: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    proxies: set[str] = field(default_factory=set)
    """Proxy ARGs that the stage declares by their bare name: only these show up in the key of a RUN."""

    @property
    def values(self) -> dict[str, str]:
        """What `$NAME` means here: an ENV wins over an ARG of the same name."""
        given = {name: self.build_args[name] for name in PROXIES if name in self.build_args}
        return {**given, **self.arguments, **self.inherited, **self.environment}

    def run_arguments(self) -> dict[str, str]:
        """The ARGs that a RUN sees, with the value that it sees: that of an ENV of this stage where there is one."""
        return {
            name: self.environment.get(name, value)
            for name, value in self.arguments.items()
            if name not in PROXIES or name in self.proxies
        }

    def all_environment(self) -> dict[str, str]:
        return {**self.inherited, **self.environment}

    def apply(self, instruction: Instruction, expand: Callable[[str, Mapping[str, str]], str]) -> None:
        """Take an ARG or ENV into account; other instructions change nothing here."""
        if instruction.keyword == "ARG":
            for word in instruction.args:
                self._declare(word, expand)
        elif instruction.keyword == "ENV":
            values = self.values
            for name, value in zip(instruction.args[::2], instruction.args[1::2], strict=True):
                self.environment[expand(name, values)] = expand(value, values)

    def _declare(self, word: str, expand: Callable[[str, Mapping[str, str]], str]) -> None:
        name, equals, default = word.partition("=")
        if name in PROXIES and not equals:
            self.proxies.add(name)
        for known in (self.build_args, {} if equals else self.global_args, {} if equals else self.predefined):
            if name in known:
                self.arguments[name] = known[name]
                return
        if equals:
            self.arguments[name] = expand(default, self.values)
