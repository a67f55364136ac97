"""What an instruction may be: the checks that BuildKit makes on a Dockerfile once it is parsed.

Source: BuildKit v0.34.2, frontend/dockerfile/instructions/parse.go. Whatever it leaves for later, such as the keys of a
mount or the instruction behind ONBUILD, is accepted here too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from layercache_ci.dockerfile.ast import Dockerfile, Instruction
from layercache_ci.dockerfile.flags import check_flags, flag_values, is_set
from layercache_ci.dockerfile.forms import first_word
from layercache_ci.dockerfile.go_numbers import nanoseconds, signed
from layercache_ci.dockerfile.heredoc import from_word
from layercache_ci.dockerfile.mounts import Mount, check_mounts, mounts
from layercache_ci.dockerfile.text import SPACE, Refused, lower
from layercache_ci.errors import DockerfileError

__all__ = ["Mount", "check", "flag_values", "is_set", "mounts"]

_STAGE_NAME: Final = re.compile(r"[a-z][a-z0-9\-_.]*")
_MILLISECOND: Final = 10**6


def check(dockerfile: Dockerfile, name: str) -> None:
    """Raises DockerfileError for the first instruction that BuildKit refuses."""
    has_stage = False
    for instruction in dockerfile.instructions:
        has_stage = has_stage or instruction.keyword == "FROM"
        try:
            _check_instruction(instruction, has_stage=has_stage)
        except Refused as error:
            raise DockerfileError(str(error), file=name, line=instruction.start_line) from None


def _check_instruction(instruction: Instruction, *, has_stage: bool) -> None:
    keyword = instruction.keyword
    if keyword not in _CHECKS:
        near = difflib.get_close_matches(keyword, _CHECKS, n=1)
        advice = f"did you mean {near[0]}?" if near else "the instructions are " + ", ".join(_CHECKS)
        raise Refused(f"unknown instruction {keyword!r}: {advice}")
    _CHECKS[keyword](instruction)
    if not has_stage and keyword != "ARG":
        raise Refused(f"{keyword} before the first FROM: only ARG may stand there, begin with FROM")


def _shell_or_exec(instruction: Instruction) -> None:
    check_flags(instruction)


def _run(instruction: Instruction) -> None:
    check_flags(instruction)
    check_mounts(instruction)
    for flag, known in (("network", ("default", "none", "host")), ("security", ("sandbox", "insecure"))):
        for value in flag_values(instruction, flag):
            if value not in known:
                raise Refused(f"--{flag}={value!r}: it must be one of {', '.join(known)}")


def _one_argument(instruction: Instruction) -> None:
    if not instruction.args:
        raise Refused(f"{instruction.keyword} without an argument: it needs exactly one")
    check_flags(instruction)


def _arguments(instruction: Instruction) -> None:
    if not instruction.args:
        raise Refused(f"{instruction.keyword} without an argument: it needs at least one")
    check_flags(instruction)


def _volume(instruction: Instruction) -> None:
    _arguments(instruction)
    if not all(path.strip(SPACE) for path in instruction.args):
        raise Refused("VOLUME with an empty path: remove it")


def _stop_signal(instruction: Instruction) -> None:
    # BuildKit never looks at the flags of STOPSIGNAL and ARG.
    if not instruction.args:
        raise Refused("STOPSIGNAL without an argument: it needs exactly one")


def _arg(instruction: Instruction) -> None:
    if not instruction.args:
        raise Refused("ARG without a name: write ARG NAME or ARG NAME=VALUE")
    _no_blank_names(instruction.keyword, instruction.args)


def _pairs(instruction: Instruction) -> None:
    check_flags(instruction)
    if not instruction.args:
        raise Refused(f"{instruction.keyword} without an argument: write {instruction.keyword} NAME=VALUE")
    _no_blank_names(instruction.keyword, tuple(f"{name}=" for name in instruction.args[::2]))


def _no_blank_names(keyword: str, pairs: tuple[str, ...]) -> None:
    if any(pair.startswith("=") for pair in pairs):
        raise Refused(f"{keyword} with an empty name: write NAME=VALUE, without a blank before the '='")


def _copy(instruction: Instruction) -> None:
    if len(instruction.args) < 2:
        raise Refused(f"{instruction.keyword} needs a source and a destination: write both")
    check_flags(instruction)
    try:
        heredoc = from_word(instruction.args[-1])
    except Refused:
        return
    if heredoc:
        raise Refused(f"{instruction.keyword} with a heredoc as its destination: write a path behind it")


def _from(instruction: Instruction) -> None:
    args = instruction.args
    if len(args) == 3 and args[1].casefold() == "as":
        if not _STAGE_NAME.fullmatch(lower(args[2])):
            raise Refused(f"{args[2]!r} is no name of a stage: begin with a letter; letters, digits and -_. may follow")
    elif len(args) != 1:
        raise Refused("FROM needs one or three arguments: write FROM image or FROM image AS name")
    check_flags(instruction)


def _onbuild(instruction: Instruction) -> None:
    if instruction.trigger is None:
        raise Refused("ONBUILD without an instruction: write one behind it")
    check_flags(instruction)
    # BuildKit looks at the word here, not at the instruction that it found by it: U+0130 makes a difference.
    trigger = first_word(instruction.trigger.original).upper()
    if trigger in {"ONBUILD", "MAINTAINER", "FROM"}:
        raise Refused(f"ONBUILD {trigger}: it can't be a trigger, remove it")


def _health(instruction: Instruction) -> None:
    kind = instruction.args[0].upper() if instruction.args else ""
    if kind == "NONE":
        if len(instruction.args) > 1:
            raise Refused("HEALTHCHECK NONE with arguments: remove them")
        return
    check_flags(instruction)
    if kind != "CMD":
        raise Refused("HEALTHCHECK needs CMD and a command, or NONE: write one of them")
    if len(instruction.args) < 2:
        raise Refused("HEALTHCHECK CMD without a command: write one behind it")
    for flag in ("interval", "timeout", "start-period", "start-interval"):
        for value in filter(None, flag_values(instruction, flag)):
            _duration(flag, value)
    for value in filter(None, flag_values(instruction, "retries")):
        _retries(value)


def _duration(flag: str, value: str) -> None:
    try:
        duration = nanoseconds(value)
    except ValueError as error:
        raise Refused(f"--{flag}: {error}; write it like 30s or 1m30s") from None
    if duration and duration < _MILLISECOND:
        raise Refused(f"--{flag}={value!r} is less than 1ms: write a longer time")


def _retries(value: str) -> None:
    try:
        retries = signed(value)
    except ValueError as error:
        raise Refused(f"--retries: {error}; write a whole number") from None
    if retries < 0:
        raise Refused(f"--retries={value!r} is negative: write 0 or more")


def _shell(instruction: Instruction) -> None:
    check_flags(instruction)
    if not instruction.args or instruction.form != "exec":
        raise Refused('SHELL needs a JSON array: write SHELL ["program", "argument"]')


_CHECKS: Final[Mapping[str, Callable[[Instruction], None]]] = MappingProxyType(
    {
        "ADD": _copy,
        "ARG": _arg,
        "CMD": _shell_or_exec,
        "COPY": _copy,
        "ENTRYPOINT": _shell_or_exec,
        "ENV": _pairs,
        "EXPOSE": _arguments,
        "FROM": _from,
        "HEALTHCHECK": _health,
        "LABEL": _pairs,
        "MAINTAINER": _one_argument,
        "ONBUILD": _onbuild,
        "RUN": _run,
        "SHELL": _shell,
        "STOPSIGNAL": _stop_signal,
        "USER": _one_argument,
        "VOLUME": _volume,
        "WORKDIR": _one_argument,
    }
)
