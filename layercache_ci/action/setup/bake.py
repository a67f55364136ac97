"""`docker buildx bake` and `docker compose build`: what they would build, by their own word, as builds of one target
each. Both print it as a bake file in JSON with `--print` (docker/buildx, bake/bake.go, type Target)."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from layercache_ci.action.setup.command import (
    BAKES,
    BUILDER,
    BUILDX_VERBS,
    DEFAULT_PLATFORM,
    Command,
    leading,
    read_command,
)
from layercache_ci.action.setup.grammar import Grammar, Option, PassedOn
from layercache_ci.engines.buildkit.result import fields_of
from layercache_ci.engines.process import ask

Targets = Sequence[tuple[str, Mapping[str, Any]]]
"""By name."""

BAKE: Final = Grammar(
    frozenset({"allow", "builder", "file", "progress", "provenance", "sbom", "set"}),
    frozenset({"debug", "load", "no-cache", "pull", "push"}),
    MappingProxyType({"D": "debug", "f": "file"}),
)
FIELDS: Final = MappingProxyType(
    {
        "annotations": "annotation", "args": "build-arg", "attest": "attest", "cache-from": "cache-from",
        "cache-to": "cache-to", "contexts": "build-context", "entitlements": "allow", "extra-hosts": "add-host",
        "labels": "label", "network": "network", "no-cache": "no-cache", "no-cache-filter": "no-cache-filter",
        "output": "output", "platforms": "platform", "pull": "pull", "secret": "secret", "shm-size": "shm-size",
        "ssh": "ssh", "tags": "tag", "target": "target", "ulimits": "ulimit",
    }
)  # fmt: skip
"""Of a target, and the options of `docker buildx build` that mean the same."""
ANOTHER_TARGET: Final = "target:"
"""Nothing would come of building what stands alone with the cache first: where the real program then builds all,
BuildKit runs a step again whose layer was restored and never read, and so it does with the last one of an image that
was read for an export."""
TARGET: Final = r"[\w-]+"
"""What no address of a definition elsewhere can be taken for."""
INLINE: Final = "dockerfile-inline"
"""The Dockerfile's text, which goes before the file of a name."""
ESCAPED: Final = frozenset({"annotations", "args", "extra-hosts", "labels", INLINE})
"""Fields that are printed as HCL reads them: `$${` for `${`, and `%%{` for `%{`."""


def bake(
    words: tuple[str, ...], environment: Mapping[str, str], builder: tuple[Option, ...] = ()
) -> tuple[Command, ...] | None:
    """None where it is another command of buildx's; `builder` is the one where none is named. What a target may see
    beside the working folder is asked for by `--allow`, which is bake's to judge."""
    before, rest = leading(BUILDER, words, BUILDX_VERBS)
    if not rest or rest[0] not in BAKES:
        return None
    options, arguments = BAKE.read(rest[1:])
    if not all(re.fullmatch(TARGET, argument) for argument in arguments):
        raise PassedOn("its definition may be fetched")
    if any(option == Option("file", "-") for option in options):
        raise PassedOn("its definition comes by standard input")
    printed = ask(["docker", "buildx", *words[: len(words) - len(rest)], rest[0], "--print", *rest[1:]], environment)
    allowed = {option.value for option in options if option.name == "allow"}
    targets = targets_of(printed)
    for name, target in targets:
        if not all(map(_inside, _places(target))) or not allowed.issuperset(_entitlements(target)):
            raise PassedOn(f"the target {name} asks for what is outside")
    return builds_of(targets, (*builder, *before, *options), environment)


def _inside(place: str) -> bool:
    """The working folder, by whatever links."""
    return Path(place).resolve().is_relative_to(Path.cwd())


def _places(target: Mapping[str, Any]) -> Iterator[str]:
    """The files and folders that a target reads and writes (docker/buildx, bake/entitlements.go)."""
    context = str(target.get("context", "."))
    yield context
    yield os.path.join(context, target.get("dockerfile", "Dockerfile"))  # noqa: PTH118 - either may be anything
    yield from (str(place).removeprefix("oci-layout://") for place in target.get("contexts", {}).values())
    for field in ("secret", "output", "cache-from", "cache-to"):
        for record in map(_record, target.get(field, ())):
            yield from (record[name] for name in ("src", "source", "dest") if name in record)
    for agent in map(_agent, target.get("ssh", ())):
        yield from agent


def _entitlements(target: Mapping[str, Any]) -> Iterator[str]:
    """What the target has to be allowed by name: an SSH agent that it names no socket of, too."""
    yield from target.get("entitlements", ())
    yield from ("ssh" for agent in map(_agent, target.get("ssh", ())) if not agent)


def _agent(value: Any) -> Sequence[str]:
    """The paths of an SSH agent, an object or `ID=PATH,PATH`."""
    if isinstance(value, Mapping):
        return tuple(map(str, value.get("paths", ())))
    return tuple(filter(None, str(value).partition("=")[2].split(",")))


def _record(value: Any) -> Mapping[str, str]:
    """An object, or one written as CSV; a word that stands alone is the folder of an output."""
    if isinstance(value, Mapping):
        return {str(name): str(each) for name, each in value.items()}
    if "=" not in str(value):
        return {"dest": str(value)}
    return fields_of(str(value))


def targets_of(printed: str) -> Targets:
    """By name, those that were asked for, in their order: compose prints what they depend on too. Raises PassedOn."""
    try:
        found = json.loads(printed)
        targets: Mapping[str, Mapping[str, Any]] = found.get("target", {})
        groups: Mapping[str, Mapping[str, Any]] = found.get("group", {})
        asked = _asked("default", groups, targets) if "default" in groups else targets
        return [(name, targets[name]) for name in dict.fromkeys(asked)]
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise PassedOn(f"what it prints of its targets can't be read: {error!r}") from error


def _asked(
    name: str, groups: Mapping[str, Any], targets: Mapping[str, Any], above: tuple[str, ...] = ()
) -> Iterator[str]:
    """The targets of a group, which may be of groups itself. Raises LookupError."""
    if name in above or (name in groups and name in targets):
        raise LookupError(name)
    if name in groups:
        for each in groups[name]["targets"]:
            yield from _asked(each, groups, targets, (*above, name))
    else:
        yield name


def builds_of(targets: Targets, options: Sequence[Option], environment: Mapping[str, str]) -> tuple[Command, ...]:
    """Raises PassedOn, for a secret too that compose has of its `.env`: its value is not printed."""
    common = [option.word for option in options if option.name in {"builder", "progress"}]
    if not targets:
        raise PassedOn
    for name, target in targets:
        for secret in map(_record, target.get("secret", ())):
            if (variable := secret.get("env")) and variable not in environment:
                raise PassedOn(f"the target {name} has a secret of {variable}, which the environment has not")
    environment = {name: value for name, value in environment.items() if name != DEFAULT_PLATFORM}
    return tuple(
        replace(
            read_command("docker", ["buildx", "build", *common, *_words(name, target)], environment),
            dockerfile=_plain(INLINE, str(target[INLINE])) if INLINE in target else None,
        )
        for name, target in targets
    )


def _words(name: str, target: Mapping[str, Any]) -> Iterator[str]:
    """The command line of one target. Raises PassedOn for what a command line can't say."""
    context = target.get("context", ".")
    if context.startswith(ANOTHER_TARGET) or any(
        place.startswith(ANOTHER_TARGET) for place in target.get("contexts", {}).values()
    ):
        raise PassedOn(f"the target {name} is built on another one")
    for field, value in target.items():
        option = FIELDS.get(field)
        if option is not None:
            for text in _texts(field, value):
                yield f"--{option}={_plain(field, text)}" if isinstance(text, str) else f"--{option}"
        elif field not in {"context", "description", "dockerfile", INLINE}:
            raise PassedOn(f"the target {name} has {field}")
    yield f"--file={os.path.join(context, target.get('dockerfile', 'Dockerfile'))}"  # noqa: PTH118 - keeps ./
    yield context


def _texts(field: str, value: Any) -> Iterator[str | bool]:
    """The values of an option."""
    if isinstance(value, bool):
        yield from [True] if value else []
    elif isinstance(value, Mapping):
        colon = ":" if field == "extra-hosts" else "="
        yield from (name if each is None else f"{name}{colon}{each}" for name, each in value.items())
    elif isinstance(value, list):
        yield from (_text(field, each) for each in value)
    else:
        yield str(value)


def _plain(field: str, text: str) -> str:
    return text.replace("$${", "${").replace("%%{", "%{") if field in ESCAPED else text


def _text(field: str, value: Any) -> str:
    """An object is a record of CSV, `type=…,dest=…`, but for an SSH agent: `ID=PATH`."""
    if not isinstance(value, Mapping):
        return str(value).rstrip("=") if field == "ssh" else str(value)
    if field == "ssh":
        paths = ",".join(value.get("paths", ()))
        return f"{value['id']}={paths}" if paths else str(value["id"])
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([f"{name}={each}" for name, each in value.items()])
    return line.getvalue()
