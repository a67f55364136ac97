"""The flags of instructions (`--name`, `--name=value`): which there are, and what they may hold.

Source: BuildKit v0.34.2, frontend/dockerfile/instructions/bflag.go and parse.go.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from layercache_ci.dockerfile.ast import Instruction
from layercache_ci.dockerfile.text import Refused


class Kind(Enum):
    """What a flag takes."""

    SWITCH = "true or false, and true if alone"
    TEXT = "a value, at most once"
    TEXTS = "a value, any number of times"


_COPYING: Final = {"chown": Kind.TEXT, "chmod": Kind.TEXT, "link": Kind.SWITCH, "exclude": Kind.TEXTS}
_FLAGS: Final[Mapping[str, Mapping[str, Kind]]] = MappingProxyType(
    {
        "ADD": _COPYING | {"keep-git-dir": Kind.SWITCH, "checksum": Kind.TEXT, "unpack": Kind.SWITCH},
        "COPY": _COPYING | {"from": Kind.TEXT, "parents": Kind.SWITCH},
        "FROM": {"platform": Kind.TEXT},
        "HEALTHCHECK": dict.fromkeys(("interval", "timeout", "start-period", "start-interval", "retries"), Kind.TEXT),
        "RUN": {"mount": Kind.TEXTS, "device": Kind.TEXTS, "network": Kind.TEXT, "security": Kind.TEXT},
    }
)


def flag_values(instruction: Instruction, name: str) -> tuple[str, ...]:
    """The values of every `--name=VALUE` of the instruction, in order; "" for a bare `--name`."""
    pairs = (flag.removeprefix("--").partition("=") for flag in instruction.flags)
    return tuple(value for found, _, value in pairs if found == name)


def is_set(instruction: Instruction, name: str) -> bool:
    """Whether a switch such as `--link` is on."""
    return any(value.lower() in ("", "true") for value in flag_values(instruction, name))


def check_flags(instruction: Instruction) -> None:
    """Raises Refused for a flag that the instruction has not, that comes twice or has a wrong value."""
    known = _FLAGS.get(instruction.keyword, {})
    seen: set[str] = set()
    for flag in instruction.flags:
        name, equals, value = flag.removeprefix("--").partition("=")
        if name not in known:
            raise Refused(f"unknown flag {f'--{name}'!r} of {instruction.keyword}: {_advice(name, known)}")
        kind = known[name]
        if name in seen and kind is not Kind.TEXTS:
            raise Refused(f"a second --{name} on one {instruction.keyword}: keep one of them")
        seen.add(name)
        if kind is Kind.SWITCH:
            if value.lower() not in (("true", "false") if equals else ("",)):
                raise Refused(f"--{name}={value!r} is neither true nor false: write --{name} or --{name}=false")
        elif not equals:
            raise Refused(f"--{name} has no value: write --{name}=VALUE")


def _advice(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    if not names:
        return "it takes none, remove it"
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean --{near[0]}?" if near else "it takes " + ", ".join(f"--{name}" for name in names)
