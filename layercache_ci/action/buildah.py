"""The inputs in the meaning of redhat-actions/buildah-build: bare tags that are joined to `image`, lists by newline
without quotes, the context in the workspace (its index.ts and utils.ts)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from layercache_ci.action.inputs import Inputs
from layercache_ci.dockerfile.go_numbers import TRUE
from layercache_ci.errors import InputError
from layercache_ci.settings import BuildSettings, EngineChoice, Machine, assignments

FROM_SCRATCH: Final = {
    "base-image": "FROM", "content": "COPY", "entrypoint": "ENTRYPOINT", "port": "EXPOSE", "workdir": "WORKDIR",
    "envs": "ENV",
}  # fmt: skip
"""Inputs of builds without a Containerfile, and what to write in one instead."""
OF_A_CONTAINERFILE: Final = {"arch": "write platforms", "archs": "write platforms", "platform": "write platforms",
                             "extra-args": "name one of them"}  # fmt: skip
"""Inputs that say what is built where the others are buildah-build's too, and what to do where they are not."""
PLANNED: Final = ("--target", "--tag", "--label", "--build-arg", "--build-context")
"""Options of the engines that settings have a field for, which planning, or the way to the image, goes by."""
HARMLESS: Final = frozenset(
    {"compression", "compression-level", "force-compression", "oci-mediatypes", "push", "store"}
)
"""Attributes of an image output that change how it is written, not what it holds."""


def buildah_settings(
    inputs: Inputs, settings: BuildSettings, machine: Machine, folder: Path, *, workspace: Path
) -> tuple[BuildSettings, str, str]:
    """The settings, and the outputs `image` and `tags`. Raises InputError."""
    image = (inputs.text("image") or "").lower()
    tags = tuple(tag.lower() for tag in inputs.words("tags")) or ("latest",)
    if len({":" in tag for tag in tags}) > 1:
        raise InputError(f"tags: {' '.join(tags)!r} has full names and bare tags; write all of one kind")
    if ":" not in tags[0] and not image:
        raise InputError(f"image: it is not given, and {tags[0]!r} is a bare tag; name the image, or write full tags")
    found = replace(
        settings,
        context=inputs.text("context") or ".",
        file=_file(inputs, folder, workspace),
        tags=tuple(tag if ":" in tag else f"{image}:{tag}" for tag in tags),
        labels=inputs.lines("labels"),
        build_args=assignments(inputs.lines("build-args"), name="build-args", environment=machine.environment),
        platform=_platform(inputs),
        engine_options=tuple(_options(inputs, settings.engine)),
    )
    found = _with_extra(found, inputs.words("extra-args"), machine.environment)
    return found, image, inputs.text("tags") or "latest"


def with_podmans_outputs(settings: BuildSettings) -> BuildSettings:
    """For Podman and Buildah, whose `--output` knows a folder and a tarball: what buildx's other exporters do by the
    settings that do the same. Raises InputError where none does."""
    kept: list[str] = []
    names: list[str] = []
    push = settings.push
    for output in settings.outputs:
        fields = dict(field.partition("=")[::2] for field in next(csv.reader([output])))
        kind = fields.pop("type", "local")
        if kind in {"local", "tar"}:
            kept.append(output)
            continue
        names += filter(None, fields.pop("name", "").split(","))
        push = push or kind == "registry" or fields.pop("push", "") == "true"
        unknown = fields.keys() - HARMLESS
        if kind not in {"image", "registry", "docker"} or unknown:
            raise InputError(
                f"outputs: {output!r}: {settings.engine} has no {', '.join(sorted(unknown)) or f'type={kind}'}; "
                "take type=image, registry, local or tar, or engine: buildkit"
            )
    return replace(settings, outputs=tuple(kept), push=push, tags=(*settings.tags, *names))


def demand_known(inputs: Inputs, *, buildahs: bool) -> None:
    """Raises InputError for what would be left out of the image without a word: what only a build without a
    Containerfile has, and, where the inputs are not `buildahs`, what says nothing in build-push-action's meaning."""
    if inputs.given("buildah-image"):
        raise InputError(
            f"buildah-image: {inputs.text('buildah-image')!r} would build where no cache is; install Buildah"
        )
    if not inputs.given("containerfiles", "dockerfiles"):
        for name, instruction in FROM_SCRATCH.items():
            if inputs.given(name):
                raise InputError(
                    f"{name}: {' '.join(inputs.lines(name))!r} is for a build without a Containerfile, which has no "
                    f"steps to cache; write it as {instruction} in one and name that in containerfiles"
                )
    for name, advice in () if buildahs else OF_A_CONTAINERFILE.items():
        if inputs.given(name):
            raise InputError(
                f"{name}: {' '.join(inputs.lines(name))!r} is meant with image or containerfiles, as in buildah-build, "
                f"and neither is given; {advice}"
            )


def _file(inputs: Inputs, folder: Path, workspace: Path) -> str | None:
    """The Containerfile; several are put together, as Buildah does it."""
    names = inputs.lines("containerfiles") or inputs.lines("dockerfiles")
    context = Path(inputs.text("context") or ".")
    paths = [next((base / name for base in (workspace, workspace / context) if (base / name).is_file()), None)
             for name in names]  # fmt: skip
    for name, path in zip(names, paths, strict=True):
        if path is None:
            raise InputError(f"containerfiles: {name!r} is no file, neither in the workspace nor in the context")
    found = [path for path in paths if path is not None]
    if len(found) < 2:
        return str(found[0]) if found else inputs.text("file")
    whole = folder / "Containerfile"
    whole.write_bytes(b"\n".join(path.read_bytes() for path in found))
    return str(whole)


def _platform(inputs: Inputs) -> str | None:
    # where both are given the list counts, and it alone
    platforms = inputs.list("platforms") or tuple(filter(None, [inputs.text("platform")]))
    archs = inputs.list("archs") or tuple(filter(None, [inputs.text("arch")]))
    if platforms and archs:
        raise InputError(f"platforms: {','.join(platforms)!r} and archs {','.join(archs)!r} exclude each other")
    named = list(dict.fromkeys(platforms or [f"linux/{arch}" for arch in archs]))
    return ",".join(named) or None


def _with_extra(settings: BuildSettings, words: Sequence[str], environment: Mapping[str, str]) -> BuildSettings:
    """With what `extra-args` say of the image, which has no other way for some of it (`--target`): as an option of the
    engine's alone nobody would look at it, and the cache be one for another stage."""
    found: dict[str, list[str]] = {name: [] for name in PLANNED}
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word.startswith("-t"):
            name, equals, value = "--tag", word[2:], word[2:].removeprefix("=")
        if name == "--no-cache" and (not equals or value in TRUE):
            settings = replace(settings, no_cache=True)
        elif name in PLANNED:
            found[name].append(value if equals else next(rest, ""))
        else:
            others.append(word)
    return replace(
        settings,
        target=[settings.target, *found["--target"]][-1],
        tags=(*settings.tags, *found["--tag"]),
        labels=(*settings.labels, *found["--label"]),
        build_args={
            **settings.build_args,
            **assignments(found["--build-arg"], name="extra-args: --build-arg", environment=environment),
        },
        build_contexts={
            **settings.build_contexts,
            **assignments(found["--build-context"], name="extra-args: --build-context"),
        },
        engine_options=(*settings.engine_options, *others),
    )


def _options(inputs: Inputs, engine: EngineChoice) -> Iterator[str]:
    if engine == "buildkit":
        return
    oci = inputs.flag("oci")
    yield f"--format={'oci' if oci else 'docker'}"
    if oci:
        yield from (f"--annotation={annotation}" for annotation in inputs.lines("annotations"))
