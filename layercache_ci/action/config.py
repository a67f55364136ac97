"""`config`: a YAML file that gives inputs. Those of the workflow win."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from layercache_ci.action.context import HERE, DefaultContext
from layercache_ci.action.inputs import LISTS, TABLE, Inputs, Value
from layercache_ci.errors import InputError
from layercache_ci.settings import REMOTE_FILE

BY_SSH: Final = ("git@", "ssh://")
PLACES: Final = frozenset({"containerfiles", "context", "dockerfiles", "file"})


def with_config(inputs: Inputs, workspace: Path) -> Inputs:
    """The same inputs with what the file named by `config` gives. Its keys are names of inputs; a list may be a list
    there, and one of NAME=value a mapping. Raises InputError."""
    name = inputs.text("config")
    if name is None:
        return inputs
    found = Inputs({key: _value(key, value, name) for key, value in _read(workspace / name, name).items()})
    _demand_from_checkout(found, workspace, name)
    return Inputs({**found.values, **inputs.values})


def _demand_from_checkout(found: Inputs, workspace: Path, file: str) -> None:
    """Raises InputError for what would bring into the build what else is on the machine."""
    root = workspace.resolve()
    for key in sorted(PLACES & found.values.keys()):
        for place in found.lines(key):
            filled = DefaultContext(HERE).fill(place)
            # an option of the engine's in a folder's clothes would be one of extra-args, which it may not give
            if filled.startswith("-"):
                raise InputError(f"config: {file!r}: {key}: {place!r}; write it in the workflow below with:")
            # buildx hands the machine's SSH agent to a build whose context it fetches by it
            if place.startswith(BY_SSH) or (key != "context" and place.startswith(REMOTE_FILE)):
                raise InputError(f"config: {file!r}: {key}: {place!r}; write it in the workflow below with:")
            if not (root / filled).resolve().is_relative_to(root):
                raise InputError(
                    f"config: {file!r}: {key}: {place!r} is outside the workspace; write it in the workflow below with:"
                )
    for word in found.list("build-args"):
        if "=" not in word:
            raise InputError(
                f"config: {file!r}: build-args: {word!r} would be taken from the environment; write NAME=value, or "
                "this in the workflow below with:"
            )


def _read(path: Path, name: str) -> Mapping[Any, Any]:
    import yaml  # noqa: PLC0415 - only where there is such a file

    try:
        value = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise InputError(f"config: {name!r}: {error.strerror}; name a YAML file in the workspace") from error
    except yaml.YAMLError as error:
        raise InputError(f"config: {name!r} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(value, Mapping):
        raise InputError(f"config: {name!r} is no mapping; write a line like `engine: buildah` for each input")
    return value


def _value(key: object, value: object, file: str) -> Value:
    entry = TABLE.get(key) if isinstance(key, str) else None
    if entry is None:
        raise InputError(f"config: {file!r}: {key!r} is no input; docs/inputs.md lists them")
    if not entry.from_file:
        raise InputError(f"config: {file!r}: {key!r} is only taken from the workflow; write it below with:")
    if entry.kind in LISTS and isinstance(value, Mapping):
        return tuple(f"{name}={_text(item, entry.name, file)}" for name, item in value.items())
    if entry.kind in LISTS and isinstance(value, list):
        return tuple(_text(item, entry.name, file) for item in value)
    return _text(value, entry.name, file)


def _text(value: object, key: str, file: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or not isinstance(value, str | int | float):
        raise InputError(f"config: {file!r}: {key}: {value!r} is no value for it; write a text")
    return str(value).strip()
