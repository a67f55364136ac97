"""Which commands of Docker, Podman and Buildah build an image, and what is to be built then."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from layercache_ci.action.setup.grammar import Grammar, Option, PassedOn
from layercache_ci.dockerfile.go_numbers import FALSE
from layercache_ci.settings import BuildSettings, EngineChoice, assignments, without_credentials

DEFAULT: Final = "default"
"""The name of docker's context for DOCKER_HOST or the usual socket, and of the builder in it."""
DEFAULT_PLATFORM: Final = "DOCKER_DEFAULT_PLATFORM"
"""What `docker buildx build` builds for where no option says so; bake does not read it."""

SHARED: Final = frozenset(
    {
        "add-host", "build-arg", "build-context", "file", "iidfile", "label", "network", "output", "platform",
        "secret", "shm-size", "ssh", "tag", "target", "ulimit",
    }
)  # fmt: skip
"""Options with a value that mean the same to every engine."""
SHORT: Final = MappingProxyType({"f": "file", "o": "output", "q": "quiet", "t": "tag"})
BUILDX: Final = Grammar(
    SHARED
    | {
        "allow", "annotation", "attest", "builder", "cache-from", "cache-to", "cgroup-parent", "cpu-period",
        "cpu-quota", "cpu-shares", "cpuset-cpus", "cpuset-mems", "memory", "memory-swap", "metadata-file",
        "no-cache-filter", "progress", "provenance", "sbom",
    },
    frozenset({"compress", "debug", "force-rm", "load", "no-cache", "pull", "push", "quiet", "rm"}),
    MappingProxyType({**SHORT, "D": "debug", "c": "cpu-shares", "m": "memory"}),
)  # fmt: skip
"""With those of the classic builder that buildx takes, and ignores."""
CONTAINERS: Final = Grammar(
    SHARED
    | {
        "annotation", "authfile", "cap-add", "cap-drop", "cert-dir", "cgroup-parent", "cpu-period", "cpu-quota",
        "cpu-shares", "cpuset-cpus", "cpuset-mems", "creds", "device", "dns", "dns-option", "dns-search", "format",
        "group-add", "ipc", "isolation", "manifest", "memory", "memory-swap", "pid", "retry", "retry-delay",
        "runtime", "runtime-flag", "security-opt", "userns", "uts", "volume",
    },
    frozenset(
        {
            "compress", "disable-compression", "disable-content-trust", "force-rm", "http-proxy", "identity-label",
            "layers", "no-cache", "no-hosts", "pull", "pull-always", "pull-never", "quiet", "rm", "tls-verify",
        }
    ),
    MappingProxyType({**SHORT, "c": "cpu-shares", "D": "disable-compression", "m": "memory", "v": "volume"}),
    interspersed=False,
)  # fmt: skip
"""Without those that change what a step holds and that the planner can't see (`--from`, `--ignorefile`), that build for
another machine, and that print other lines."""
OURS: Final = SHARED | {"builder", "load", "metadata-file", "no-cache", "progress", "push", "quiet"}
"""Those that the settings have a field for; the others go to the engine as they are."""
DOCKER: Final = Grammar(
    frozenset({"config", "context", "host"}), frozenset(), MappingProxyType({"c": "context", "H": "host"})
)
"""docker's options before the verb."""
PODMAN: Final = Grammar(frozenset(), frozenset(), MappingProxyType({}))
BUILDER: Final = Grammar(frozenset({"builder"}), frozenset({"debug"}), MappingProxyType({"D": "debug"}))
"""buildx's options before the verb."""

DOCKER_BUILDS: Final = (("build",), ("image", "build"), ("builder", "build"))
BUILDX_BUILDS: Final = ("build", "b")
BAKES: Final = ("bake", "f")
DOCKER_BAKE: Final = "bake"
"""Docker's own word for it, since 28."""
BUILDX_VERBS: Final = (*BUILDX_BUILDS, *BAKES)
BUILDS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = MappingProxyType(
    {
        "docker": (*DOCKER_BUILDS, *(("buildx", verb) for verb in BUILDX_BUILDS)),
        "podman": (("build",), ("image", "build"), ("buildx", "build"), ("builder", "build")),
        "buildah": (("build",), ("bud",), ("build-using-dockerfile",)),
    }
)
"""The commands that build, by program."""
MORE: Final = MappingProxyType({"docker": (DOCKER_BAKE, "compose")})
"""Words that may begin several builds at once."""
FIRST: Final = MappingProxyType(
    {
        program: tuple(dict.fromkeys((*(words[0] for words in builds), *MORE.get(program, ()))))
        for program, builds in BUILDS.items()
    }
)
"""The words with which they begin where no option stands before them."""
ENGINES: Final[Mapping[str, EngineChoice]] = MappingProxyType(
    {"docker": "buildkit", "podman": "podman", "buildah": "buildah"}
)


@dataclass(frozen=True, slots=True)
class Command:
    """A build: what is to be built, in which environment. `dockerfile` is its text where no file has it."""

    settings: BuildSettings
    environment: Mapping[str, str]
    dockerfile: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """What a command line builds, and what the real program is to do with it then; None for nothing."""

    builds: tuple[Command, ...]
    then: tuple[str, ...] | None = None


def read_command(program: str, words: Sequence[str], environment: Mapping[str, str]) -> Command:
    """Raises PassedOn for what is no build or can't be cached, InputError for what the real program will refuse."""
    engine = ENGINES[program]
    before, rest = leading(DOCKER if program == "docker" else PODMAN, words, FIRST[program])
    if program == "docker":
        environment = of_docker(before, environment)
        before, rest, plain = _docker_verb(rest)
        options, arguments = BUILDX.read(rest)
        options = (*before, *options)
        if plain:
            demand_buildkit(environment)
        if plain and not any(option.name == "builder" for option in options):
            options = (*own_builder(environment), *options)
    else:
        options, arguments = CONTAINERS.read(_verb(program, rest))
        if program == "buildah":
            arguments = arguments or (".",)
        _demand_local(options, environment)
    if not arguments:
        raise PassedOn("it names no build context")
    if len(arguments) != 1:
        raise PassedOn(f"it takes one build context, not {len(arguments)}")
    settings = _settings(engine, options, arguments[0], environment)
    _demand_cacheable(settings, [option for option in options if option.name == "file"])
    return Command(settings, environment)


def leading(grammar: Grammar, words: Sequence[str], verbs: Sequence[str]) -> tuple[tuple[Option, ...], tuple[str, ...]]:
    """The options before the verb. Raises PassedOn for one that is not known; without a word where no verb of these
    follows, so that nothing is built."""
    try:
        return grammar.leading(words)
    except PassedOn as reason:
        if set(verbs).isdisjoint(words):
            raise PassedOn from reason
        raise


def _verb(program: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """What stands behind the command that builds."""
    for build in BUILDS[program]:
        if words[: len(build)] == build:
            return words[len(build) :]
    raise PassedOn


def _docker_verb(words: tuple[str, ...]) -> tuple[tuple[Option, ...], tuple[str, ...], bool]:
    """buildx's options before its verb, what stands behind it, and whether it is docker's own `build`, which takes
    another builder than buildx's (docker/cli, cmd/docker/builder.go)."""
    if words and words[0] == "buildx":
        options, rest = leading(BUILDER, words[1:], BUILDX_VERBS)
        if rest and rest[0] in BUILDX_BUILDS:
            return options, rest[1:], False
        raise PassedOn
    return (), _verb("docker", words), True


def of_docker(options: Iterable[Option], environment: Mapping[str, str]) -> Mapping[str, str]:
    """The variables that mean the same as docker's options do."""
    found = dict(environment)
    for option in options:
        value = option.value or ""
        if option.name == "config":
            found["DOCKER_CONFIG"] = value
        else:
            name, other = (
                ("DOCKER_HOST", "DOCKER_CONTEXT") if option.name == "host" else ("DOCKER_CONTEXT", "DOCKER_HOST")
            )
            found[name] = value
            found.pop(other, None)
    return found


def demand_buildkit(environment: Mapping[str, str]) -> None:
    """Of all but buildx. Raises PassedOn."""
    if environment.get("DOCKER_BUILDKIT") in FALSE:
        raise PassedOn("DOCKER_BUILDKIT asks for the classic builder")


def own_builder(environment: Mapping[str, str]) -> tuple[Option, ...]:
    """The builder of docker's context, which `docker build` takes unless another is named, or `docker buildx install`
    has made buildx's its own."""
    folder = Path(environment.get("DOCKER_CONFIG") or Path(environment.get("HOME") or "/root") / ".docker")
    config: Mapping[str, object] = {}
    with suppress(OSError, ValueError):
        read = json.loads((folder / "config.json").read_bytes())
        config = read if isinstance(read, dict) else {}
    aliases = config.get("aliases")
    if environment.get("BUILDX_BUILDER") or (isinstance(aliases, dict) and "builder" in aliases):
        return ()
    current = DEFAULT if environment.get("DOCKER_HOST") else environment.get("DOCKER_CONTEXT")
    return (Option("builder", current or str(config.get("currentContext") or DEFAULT)),)


def _demand_local(options: Iterable[Option], environment: Mapping[str, str]) -> None:
    """Of Podman and Buildah. Raises PassedOn."""
    for name in ("CONTAINER_HOST", "CONTAINER_CONNECTION"):
        if environment.get(name):
            raise PassedOn(f"{name} names another machine")
    layers = [option.on for option in options if option.name == "layers"]
    if not all(layers):
        raise PassedOn("--layers=false asks for no cache")
    if not layers and environment.get("BUILDAH_LAYERS", "").lower() in {"false", "0"}:
        raise PassedOn("BUILDAH_LAYERS asks for no cache")


def _demand_cacheable(settings: BuildSettings, files: Sequence[Option]) -> None:
    """Raises PassedOn for what the planner would not look at."""
    if settings.remote_context:
        raise PassedOn(f"the engine fetches the context {without_credentials(settings.context)!r}")
    if settings.engine != "buildkit" and len(files) > 1:
        raise PassedOn("it has several Containerfiles")
    if settings.engine != "buildkit" and (settings.file or "").endswith(".in"):
        raise PassedOn("its Containerfile is made by cpp")


def _settings(
    engine: EngineChoice, options: Sequence[Option], context: str, environment: Mapping[str, str]
) -> BuildSettings:
    """Raises PassedOn and InputError."""

    def all_of(name: str) -> tuple[str, ...]:
        return tuple(option.value or "" for option in options if option.name == name)

    def last(name: str) -> str | None:
        return (None, *all_of(name))[-1] or None

    def flag(name: str) -> bool:
        return (False, *(option.on for option in options if option.name == name))[-1]

    buildkit = engine == "buildkit"
    iidfile, metadata = last("iidfile"), last("metadata-file")
    progress = last("progress") or (buildkit and environment.get("BUILDKIT_PROGRESS")) or "auto"
    ours = OURS | ({"pull"} if buildkit else {"layers"})
    return BuildSettings(
        context=context,
        file=last("file"),
        tags=all_of("tag"),
        target=last("target"),
        build_args=assignments(all_of("build-arg"), name="--build-arg", environment=environment),
        build_contexts=assignments(all_of("build-context"), name="--build-context"),
        platform=",".join(all_of("platform")) or None,
        labels=all_of("label"),
        secrets=all_of("secret"),
        ssh=all_of("ssh"),
        network=last("network"),
        no_cache=flag("no-cache"),
        pull=buildkit and flag("pull"),
        push=flag("push"),
        load=flag("load"),
        outputs=all_of("output"),
        add_hosts=all_of("add-host"),
        shm_size=last("shm-size"),
        ulimits=all_of("ulimit"),
        iidfile=Path(iidfile) if iidfile else None,
        metadata_file=Path(metadata) if metadata else None,
        quiet=flag("quiet") or progress == "quiet",
        progress=progress,
        engine_options=tuple(option.word for option in options if option.name not in ours),
        engine=engine,
        builder=last("builder"),
    )
