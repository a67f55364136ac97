"""RUN's `--mount` and `--device`.

BuildKit reads a mount twice: when it parses, only what can't hold a variable; the rest when its variables are expanded.
Source: BuildKit v0.34.2, frontend/dockerfile/instructions/commands_runmount.go and commands_rundevice.go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from layercache_ci.dockerfile.ast import Instruction
from layercache_ci.dockerfile.flags import flag_values
from layercache_ci.dockerfile.go_numbers import boolean, bytes_of_memory, fields, unsigned
from layercache_ci.dockerfile.text import Refused, lower
from layercache_ci.errors import InputError

_OWNED: Final = frozenset({"cache", "secret", "ssh"})
_WRITABLE: Final = frozenset({"cache", "tmpfs"})
_SWITCHES: Final = frozenset({"readonly", "ro", "readwrite", "rw", "required"})


@dataclass(frozen=True, slots=True)
class Mount:
    """One `--mount`. What is absent, empty or of size 0 is None; `size` is in bytes, `mode` a number.

    `env` may be empty: the variable then has the secret's own name.
    """

    type: str = "bind"
    source: str | None = None
    target: str | None = None
    from_: str | None = None
    id: str | None = None
    read_only: bool = True
    required: bool = False
    sharing: str | None = None
    size: int | None = None
    env: str | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


def mounts(instruction: Instruction, expand: Callable[[str], str] | None = None) -> tuple[Mount, ...]:
    """The mounts of a RUN, in order.

    Without `expand` they are raw: values hold their variables, and one that can't be read before expansion (a mode, a
    size, a switch) is as if it were absent. With it they are what BuildKit mounts. Raises InputError where BuildKit
    refuses them then, and what `expand` raises.
    """
    try:
        return tuple(_mount(value, expand) for value in flag_values(instruction, "mount"))
    except (Refused, ValueError) as error:
        raise InputError(f"RUN on line {instruction.start_line}: {error}") from None


def check_mounts(instruction: Instruction) -> None:
    """Raises Refused for a mount or device that BuildKit refuses already when it parses."""
    for value in flag_values(instruction, "mount"):
        for key, text in _pairs("mount", value):
            if key == "from" and text and "$" in text[:-1]:
                raise Refused(
                    f"--mount: from={text!r} holds a variable, which is not expanded here: "
                    "name a stage instead (FROM ... AS name)"
                )
    for value in flag_values(instruction, "device"):
        _check_device(value)


def _pairs(flag: str, value: str) -> Iterator[tuple[str, str | None]]:
    """The keys, lower case, and values of a list such as `type=cache,target=/x,ro`."""
    try:
        found = fields(value)
    except ValueError as error:
        raise Refused(f"--{flag}={value!r} can't be read: {error}; write --{flag}=key=value,...") from None
    for field in found:
        key, equals, text = field.partition("=")
        yield lower(key), text if equals else None


def _mount(value: str, expand: Callable[[str], str] | None) -> Mount:
    found: dict[str, Any] = {}
    for key, text in _pairs("mount", value):
        if expand is None:
            with contextlib.suppress(Refused):
                found |= _setting(key, text, found.get("type", "bind"))
        else:
            found |= _setting(key, text if text is None else expand(text), found.get("type", "bind"))
    found.setdefault("read_only", found.get("type", "bind") not in _WRITABLE)
    mount = Mount(**found)
    if expand is not None:
        _check_whole(mount)
    return mount


def _setting(key: str, text: str | None, kind: str) -> dict[str, Any]:
    """The field of a mount that one key sets. `kind` is the type known so far: BuildKit minds the order of keys."""
    if text is None:
        if key not in _SWITCHES:
            raise Refused(f"--mount: {key!r} has no value: write {key}=VALUE")
        text = "true"
    if (key == "required" and kind not in {"secret", "ssh"}) or (key == "size" and kind != "tmpfs"):
        raise Refused(f"--mount: a mount of type {kind} has no {key!r}: remove it, or write type=... before it")
    if key not in _KEYS:
        raise Refused(f"--mount: unknown key {key!r}: the keys are " + ", ".join(_KEYS))
    field, read = _KEYS[key]
    try:
        return {field: read(text)}
    except ValueError as error:
        raise Refused(f"--mount: {key}={text!r}: {error}") from None


def _one_of(*known: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if lower(text) not in known:
            raise ValueError("it must be one of " + ", ".join(known))
        return lower(text)

    return read


def _text(text: str) -> str | None:
    return text or None


_KEYS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = MappingProxyType(
    {
        "type": ("type", _one_of("bind", "cache", "tmpfs", "secret", "ssh")),
        "from": ("from_", _text),
        "source": ("source", _text),
        "src": ("source", _text),
        "target": ("target", _text),
        "dst": ("target", _text),
        "destination": ("target", _text),
        "readonly": ("read_only", boolean),
        "ro": ("read_only", boolean),
        "readwrite": ("read_only", lambda text: not boolean(text)),
        "rw": ("read_only", lambda text: not boolean(text)),
        "id": ("id", _text),
        "sharing": ("sharing", _one_of("shared", "private", "locked")),
        "required": ("required", boolean),
        "size": ("size", lambda text: bytes_of_memory(text) or None),
        "env": ("env", str),
        "mode": ("mode", lambda text: unsigned(text, 8)),
        "uid": ("uid", lambda text: unsigned(text, 10)),
        "gid": ("gid", lambda text: unsigned(text, 10)),
    }
)
"""Each key with the field of Mount that it sets and what reads its value."""


def _check_whole(mount: Mount) -> None:
    """Raises Refused for keys that don't go together."""
    for key in ("mode", "uid", "gid"):
        if getattr(mount, key) is not None and mount.type not in _OWNED:
            raise Refused(f"--mount: a mount of type {mount.type} has no {key!r}: remove it")
    if mount.sharing and mount.type != "cache":
        raise Refused(f"--mount: a mount of type {mount.type} has no 'sharing': remove it")
    if mount.type == "secret":
        if mount.from_:
            raise Refused("--mount: a secret mount has no 'from': remove it")
        if not (mount.source or mount.target or mount.id):
            raise Refused("--mount: a secret mount needs id=NAME or target=PATH")
        if mount.source and mount.id:
            raise Refused("--mount: a secret mount has either 'source' or 'id': remove one of them")


def _check_device(value: str) -> None:
    name = ""
    for key, text in _pairs("device", value):
        if key == "name" and text is not None:
            if name:
                raise Refused(f"--device: a second name, {text!r}, beside {name!r}: keep one of them")
            name = text
        elif key == "required":
            try:
                boolean("true" if text is None else text)
            except ValueError as error:
                raise Refused(f"--device: required={text!r}: {error}") from None
        elif name:
            raise Refused(f"--device: {key!r} beside the name {name!r}: write --device=NAME[,required]")
        else:
            name = key if text is None else f"{key}={text}"
