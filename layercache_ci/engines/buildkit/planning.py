"""From the settings of a build to its plan, for BuildKit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from layercache_ci.dockerfile.ast import Dockerfile
from layercache_ci.dockerfile.buildkit import EPOCH, Options, buildkit, seconds
from layercache_ci.dockerfile.context import open_context
from layercache_ci.dockerfile.directives import detect_syntax
from layercache_ci.dockerfile.go_numbers import bytes_of_memory
from layercache_ci.dockerfile.parser import parse
from layercache_ci.dockerfile.plan import ImageResolver, Plan, digest, name_of
from layercache_ci.dockerfile.planner import Planner, Request
from layercache_ci.dockerfile.platform import host_platform, normalize, platform_args
from layercache_ci.dockerfile.treehash import StatCache
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.options import options_of
from layercache_ci.engines.fetched import demand_files
from layercache_ci.errors import InputError, PlanError
from layercache_ci.settings import BuildSettings, Machine

DEFAULT_PLATFORM: Final = "DOCKER_DEFAULT_PLATFORM"
PLANNED: Final = frozenset({"--build-arg", "--build-context", "--file", "--platform", "--target"})
"""Options that say what is built: behind `--` we would not see them."""
COUNTED: Final = frozenset(
    {"--add-host", "--cgroup-parent", "--network", "--no-cache-filter", "--shm-size", "--ulimit"}
)
"""Options that count in the key of some step."""
NEUTRAL: Final = frozenset(
    {
        "--allow", "--annotation", "--attest", "--builder", "--cache-from", "--cache-to", "--call", "--check",
        "--iidfile", "--label", "--load", "--metadata-file", "--no-cache", "--output", "--progress", "--provenance",
        "--pull", "--push", "--quiet", "--sbom", "--secret", "--ssh", "--tag", "--debug",
    }
)  # fmt: skip
"""Options that change no key."""


def make_plans(settings: BuildSettings, machine: Machine, resolver: ImageResolver, builder: Builder) -> dict[str, Plan]:
    """By platform, the plans of a build on the user's `builder`; one plan by no name where it is for one. Raises
    PlanError and InputError for what can't be planned."""
    asked = asked_platforms(settings, machine)
    if len(asked) < 2:
        return {"": make_plan(settings, machine, resolver, builds_for=builder.platform)}
    if builder.nodes > 1:
        raise PlanError(f"the builder {builder.name} has several nodes, of which each builds for other platforms")
    if not builder.exports_cache:
        raise PlanError(f"the daemon of the builder {builder.name} holds no images for several platforms")
    return {
        platform: make_plan(replace(settings, platform=platform), machine, resolver, builds_for=builder.platform)
        for platform in dict.fromkeys(map(_normal, asked))
    }


def asked_platforms(settings: BuildSettings, machine: Machine) -> tuple[str, ...]:
    """Those that are asked for, as they are written: buildx takes the variable where there is no option
    (docker/buildx, commands/build.go). None where nothing is."""
    asked = settings.platform
    if asked is None:
        asked = machine.environment.get(DEFAULT_PLATFORM, "")
    return tuple(asked.split(",")) if asked else ()


def make_plan(settings: BuildSettings, machine: Machine, resolver: ImageResolver, *, builds_for: str = "") -> Plan:
    """For one platform. `builds_for` is what the builder builds for by itself; empty for this machine's platform.
    Raises PlanError and InputError for what can't be planned."""
    options = _Given.of(settings)
    _demand_plannable(settings, options)
    own = normalize(builds_for) if builds_for else host_platform()
    platform = next(map(_normal, asked_platforms(settings, machine)), own)
    file = settings.buildkit_dockerfile
    data = _read(file)
    dockerfile = parse(data, name=str(file))
    build_args = _build_args(settings, machine)
    predefined = platform_args(own, platform, settings.target or _last_stage(dockerfile))
    epoch = build_args.get(EPOCH)
    request = Request(
        dockerfile=dockerfile,
        context=open_context(Path(settings.context).absolute(), file.absolute(), family="buildkit"),
        namespace=_namespace(settings, platform, data, options),
        platform=platform,
        name=name_of(Path(settings.context), file),
        target=settings.target,
        build_args=build_args,
        predefined={name: build_args.get(name, value) for name, value in predefined.items()},
        build_contexts=settings.build_contexts,
        cache=StatCache(machine.cache_home / "hashes"),
        workers=machine.cpus,
        dialect=buildkit(
            Options(
                run=options.of_run(build_args),
                network=options.network(),
                shm_size=options.shm_size(),
                cache_namespace=build_args.get("BUILDKIT_CACHE_MOUNT_NS", ""),
                epoch=None if epoch is None else seconds(epoch),
                no_cache=options.no_cache(),
            )
        ),
    )
    return Planner(request, resolver).plan()


@dataclass(frozen=True, slots=True)
class _Given:
    """Options of the build, each with its values in order, whether they stand before `--` or behind it."""

    values: Mapping[str, tuple[str, ...]]
    unknown: tuple[str, ...] = ()
    behind: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, settings: BuildSettings) -> _Given:
        values: dict[str, tuple[str, ...]] = {
            "--add-host": settings.add_hosts,
            "--ulimit": settings.ulimits,
            "--network": (settings.network,) if settings.network else (),
            "--shm-size": (settings.shm_size,) if settings.shm_size else (),
        }
        behind = tuple(options_of(settings.engine_options))
        for option in behind:
            values[option.name] = (*values.get(option.name, ()), option.value or "")
        unknown = (f"{each.name}={each.value or ''}" for each in behind if each.name not in NEUTRAL | COUNTED)
        return cls(values, tuple(unknown), frozenset(option.name for option in behind))

    def of_run(self, build_args: Mapping[str, str]) -> dict[str, str]:
        """Options.run."""
        hosts = [value.partition("=" if "=" in value else ":")[0] for value in self.values.get("--add-host", ())]
        limits = sorted(map(_ulimit, self.values.get("--ulimit", ())))
        parent = self.values.get("--cgroup-parent", ())[-1:]
        hostname = [build_args["BUILDKIT_SANDBOX_HOSTNAME"]] if build_args.get("BUILDKIT_SANDBOX_HOSTNAME") else []
        named = {"--add-host": hosts, "--ulimit": limits, "--cgroup-parent": parent, "hostname": hostname}
        return {name: digest(*values) for name, values in named.items() if values}

    def network(self) -> str:
        """Options.network."""
        mode = ("default", *self.values.get("--network", ()))[-1]
        return "" if mode in {"default", "sandbox"} else mode

    def shm_size(self) -> int:
        """In bytes. Raises InputError."""
        given = self.values.get("--shm-size", ())
        try:
            return bytes_of_memory(given[-1]) if given else 0
        except ValueError as error:
            raise InputError(f"--shm-size {given[-1]!r}: {error}; write it like 64m") from error

    def no_cache(self) -> frozenset[str] | None:
        """Options.no_cache."""
        given = self.values.get("--no-cache-filter", ())
        return frozenset(name.lower() for value in given for name in value.split(",")) if given else None


def _ulimit(text: str) -> str:
    name, _, limits = text.partition("=")
    soft, colon, hard = limits.partition(":")
    return f"{name}={soft}:{hard if colon else soft}"


def _demand_plannable(settings: BuildSettings, options: _Given) -> None:
    demand_files(settings)
    asked = sorted({"--call", "--check", "--print"} & options.behind)
    if asked:
        raise PlanError(f"{asked[0]} builds nothing")
    late = sorted(PLANNED & options.behind)
    if late:
        raise PlanError(f"{late[0]} stands behind --; write it before to have the build cached")


def _normal(platform: str) -> str:
    """Raises InputError."""
    return host_platform() if platform.strip().lower() == "local" else normalize(platform.strip())


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; name the Dockerfile with --file") from error


def _build_args(settings: BuildSettings, machine: Machine) -> dict[str, str]:
    """What reaches the frontend: buildx adds SOURCE_DATE_EPOCH from the environment, and the frontend writes it anew,
    or drops it where it says no time."""
    found = dict(settings.build_args)
    if EPOCH in machine.environment:
        found.setdefault(EPOCH, machine.environment[EPOCH])
    epoch = seconds(found[EPOCH]) if found.get(EPOCH) else None
    found.pop(EPOCH, None)
    return found if epoch is None else {**found, EPOCH: str(epoch)}


def _last_stage(dockerfile: Dockerfile) -> str:
    """The name of the stage that is built where no target is given."""
    starts = [instruction for instruction in dockerfile.instructions if instruction.keyword == "FROM"]
    return starts[-1].args[2].lower() if starts and len(starts[-1].args) == 3 else ""


def _namespace(settings: BuildSettings, platform: str, data: bytes, options: _Given) -> str:
    syntax = detect_syntax(data)
    frontend = settings.build_args.get("BUILDKIT_SYNTAX") or (syntax.value if syntax else "")
    apart = digest(settings.cache_version, frontend.partition(" ")[0], *options.unknown)
    return f"buildkit-{platform.replace('/', '-')}-{apart[:16]}"
