"""What a command line builds: one image, or as many as bake's and compose's definitions have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layercache_ci.action.setup.bake import bake
from layercache_ci.action.setup.command import (
    DOCKER,
    DOCKER_BAKE,
    FIRST,
    MORE,
    Line,
    demand_buildkit,
    leading,
    of_docker,
    own_builder,
    read_command,
)
from layercache_ci.action.setup.compose import compose


def read_commands(program: str, words: Sequence[str], environment: Mapping[str, str]) -> Line:
    """Raises PassedOn for what is no build or can't be cached, InputError and
    EngineError for what the real program will refuse."""
    if program == "docker":
        before, rest = leading(DOCKER, words, FIRST[program])
        if rest and rest[0] in {"buildx", *MORE[program]}:
            environment = of_docker(before, environment)
            if rest[0] == "compose":
                return compose(words[: len(words) - len(rest) + 1], rest[1:], environment)
            if rest[0] == DOCKER_BAKE:
                demand_buildkit(environment)
                return Line(bake(rest, environment, own_builder(environment)) or ())
            if (targets := bake(rest[1:], environment)) is not None:
                return Line(targets)
    return Line((read_command(program, words, environment),))
