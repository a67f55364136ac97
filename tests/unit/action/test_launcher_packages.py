"""The launcher's sets of packages cover the lock, and each set is whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[3]
SETS: Final[dict[str, list[str]]] = json.loads((CHECKOUT / "launcher/packages.json").read_text())
LATE: Final = {("actions-toolkit", "pygithub")}
"""actions_toolkit imports PyGithub in its module `github` only, for which there is the set `rest`."""


def needed_by() -> dict[str, set[str]]:
    """For each package of the lock those that need it, as uv notes them; `layercache-ci` for ourselves."""
    found: dict[str, set[str]] = {}
    for entry in re.split(
        r"^(?=[a-z0-9][a-z0-9._-]*==)", (CHECKOUT / "requirements/runtime.txt").read_text(), flags=re.MULTILINE
    )[1:]:
        via = entry.partition("# via")[2]
        found[entry.partition("==")[0]] = set(re.findall(r"^[ #]*([a-z0-9][a-z0-9._-]*)", via, flags=re.MULTILINE))
    return found


def test_each_package_of_the_lock_is_in_one_set() -> None:
    named = [name for names in SETS.values() for name in names]
    assert sorted(named) == sorted(needed_by())


def test_what_a_set_needs_comes_with_it() -> None:
    """Every set is installed with the base."""
    for name, parents in needed_by().items():
        (own,) = (group for group, names in SETS.items() if name in names)
        for parent in parents - {"layercache-ci"}:
            (asking,) = (group for group, names in SETS.items() if parent in names)
            assert own in ("base", asking) or (parent, name) in LATE, f"{parent} of {asking} needs {name} of {own}"


def test_what_we_need_ourselves_is_seen() -> None:
    """The notes are read at all."""
    assert needed_by()["cheroot"] == {"layercache-ci"}
    assert needed_by()["urllib3"] == {"botocore", "pygithub", "requests"}
