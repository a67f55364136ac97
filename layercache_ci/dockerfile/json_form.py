"""JSON as Go's encoding/json reads it, and the exec form of an instruction, which is a JSON array of strings."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from layercache_ci.dockerfile.text import SPACE, Refused, printable


def load(text: str) -> Any:
    """The JSON value that `text` is. Raises ValueError where Go refuses it.

    Python would also take NaN, Infinity and numbers beyond a double. Bytes that are not UTF-8 stay as `text.decode`
    has them.
    """
    return json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_refuse)


def exec_form(text: str) -> tuple[str, ...] | None:
    """The strings of a JSON array, or None where `text` isn't one: then it is in shell form.

    Raises Refused for an array of anything but strings.
    """
    text = text.lstrip(SPACE)
    if not text.startswith("["):
        return None
    try:
        items = load(text)
    except RecursionError:
        # Nested beyond Python's stack, and so not of strings. (Beyond 10,000 levels Go would call it no JSON.)
        items = [None]
    except ValueError:
        return None
    if not all(isinstance(item, str) for item in items):
        raise Refused("a JSON array of an instruction holds strings only: put each item in double quotes")
    return tuple(map(printable, items))


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return value


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)
