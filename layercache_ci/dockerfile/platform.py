"""Platforms as OS/ARCHITECTURE[/VARIANT], and the arguments that BuildKit predefines from them.

Sources: containerd/platforms v1.0.0-rc.5 (Parse, Normalize, FormatAll) and BuildKit v0.34.2
(frontend/dockerfile/dockerfile2llb/platform.go).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from layercache_ci.errors import InputError

# fmt: off
SYSTEMS: Final = frozenset((
    "aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl",
    "netbsd", "openbsd", "plan9", "solaris", "windows", "zos",
))
ARCHITECTURES: Final = frozenset((
    "386", "amd64", "amd64p32", "arm", "arm64", "arm64be", "armbe", "loong64", "mips", "mips64", "mips64le",
    "mips64p32", "mips64p32le", "mipsle", "ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390", "s390x",
    "sparc", "sparc64", "wasm",
))
# fmt: on
ALIASES: Final = MappingProxyType({"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"})
ALIASES_WITH_VARIANT: Final = MappingProxyType({"i386": ("386", ""), "armhf": ("arm", "v7"), "armel": ("arm", "v6")})
"""Other names of an architecture that stand for a variant too, whatever variant is given."""
MACHINES: Final = MappingProxyType({"i486": "386", "i586": "386", "i686": "386", "loongarch64": "loong64"})
"""What `uname -m` says where that is no name above; 32-bit ARM aside."""

_SYSTEM: Final = re.compile(r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)((?:\+[A-Za-z0-9_.-]+)*)\))?")
_PART: Final = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform as the OCI image specification has it."""

    system: str
    architecture: str
    variant: str = ""
    system_version: str = ""
    """Windows only: 10.0.17763.1234."""
    features: tuple[str, ...] = ()
    """Windows only: win32k."""

    def __str__(self) -> str:
        options = "+".join((self.system_version, *self.features))
        system = f"{self.system}({options})" if options else self.system
        return "/".join(filter(None, (system, self.architecture, self.variant)))


def parse(text: str) -> Platform:
    """The platform that a user or a Dockerfile wrote, normalized. Raises InputError.

    One part alone is an operating system or an architecture; the other half is then this machine's.
    """
    head, *rest = text.split("/")
    found = _SYSTEM.fullmatch(head)
    if found is None or len(rest) > 2 or not all(_PART.fullmatch(part) for part in rest):
        raise _unreadable(text)
    system = _system(found[1])
    version, features = found[2] or "", tuple(sorted(set((found[3] or "").split("+")) - {""}))
    if rest:
        architecture, variant = _architecture(*rest)
        return Platform(system, architecture, variant, version, features)
    if system in SYSTEMS:
        return replace(_host(), system=system, system_version=version, features=features)
    architecture, variant = _architecture(head)
    if architecture not in ARCHITECTURES:
        raise _unreadable(text)
    return Platform("linux", architecture, variant, version, features)


def normalize(platform: str) -> str:
    """`platform` in its canonical spelling: linux/amd64 for linux/x86_64. Raises InputError."""
    return str(parse(platform))


def runs(platform: str) -> tuple[str, ...]:
    """The platforms whose images serve for a normalized one, the best first: of amd64 also 386, of arm64 and 32-bit ARM
    older ones (containerd/platforms, Only; of arm64 not the minor versions, which no image is known by). Raises
    InputError."""
    own = parse(platform)
    match own.architecture:
        case "amd64":
            older = [*(("amd64", f"v{number}") for number in _down(own.variant, to=1)), ("386", "")]
        case "arm64":
            older = [("arm64", ""), *(("arm", f"v{number}") for number in (8, 7, 6, 5))]
        case "arm":
            older = [("arm", f"v{number}") for number in _down(own.variant, to=5)]
        case _:
            older = []
    spelled = (normalize(str(replace(own, architecture=name, variant=variant))) for name, variant in older)
    return tuple(dict.fromkeys((platform, *spelled)))


def host_platform() -> str:
    """The platform of this machine's engines, which run Linux: linux/amd64."""
    return str(_host())


def platform_args(build: str, target: str, stage: str) -> dict[str, str]:
    """The arguments that BuildKit predefines in the global scope; a build argument of the same name overrides each.

    `build` and `target` are platforms, `stage` is the `--target` of the build ("" where none was given). Raises
    InputError where a platform can't be read.
    """
    here, there = parse(build), parse(target)
    return {
        "BUILDPLATFORM": str(replace(here, system_version="", features=())),
        "BUILDOS": here.system,
        "BUILDOSVERSION": here.system_version,
        "BUILDARCH": here.architecture,
        "BUILDVARIANT": here.variant,
        "TARGETPLATFORM": str(there),
        "TARGETOS": there.system,
        "TARGETOSVERSION": there.system_version,
        "TARGETARCH": there.architecture,
        "TARGETVARIANT": there.variant,
        "TARGETSTAGE": stage or "default",
    }


def _down(variant: str, *, to: int) -> range:
    """The numbers of the variants below this one."""
    number = variant.removeprefix("v")
    return range(int(number) - 1, to - 1, -1) if number.isdecimal() else range(0)


def _system(name: str) -> str:
    name = name.lower()
    return "darwin" if name == "macos" else name


def _architecture(name: str, variant: str = "") -> tuple[str, str]:
    """Architecture and variant: the variant is empty where it is the common one, but for 32-bit ARM."""
    name, variant = name.lower(), variant.lower()
    if name in ALIASES_WITH_VARIANT:
        return ALIASES_WITH_VARIANT[name]
    name = ALIASES.get(name, name)
    match name, variant:
        case ("amd64", "v1") | ("arm64", "8" | "v8"):
            return name, ""
        case ("arm", ""):
            return name, "v7"
        case ("arm", "5" | "6" | "7" | "8"):
            return name, f"v{variant}"
    return name, variant


def _host() -> Platform:
    machine = os.uname().machine
    if machine.startswith("armv"):
        return Platform("linux", *_architecture("arm", machine[4:5]))
    return Platform("linux", *_architecture(MACHINES.get(machine, machine)))


def _unreadable(text: str) -> InputError:
    return InputError(f"platform {text!r}: write OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/arm64")
