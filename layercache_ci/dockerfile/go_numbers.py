"""Numbers and lists of fields as Go's libraries read them. Every function raises ValueError where Go refuses the text.

Sources: Go 1.26's strconv and time; docker/go-units v0.5.0 (RAMInBytes); tonistiigi/go-csvvalue (Fields).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
"""What strconv.ParseBool takes."""
_UNITS: Final[Mapping[str, int]] = MappingProxyType(
    {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
)
_DURATION_PART: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^.0-9]+)")
_DIGITS: Final = "[0-9](?:_?[0-9])*"
_SIZE: Final = re.compile(
    rf"([+-]?(?:{_DIGITS}\.?(?:{_DIGITS})?|\.{_DIGITS})(?:e[+-]?{_DIGITS})?) ?(?:([kmgtp])(?:i?b)?|b)?",
    re.IGNORECASE | re.ASCII,
)
_FIELD: Final = re.compile(r'"((?:[^"]|"")*)"(?=,|\Z)|([^",][^",]*|)(?=,|\Z)')


def boolean(text: str) -> bool:
    """strconv.ParseBool."""
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def unsigned(text: str, base: int) -> int:
    """strconv.ParseUint of 32 bits; base 8 or 10."""
    if not re.fullmatch("[0-7]+" if base == 8 else "[0-9]+", text) or (value := int(text, base)) >= 2**32:
        raise ValueError(f"{text!r} is no unsigned number of 32 bits in base {base}")
    return value


def signed(text: str) -> int:
    """strconv.ParseInt of 32 bits, base 10."""
    if not re.fullmatch("[+-]?[0-9]+", text) or not -(2**31) <= (value := int(text)) < 2**31:
        raise ValueError(f"{text!r} is no number of 32 bits")
    return value


def nanoseconds(text: str) -> int:
    """time.ParseDuration: `1h30m`, `1.5s`, `-20ms`, `0`."""
    problem = ValueError(f"{text!r} is no duration")
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest:
        raise problem
    total = 0
    while rest:
        found = _DURATION_PART.match(rest)
        if found is None:
            raise problem
        whole, fraction, unit = found.groups()
        if unit not in _UNITS or not (whole or fraction):
            raise problem
        value = _scaled(whole, _UNITS[unit]) + _fraction(fraction or "", _UNITS[unit])
        # Go adds in 64 bits and only then looks whether the sum is too large.
        total = (total + value) % 2**64
        if value > 2**63 or total > 2**63:
            raise problem
        rest = rest[found.end() :]
    if text.startswith("-"):
        return -total
    if total == 2**63:
        raise problem
    return total


def bytes_of_memory(text: str) -> int:
    """units.RAMInBytes: `64m`, `1.5 GiB`; units are powers of 1024. Not the hexadecimal numbers that it takes."""
    found = _SIZE.fullmatch(text)
    value = float(found.group(1)) if found else math.nan
    if found is None or not 0 <= value < math.inf:
        raise ValueError(f"{text!r} is no size")
    power = "kmgtp".index(found.group(2).lower()) + 1 if found.group(2) else 0
    return int(min(value * 1024.0**power, 2.0**63))


def fields(text: str) -> list[str]:
    """csvvalue.Fields: a line of comma-separated values, in double quotes where needed."""
    text = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if not text:
        raise ValueError("it is empty")
    result: list[str] = []
    at = 0
    while True:
        found = _FIELD.match(text, at)
        if found is None:
            raise ValueError(f"{text!r} has a quote that is not closed, or stands inside a field")
        quoted, plain = found.groups()
        result.append(plain if quoted is None else quoted.replace('""', '"'))
        at = found.end()
        if at == len(text):
            return result
        at += 1


def _scaled(digits: str, unit: int) -> int:
    value = int(digits or "0")
    if value > 2**63 or value > 2**63 // unit:
        raise ValueError(f"{digits} is too large")
    return value * unit


def _fraction(digits: str, unit: int) -> int:
    value, scale = 0, 1.0
    for digit in digits:
        if value > (2**63 - 1) // 10 or (longer := value * 10 + int(digit)) > 2**63:
            break
        value, scale = longer, scale * 10
    return int(float(value) * (unit / scale))
