"""The typed settings of one run. Nothing else in the program reads the environment or the command line."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from layercache_ci.errors import InputError

Mode = Literal["read-write", "read-only", "off"]
BaseImages = Literal["auto", "true", "false"]
BASE_IMAGES: Final[tuple[BaseImages, ...]] = ("auto", "true", "false")
MODES: Final[tuple[Mode, ...]] = ("read-write", "read-only", "off")
EngineChoice = Literal["auto", "buildkit", "buildah", "podman"]
ENGINE_CHOICES: Final[tuple[EngineChoice, ...]] = ("auto", "buildkit", "buildah", "podman")
CONTEXT_SCHEMES: Final = ("http://", "https://", "git://", "git@", "ssh://", "github.com/")
REMOTE_FILE: Final = ("http://", "https://")
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
IDENTITY: Final = re.compile(r"(?<=://)[^/\s?#]*@")
"""Who the user is, and their password, in a URL."""
QUERY: Final = re.compile(r"(?<=://)([^\s?#]*\?)[^\s#]+")
TIER_SIZE: Final = 10 * 10**9
"""Bytes that a tier takes where nothing is said of it."""
UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


MARK: Final = ".layercache"
"""A file by which a folder of our programs is known on PATH."""


def without_shims(path: str) -> str:
    """PATH without any folder of ours: the engines that we start are the real programs."""
    return os.pathsep.join(folder for folder in path.split(os.pathsep) if not os.path.exists(f"{folder}/{MARK}"))  # noqa: PTH110 - a folder may be one that nobody may look into


@dataclass(frozen=True, slots=True)
class Machine:
    """What the process was given by its surroundings: read once, here."""

    environment: Mapping[str, str]
    uid: int
    cpus: int
    terminal: bool
    arguments: tuple[str, ...] = ()
    """The command line, for starting anew as another user."""
    program: tuple[str, ...] = ("-m", "layercache_ci")
    """What Python is given before them."""

    @classmethod
    def read(cls) -> Machine:
        """Of this process. What the Action's `setup: true` put on PATH is left out: we start the real programs."""
        environment = dict(os.environ)
        if "PATH" in environment:
            environment["PATH"] = without_shims(environment["PATH"])
        cpus = len(os.sched_getaffinity(0))
        return cls(environment, os.getuid(), cpus, os.isatty(2), tuple(sys.argv[1:]))

    @property
    def cache_home(self) -> Path:
        """`$XDG_CACHE_HOME/layercache`, by the XDG base directory specification `~/.cache/layercache` where unset."""
        base = self.environment.get("XDG_CACHE_HOME") or str(Path(self.environment.get("HOME") or "/root") / ".cache")
        return Path(base) / "layercache"

    @property
    def scratch(self) -> Path:
        """Where what is restored lies while an engine uses it: on a disk, since it is as large as the images are."""
        base = Path(self.environment.get("LAYERCACHE_SCRATCH") or self.environment.get("TMPDIR") or "/var/tmp")  # noqa: S108 - the engines' own default
        return base / f"layercache-{self.environment.get('_CONTAINERS_ROOTLESS_UID') or self.uid}"

    @property
    def rootless(self) -> bool:
        """Whether we run as an ordinary user, or inside the user namespace that `buildah unshare` makes for one."""
        return self.uid != 0 or "_CONTAINERS_USERNS_CONFIGURED" in self.environment


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """What `--store s3://BUCKET/PREFIX` leaves open. What is None is found by the AWS SDK's own default chain."""

    endpoint: str | None = None
    """A URL, for a server that is not AWS's."""
    region: str | None = None
    path_style: bool | None = None
    """Whether the bucket is named in the path, not in the host name; None: with an endpoint, it is."""
    role_arn: str | None = None
    """A role to assume with the credentials that are found."""
    sse: str | None = None
    """Server-side encryption: AES256 or aws:kms."""
    kms_key: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    ca_bundle: str | None = None
    """A file of certificates to trust."""
    checksums: Literal["when_required", "when_supported"] = "when_required"
    """Whether requests carry the SDK's checksums, which many servers but AWS's don't know. Ours are verified anyway."""


@dataclass(frozen=True, slots=True)
class Tier:
    """A local folder in front of a remote store."""

    folder: Path
    max_size: int
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """One `layercache build`, in the words of `docker buildx build`."""

    context: str
    file: str | None = None
    tags: tuple[str, ...] = ()
    target: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    build_contexts: Mapping[str, str] = field(default_factory=dict)
    platform: str | None = None
    labels: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    network: str | None = None
    no_cache: bool = False
    pull: bool = False
    push: bool = False
    load: bool = False
    outputs: tuple[str, ...] = ()
    add_hosts: tuple[str, ...] = ()
    shm_size: str | None = None
    ulimits: tuple[str, ...] = ()
    iidfile: Path | None = None
    metadata_file: Path | None = None
    quiet: bool = False
    progress: str = "auto"
    engine_options: tuple[str, ...] = ()
    engine: EngineChoice = "auto"
    provenance: str | None = None
    """What BuildKit is to attest of how it built, where the builder can; options of the user's own stand above it."""
    builder: str | None = None
    """The buildx builder that `--builder` names; None for the one that buildx would take."""
    store: str | None = None
    """Where the cache is; None for what the surroundings offer."""
    s3_bucket: str | None = None
    """BUCKET or BUCKET/PREFIX, for a `store` that is None."""
    max_size: int | None = None
    """Bytes; None for the store's own default."""
    s3: S3Options = S3Options()
    tier: Tier | None = None
    scope: str | None = None
    """Which one is the run's own; None for what the CI system says."""
    read_scopes: tuple[str, ...] = ()
    """The others that are read; none for what the CI system says."""
    mode: Mode | None = None
    """What may be done to the cache; None for what the CI system says."""
    cache_version: str = ""
    cache_base_images: BaseImages = "auto"
    """Whether base images' layers are saved. No engine can do without them so far: `auto` is `true`."""
    report: Path | None = None
    keep_store: bool = False
    wait: bool = True

    @property
    def remote_context(self) -> bool:
        """A git or http context is fetched by the engine: there is nothing here to hash."""
        return self.context == "-" or self.context.startswith(CONTEXT_SCHEMES)

    @property
    def context_word(self) -> str:
        """The context as a word of a command line: no option, whatever the folder's name is."""
        return f"./{self.context}" if self.context.startswith("-") and not self.remote_context else self.context

    @property
    def remote_file(self) -> bool:
        """A Dockerfile that the engine fetches."""
        return (self.file or "").startswith(REMOTE_FILE)

    @property
    def piped_file(self) -> bool:
        """A Dockerfile that the engine reads on its standard input."""
        return self.file == "-"

    @property
    def registry_options(self) -> tuple[str, ...]:
        """Those of the engine's options that Buildah, Podman and Skopeo have for every command that asks a registry."""
        return tuple(option for option in self.engine_options if option.startswith("--tls-verify="))

    @property
    def dockerfile(self) -> Path:
        """The Dockerfile as Buildah and Podman look for it: `Containerfile`, then `Dockerfile`, in the context."""
        if self.file is not None:
            given = Path(self.file)
            return given if given.is_file() else Path(self.context) / self.file
        containerfile = Path(self.context) / "Containerfile"
        return containerfile if containerfile.is_file() else Path(self.context) / "Dockerfile"

    @property
    def buildkit_dockerfile(self) -> Path:
        """The Dockerfile as BuildKit looks for it: `Dockerfile` in the context, in lower case where it is only there
        so. A `--file` is taken as it is."""
        if self.file is not None:
            return Path(self.file)
        usual = Path(self.context) / "Dockerfile"
        lower = usual.with_name("dockerfile")
        return lower if lower.is_file() and not usual.is_file() else usual


def without_credentials(url: str) -> str:
    """A URL, or what has one in it, as others may see it: a report, a job summary, a comment on a pull request. What
    stands behind `?` may be a signature that gives access."""
    return QUERY.sub(r"\1...", IDENTITY.sub("", url))


def parse_size(text: str, *, name: str) -> int:
    """Bytes of `10GB`, `500m`, `1.5 TB`; powers of 1000, of 1024 with an `i`. Raises InputError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    if not match:
        raise InputError(f"{name}: {text!r} is no size; write a number with a unit, like 500MB or 10GB")
    number, unit, binary = match.groups()
    factor = UNITS[unit]
    if binary:
        factor = 1 << (10 * list(UNITS).index(unit))
    return int(float(number) * factor)


def parse_tier(text: str, *, name: str, default: int) -> Tier:
    """`DIR` or `DIR:SIZE`, with `default` bytes. Raises InputError."""
    folder, colon, size = text.rpartition(":")
    limit = default
    if colon:
        try:
            limit = parse_size(size, name=name)
        except InputError:
            folder = text  # a folder may have a colon in its name
    place = Path(folder or text).expanduser()
    if not text.strip() or (place.exists() and not place.is_dir()):
        raise InputError(f"{name}: {text!r} is no folder; write DIR or DIR:SIZE, like /var/cache/layercache:20GB")
    return Tier(place.absolute(), limit)


def parse_age(text: str, *, name: str) -> float:
    """Seconds of `14d`, `12h`, `30m`, `2w`. Raises InputError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", text.lower())
    if not match:
        raise InputError(f"{name}: {text!r} is no age; write a number with a unit, like 14d or 12h")
    return float(match[1]) * SECONDS[match[2]]


def assignments(words: Sequence[str], *, name: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """`NAME=VALUE` words as a mapping, the last one of a name winning. A bare NAME takes its value from `environment`
    (and is left out where that has none), or raises InputError where no environment is given."""
    values: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or (not equals and environment is None):
            raise InputError(f"{name}: {word!r} is not of the form NAME=VALUE")
        if equals:
            values[key] = value
        elif environment is not None and key in environment:
            values[key] = environment[key]
    return values


def _demand_dockerfile(settings: BuildSettings) -> None:
    """Raises InputError where the engine won't find one; where none is named yet, no engine."""
    of_containers, of_buildkit = settings.dockerfile, settings.buildkit_dockerfile
    places = {"auto": (of_containers, of_buildkit), "buildkit": (of_buildkit,)}.get(settings.engine, (of_containers,))
    if not any(place.is_file() for place in places):
        raise InputError(f"--file: {str(places[0])!r} is no file; write one, or name the one that is there")


def _may_name(settings: BuildSettings) -> bool:
    """Whether outputs may say where to push to: to buildx, which takes those that don't, too."""
    named = settings.outputs if settings.engine == "buildkit" else [o for o in settings.outputs if "name=" in o]
    return settings.engine in {"auto", "buildkit"} and bool(named)


def demand_buildable(settings: BuildSettings) -> None:
    """Raises InputError for what can be seen to be wrong before anything is run."""
    if not settings.remote_context:
        if not Path(settings.context).is_dir():
            context = without_credentials(settings.context)
            raise InputError(f"CONTEXT: {context!r} is no folder; name the folder that holds what COPY copies")
        if not (settings.remote_file or settings.piped_file):
            _demand_dockerfile(settings)
    if settings.s3.kms_key is not None and settings.s3.sse != "aws:kms":
        raise InputError(f"--s3-kms-key: {settings.s3.kms_key!r} is of no use; add --s3-sse aws:kms")
    if settings.push and not settings.tags and not _may_name(settings):
        raise InputError("--push: there is no name to push to; give one with -t REGISTRY/NAME:TAG")
    for name, path in (
        ("--report", settings.report),
        ("--iidfile", settings.iidfile),
        ("--metadata-file", settings.metadata_file),
    ):
        if path is not None and not path.parent.is_dir():
            raise InputError(f"{name}: {str(path.parent)!r} is no folder; make it first")
