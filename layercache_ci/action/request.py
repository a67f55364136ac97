"""From the inputs of the action to the settings of a build."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from layercache_ci.action.buildah import buildah_settings, demand_known, with_podmans_outputs
from layercache_ci.action.context import HERE, TEMPLATE, DefaultContext, default_context, git_host
from layercache_ci.action.gha import with_token
from layercache_ci.action.given import SECRETS
from layercache_ci.action.inputs import FLAGS, Inputs
from layercache_ci.action.lists import ManifestList, as_list
from layercache_ci.action.provenance import default_provenance, with_builder
from layercache_ci.action.secret_files import Secrets
from layercache_ci.engines.fetched import FETCHED
from layercache_ci.errors import InputError
from layercache_ci.settings import (
    BASE_IMAGES,
    MODES,
    TIER_SIZE,
    BuildSettings,
    EngineChoice,
    Machine,
    S3Options,
    assignments,
    demand_buildable,
    parse_size,
    parse_tier,
    without_credentials,
)

BUILDAHS: Final = ("image", "containerfiles", "dockerfiles")
"""With one of them the inputs are meant as buildah-build's."""
BUILDKIT_ONLY: Final = ("allow", "attests", "cache-from", "cache-to", "call", "no-cache-filters", "provenance", "sbom")
NO_IMAGE: Final = ("type=local", "type=tar", "type=cacheonly")
"""Outputs for which buildx writes no image ID."""
NO_DOCKER: Final = "no Docker daemon answers, or docker has no buildx"
UNCACHED: Final = "built without the cache: "
"""What the engines' warnings say besides."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be built. `names` are the image's, `image` and `tags` outputs of buildah-build; `notes` and `warnings`
    are for the log. `foreseen` are parts of warnings about the build that say no more than a note, or the input."""

    settings: BuildSettings
    names: tuple[str, ...] = ()
    image: str = ""
    tags: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    foreseen: tuple[str, ...] = ()
    list: ManifestList | None = None


def make_request(inputs: Inputs, machine: Machine, folder: Path, *, engine: EngineChoice, workspace: Path) -> Request:
    """What comes of the build is written into `folder`, and so are the secrets, below `secrets`. Raises InputError that
    names the input."""
    buildahs = inputs.given(*BUILDAHS)
    demand_known(inputs, buildahs=buildahs)
    secrets = Secrets(folder / SECRETS)
    secrets.add(inputs)
    common = replace(common_settings(inputs, machine, folder), engine=engine)
    notes = [f"{NO_DOCKER}: {engine} builds"] if _in_dockers_place(inputs, engine) else []
    foreseen: list[str] = []
    if buildahs:
        settings, image, tags = buildah_settings(inputs, common, machine, folder, workspace=workspace)
    else:
        settings, why = _docker(inputs, common, machine, secrets, folder, workspace=workspace)
        image, tags = "", ""
        if why:
            shown = without_credentials(settings.context)
            notes.append(f"the context is {shown}, which the engine fetches, and not cached: {why}")
            foreseen.append(FETCHED)
    settings = replace(settings, secrets=tuple(secrets.words))
    if engine != "buildkit":
        settings = with_podmans_outputs(settings)
    settings, left_out = _with_engine_options(inputs, settings, machine.environment)
    notes += left_out
    names, made = settings.tags, None
    if engine != "buildkit":
        settings, made = as_list(settings)
    demand_buildable(settings)
    if engine == "buildkit" and _calls(inputs):
        foreseen.append(UNCACHED)
    return Request(
        settings, names, image, tags, tuple(notes), tuple(secrets.warnings), foreseen=tuple(foreseen), list=made
    )


def choose_engine(inputs: Inputs, machine: Machine) -> EngineChoice:
    """The one asked for; else Buildah for buildah-build's inputs, else BuildKit where a daemon answers, else Podman; or
    whichever of the two is installed. Raises InputError where none is."""
    asked = inputs.text("engine") or "auto"
    if asked in {"buildkit", "buildah", "podman"}:
        return "buildkit" if asked == "buildkit" else "podman" if asked == "podman" else "buildah"
    from layercache_ci.engines.buildkit.builders import why_buildkit  # noqa: PLC0415 - only where none is named
    from layercache_ci.engines.containers.engine import find  # noqa: PLC0415 - as above

    builder = BuildSettings(context=".", builder=inputs.text("builder"))
    buildahs = inputs.given(*BUILDAHS)
    if not buildahs and why_buildkit(builder, machine) is not None:
        return "buildkit"
    if buildahs and shutil.which("buildah", path=machine.environment.get("PATH")):
        return "buildah"
    try:
        return "podman" if find("auto", machine)[0] == "podman" else "buildah"
    except InputError as error:
        none = "neither podman nor buildah is on PATH"
        lack = f"{none}, one of which builds" if buildahs else f"{NO_DOCKER}, and {none}"
        raise InputError(f"engine: {lack}; install one, or start what there is, before this step") from error


def _in_dockers_place(inputs: Inputs, engine: EngineChoice) -> bool:
    """Whether it builds although nobody asked for it, so that later docker commands won't have the image."""
    return engine != "buildkit" and (inputs.text("engine") or "auto") == "auto" and not inputs.given(*BUILDAHS)


def is_thrown_away(environment: Mapping[str, str]) -> bool:
    """Whether nothing but the steps of this job will ever look for an image here: on GitHub's own runners. Others may
    stay, and have the image for the next job, or be containers of one step."""
    return environment.get("RUNNER_ENVIRONMENT") == "github-hosted"


def common_settings(inputs: Inputs, machine: Machine, folder: Path) -> BuildSettings:
    """What is meant alike for every engine."""
    environment = machine.environment
    tier = inputs.text("tier") or environment.get("LAYERCACHE_TIER")
    size = inputs.text("max-size")
    mode = inputs.text("mode")
    outputs = inputs.list("outputs")
    no_image = any(kind in output.split(",") for output in outputs for kind in NO_IMAGE)
    local = any("type=" not in output for output in outputs)
    return BuildSettings(
        context=inputs.text("context") or ".",
        target=inputs.text("target"),
        build_contexts=assignments(inputs.list("build-contexts"), name="build-contexts"),
        ssh=inputs.list("ssh"),
        network=inputs.text("network"),
        no_cache=inputs.flag("no-cache"),
        pull=inputs.flag("pull"),
        push=inputs.flag("push"),
        load=inputs.flag("load"),
        outputs=outputs,
        add_hosts=inputs.list("add-hosts"),
        shm_size=inputs.text("shm-size"),
        ulimits=inputs.list("ulimit"),
        iidfile=None if no_image or local else folder / "image-id",
        metadata_file=folder / "metadata.json",
        builder=inputs.text("builder"),
        store=inputs.text("store"),
        s3_bucket=inputs.text("s3-bucket") or environment.get("LAYERCACHE_S3_BUCKET") or None,
        max_size=None if size is None else parse_size(size, name="max-size"),
        s3=_s3(inputs),
        tier=None if not tier else parse_tier(tier, name="tier", default=TIER_SIZE),
        scope=inputs.text("scope"),
        read_scopes=inputs.list("read-scope"),
        mode=next((known for known in MODES if known == mode), None),
        cache_version=inputs.text("cache-version") or "",
        cache_base_images=next((known for known in BASE_IMAGES if known == inputs.text("cache-base-images")), "auto"),
        report=folder / "report.json",
        keep_store=inputs.flag("keep-store") if inputs.given("keep-store") else is_thrown_away(environment),
        wait=inputs.flag("wait"),
    )


def _s3(inputs: Inputs) -> S3Options:
    return S3Options(
        endpoint=inputs.text("s3-endpoint"),
        region=inputs.text("s3-region"),
        path_style=inputs.flag("s3-path-style") if inputs.given("s3-path-style") else None,
        role_arn=inputs.text("s3-role-arn"),
        sse=inputs.text("s3-sse"),
        kms_key=inputs.text("s3-kms-key"),
        access_key=inputs.text("s3-access-key-id"),
        secret_key=inputs.text("s3-secret-access-key"),
        session_token=inputs.text("s3-session-token"),
    )


def _docker(
    inputs: Inputs, settings: BuildSettings, machine: Machine, secrets: Secrets, folder: Path, *, workspace: Path
) -> tuple[BuildSettings, str]:
    """The inputs in build-push-action's meaning, and why git is asked for the default context where it is."""
    if settings.push and not inputs.given("tags") and not settings.outputs:
        raise InputError("push: there is no name to push to; give one with tags: REGISTRY/NAME:TAG")
    file, context = inputs.text("file"), inputs.text("context") or "{{defaultContext}}"
    build_args = assignments(inputs.list("build-args"), name="build-args", environment=machine.environment)
    default = DefaultContext(HERE)
    if any(map(TEMPLATE.search, (context, *settings.build_contexts.values()))):
        default = default_context(machine.environment, workspace, folder, build_args)
    place = default.fill(context)
    token = inputs.text("github-token")
    # the Dockerfile may fetch more with it: ADD of a repository
    if token and default.is_in(place):
        secrets.add_git_token(token, git_host(machine.environment))
    found = replace(
        settings,
        context=place,
        file=default.file(context, file),
        tags=inputs.list("tags"),
        labels=inputs.list("labels"),
        build_args=build_args,
        build_contexts={name: default.fill(given) for name, given in settings.build_contexts.items()},
        platform=",".join(inputs.list("platforms")) or None,
    )
    if default.commit and default.is_in(place):
        _demand_in_commit(found, file, default.commit)
    return found, default.why if default.is_in(place) else ""


def _demand_in_commit(settings: BuildSettings, file: str | None, commit: str) -> None:
    """Raises InputError for a Dockerfile that is not there, in words of the user's: the folder is none of theirs."""
    place = settings.buildkit_dockerfile if settings.engine == "buildkit" else settings.dockerfile
    if not settings.remote_file and not place.is_file():
        raise InputError(
            f"file: {file or 'Dockerfile'!r} is no file of the commit {commit}, which is built where no context is "
            "named; name one that is in it, or build what is in the workspace with context: ."
        )


def _with_engine_options(
    inputs: Inputs, settings: BuildSettings, environment: Mapping[str, str]
) -> tuple[BuildSettings, list[str]]:
    """With the inputs that the settings have no field for, and notes of what is left out."""
    buildkit = settings.engine == "buildkit"
    options = [*settings.engine_options, *_repeated("cgroup-parent", filter(None, [inputs.text("cgroup-parent")]))]
    if buildkit or not inputs.given(*BUILDAHS):
        options += _repeated("annotation", inputs.list("annotations"))
    notes = []
    if buildkit:
        options += _of_buildkit(inputs, environment)
        if inputs.given("cache-from", "cache-to"):
            notes.append(f"cache-from and cache-to are handed to buildx; {_their_use(settings)}")
        provenance = default_provenance(inputs, environment)
        return replace(settings, engine_options=tuple(options), provenance=provenance), notes
    if not inputs.flag("tls-verify"):
        options.append("--tls-verify=false")
    if left_out := [name for name in BUILDKIT_ONLY if inputs.given(name)]:
        notes.append(f"{settings.engine} has no {', '.join(left_out)}: left out")
    return replace(settings, engine_options=tuple(options)), notes


def _of_buildkit(inputs: Inputs, environment: Mapping[str, str]) -> Iterator[str]:
    yield from _repeated("allow", inputs.list("allow"))
    yield from _repeated("cache-from", inputs.list("cache-from"))
    token = inputs.text("github-token") or ""
    yield from _repeated("cache-to", (with_token(each, environment, token) for each in inputs.list("cache-to")))
    yield from _repeated("no-cache-filter", inputs.list("no-cache-filters"))
    if _calls(inputs):
        yield f"--call={inputs.text('call')}"
    provenance, sbom = inputs.text("provenance"), inputs.text("sbom")
    if provenance:
        yield f"--provenance={with_builder(provenance, environment)}"
    if sbom:
        yield f"--sbom={sbom}"
    for attest in inputs.list("attests"):
        fields = [field.strip() for field in attest.split(",")]
        given = ("type=provenance" in fields and provenance) or ("type=sbom" in fields and sbom)
        if not given:
            told = ",".join(f"disabled={str(not FLAGS[f]).lower()}" if f in FLAGS else f for f in fields)
            yield f"--attest={with_builder(told, environment) if 'type=provenance' in fields else told}"


def _calls(inputs: Inputs) -> bool:
    """Whether nothing is to be built."""
    return (inputs.text("call") or "build") != "build"


def _their_use(settings: BuildSettings) -> str:
    if settings.remote_context:
        return "layercache caches nothing of a context that the engine fetches"
    return "the cache of layercache needs neither"


def _repeated(option: str, values: Iterable[str | None]) -> list[str]:
    return [f"--{option}={value}" for value in values]
