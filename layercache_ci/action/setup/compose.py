"""`docker compose build` is cached as bake is. So is what `up`, `create` and `run` build first: with `--build` all that
they need, and then they do the rest without that; else what is not there."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from layercache_ci.action.setup.bake import builds_of, targets_of
from layercache_ci.action.setup.command import Command, Line, demand_buildkit, leading
from layercache_ci.action.setup.grammar import Grammar, Option, PassedOn
from layercache_ci.engines.process import ask
from layercache_ci.errors import EngineError

COMPOSE: Final = Grammar(
    frozenset({"ansi", "env-file", "file", "parallel", "profile", "progress", "project-directory", "project-name"}),
    frozenset({"all-resources", "compatibility"}),
    MappingProxyType({"f": "file", "p": "project-name"}),
)
"""compose's options before the verb."""
BUILD: Final = Grammar(
    frozenset({"build-arg", "builder", "progress", "provenance", "sbom", "ssh"}),
    frozenset({"no-cache", "pull", "push", "with-dependencies"}),
    MappingProxyType({}),
)
UP: Final = Grammar(
    frozenset({"attach", "exit-code-from", "no-attach", "scale", "timeout", "wait-timeout"}),
    frozenset(
        {
            "abort-on-container-exit", "abort-on-container-failure", "always-recreate-deps", "attach-dependencies",
            "build", "detach", "force-recreate", "menu", "no-color", "no-deps", "no-log-prefix", "no-recreate",
            "no-start", "quiet-build", "quiet-pull", "remove-orphans", "renew-anon-volumes", "timestamps", "wait",
            "yes",
        }
    ),
    MappingProxyType({"d": "detach", "t": "timeout", "V": "renew-anon-volumes", "y": "yes"}),
)  # fmt: skip
"""Of `up` and `create`. Without those that say what is built, or pulled, when."""
RUN: Final = Grammar(
    frozenset(
        {
            "cap-add", "cap-drop", "entrypoint", "env", "env-from-file", "label", "labels", "name", "publish", "user",
            "volume", "volumes", "workdir",
        }
    ),
    frozenset(
        {
            "build", "detach", "interactive", "no-TTY", "no-deps", "quiet", "quiet-build", "quiet-pull",
            "remove-orphans", "rm", "service-ports", "tty", "use-aliases",
        }
    ),
    MappingProxyType(
        {
            "d": "detach", "e": "env", "i": "interactive", "l": "label", "p": "publish", "P": "service-ports",
            "q": "quiet", "t": "tty", "T": "no-TTY", "u": "user", "v": "volume", "w": "workdir",
        }
    ),
)  # fmt: skip
"""Of `run`, before the service."""
UPS: Final = ("up", "create", "run")
IF_MISSING: Final = frozenset({None, "", "missing", "if_not_present"})
"""Pull policies of a service with which an image that is there is taken."""


def compose(own: Sequence[str], words: tuple[str, ...], environment: Mapping[str, str]) -> Line:
    """`own` is what stands before compose's words. Raises PassedOn and EngineError; for what may well build nothing
    without a word."""
    says = any(word.startswith("--build") for word in words)
    before, rest = leading(COMPOSE, words, ("build", *UPS) if says else ("build",))
    if not rest or rest[0] not in {"build", *UPS}:
        raise PassedOn
    project = _Project(words[: len(words) - len(rest)], before, environment)
    if rest[0] == "build":
        return Line(project.builds(rest[1:]))
    with nullcontext() if says else _without_a_word():
        up = _Up.of(rest[0], rest[1:])
    if up.builds:
        project.demand_taken(up)
        return Line(project.builds(up.asked), (*own, *project.words, rest[0], *up.left))
    with _without_a_word():
        absent = project.absent(up)
    return Line(project.builds(up.asked, absent), (*own, *words))


@contextmanager
def _without_a_word() -> Iterator[None]:
    try:
        yield
    except (PassedOn, EngineError) as reason:
        raise PassedOn from reason


@dataclass(frozen=True, slots=True)
class _Up:
    """What `up`, `create` and `run` say: whether all is built, and what that is; `left` are the words without
    `--build`."""

    builds: bool
    services: tuple[str, ...]
    alone: bool
    left: tuple[str, ...]

    @classmethod
    def of(cls, verb: str, words: tuple[str, ...]) -> _Up:
        """Raises PassedOn."""
        behind: tuple[str, ...] = ()
        if verb == "run":
            options, behind = RUN.leading(words)
            services = behind[1:2] if behind[:1] == ("--",) else behind[:1]
            if not services:
                raise PassedOn  # compose says so
        else:
            options, services = UP.read(words)
        on = {option.name: option.on for option in options if option.name in {"build", "no-deps"}}
        before = words[: len(words) - len(behind)]
        left = (*(word for word in before if not word.startswith("--build")), *behind)
        return cls(on.get("build", False), services, on.get("no-deps", False), left)

    @property
    def asked(self) -> tuple[str, ...]:
        """What `build` is to be given for the same."""
        return (*([] if self.alone or not self.services else ["--with-dependencies"]), *self.services)


@dataclass(frozen=True, slots=True)
class _Project:
    """`words` stand before compose's verb, `options` are the same."""

    words: tuple[str, ...]
    options: tuple[Option, ...]
    environment: Mapping[str, str]

    def builds(self, asked: tuple[str, ...], images: Collection[str] | None = None) -> tuple[Command, ...]:
        """What `compose build` builds for these words; of it, what makes one of the `images`. Raises PassedOn and
        EngineError."""
        options, _ = BUILD.read(asked)
        demand_buildkit(self.environment)
        self._demand_readable()
        targets = targets_of(self._ask("build", "--print", *asked))
        if images is not None:
            targets = [(name, target) for name, target in targets if not set(images).isdisjoint(target.get("tags", ()))]
        return builds_of(targets, (*self.options, *options), self.environment)

    def demand_taken(self, up: _Up) -> None:
        """Raises PassedOn where `up` would not take what is built, without `--build`, and EngineError."""
        for name, service in self._services(up)[1].items():
            if "build" in service and service.get("pull_policy") not in IF_MISSING:
                raise PassedOn(f"the service {name} has a pull_policy")

    def absent(self, up: _Up) -> frozenset[str]:
        """The images that compose builds because they are not there. It looks for one in a registry first where the
        service names it, which stays its own business. Raises PassedOn where there are none, and EngineError."""
        project, services = self._services(up)
        images = {
            f"{project}-{name}"
            for name, service in services.items()
            if "build" in service and not service.get("image") and service.get("pull_policy") in IF_MISSING
        }
        absent = frozenset(image for image in images if not self._is_there(image))
        if not absent:
            raise PassedOn
        return absent

    def _is_there(self, image: str) -> bool:
        try:
            return bool(ask(["docker", "image", "inspect", "--format={{.Id}}", image], self.environment))
        except EngineError:
            return False

    def _services(self, up: _Up) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
        """The project's name, and its services by name: one that is named counts although its profile is off."""
        self._demand_readable()
        printed = self._ask("config", "--format=json", *up.services)
        try:
            found = json.loads(printed)
            return str(found["name"]), {str(name): dict(service) for name, service in found["services"].items()}
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise PassedOn(f"what compose prints of its services can't be read: {error!r}") from error

    def _ask(self, *words: str) -> str:
        """Raises EngineError."""
        return ask(["docker", "compose", *self.words, *words], self.environment)

    def _demand_readable(self) -> None:
        """Raises PassedOn."""
        if any(option == Option("file", "-") for option in self.options):
            raise PassedOn("its definition comes by standard input")
