"""The command lines of `docker buildx build`: the user's build, and the solve that exports its cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from layercache_ci.engines.buildkit.buildx import buildx
from layercache_ci.engines.buildkit.options import options_of
from layercache_ci.engines.buildkit.result import is_image, pushes
from layercache_ci.settings import BuildSettings

NOT_FOR_EXPORT: Final = frozenset(
    {
        "--annotation", "--attest", "--cache-to", "--iidfile", "--load", "--metadata-file",
        "--no-cache", "--no-cache-filter", "--output", "--progress", "--provenance", "--push", "--quiet", "--sbom",
        "--tag",
    }
)  # fmt: skip
"""Options of the user's that say where the result goes; a solve that only exports the cache has none. A cache that
they import stays: what came out of it and was never downloaded is looked up there again."""


def build_words(
    settings: BuildSettings,
    *,
    builder: str,
    environment: Mapping[str, str],
    cache_from: Iterable[str],
    metadata: Path | None,
    pushed: str | None = None,
    stands_in: bool,
    attests: bool = False,
    cache_to: Iterable[str] = (),
) -> list[str]:
    """The user's build, to be run in `environment`. An empty `builder` leaves the choice to buildx; `attests` says
    whether the builder can attest anything. With `stands_in` the builder takes the place of the daemon's own, which
    leaves every image in the daemon, without attestations, and lets a RUN use the host's network. `pushed` is what
    `--output` takes in place of all that the user's outputs and names are, for a result that the daemon pulls."""
    words = [*buildx(environment), "build", *_repeated("builder", [builder] if builder else [])]
    words += _inputs(settings, environment)
    outputs = settings.outputs
    if stands_in:
        outputs = tuple(each for output in outputs for each in _in_daemon(output, push=settings.push))
        words += ["--allow=network.host"] if settings.network == "host" else []
        words += ["--provenance=false"]
    elif attests and settings.provenance is not None:
        words += [f"--provenance={settings.provenance}"]
    if pushed is not None:
        settings, outputs = replace(settings, tags=(), load=False), (pushed,)
    words += _repeated("tag", settings.tags) + _repeated("output", outputs)
    words += _repeated("cache-from", cache_from) + _repeated("cache-to", cache_to)
    words += ["--push"] if settings.push else []
    words += ["--load"] if settings.load or (stands_in and not outputs) else []
    words += ["--no-cache"] if settings.no_cache else []
    words += [f"--iidfile={settings.iidfile}"] if settings.iidfile is not None else []
    words += [f"--metadata-file={metadata}"] if metadata is not None else []
    words.append(f"--progress={'quiet' if settings.quiet else settings.progress}")
    return [*words, *settings.engine_options, settings.context_word]


def export_words(
    settings: BuildSettings,
    *,
    builder: str,
    environment: Mapping[str, str],
    cache_from: Iterable[str],
    cache_to: str,
    metadata: Path,
    stands_in: bool,
) -> list[str]:
    """The same build with nothing but its cache as result."""
    words = [*buildx(environment), "build", f"--builder={builder}", *_inputs(settings, environment)]
    words += ["--allow=network.host"] if stands_in and settings.network == "host" else []
    words += _repeated("cache-from", cache_from)
    words += [f"--cache-to={cache_to}", "--output=type=cacheonly", f"--metadata-file={metadata}", "--progress=rawjson"]
    return [*words, *_for_export(settings.engine_options), settings.context_word]


def _inputs(settings: BuildSettings, environment: Mapping[str, str]) -> list[str]:
    """All that says what is built. A build argument that has its value from the environment is only named: a list of
    processes shows no more than the user wrote."""
    remote = settings.remote_context or settings.remote_file
    file = settings.file if remote else settings.buildkit_dockerfile
    words = [f"--file={file}"] if file is not None else []
    words += [
        f"--build-arg={name}" if environment.get(name) == value else f"--build-arg={name}={value}"
        for name, value in settings.build_args.items()
    ]
    words += [f"--build-context={name}={place}" for name, place in settings.build_contexts.items()]
    words += _repeated("label", settings.labels) + _repeated("secret", settings.secrets)
    words += _repeated("ssh", settings.ssh) + _repeated("add-host", settings.add_hosts)
    words += _repeated("ulimit", settings.ulimits)
    single = {
        "target": settings.target,
        "platform": settings.platform,
        "network": settings.network,
        "shm-size": settings.shm_size,
    }
    words += [f"--{option}={value}" for option, value in single.items() if value is not None]
    return [*words, *(["--pull"] if settings.pull else [])]


def _in_daemon(output: str, *, push: bool) -> tuple[str, ...]:
    """To the daemon's own builder an image is one in the daemon, which may be pushed besides."""
    if not is_image(output):
        return (output,)
    kept = [field for field in output.split(",") if field.partition("=")[0] not in {"type", "push"}]
    loaded = ",".join(["type=docker", *kept])
    return (output, loaded) if push or pushes(output) else (loaded,)


def _repeated(option: str, values: Iterable[str]) -> list[str]:
    return [f"--{option}={value}" for value in values]


def _for_export(options: Sequence[str]) -> Iterator[str]:
    for option in options_of(options):
        if option.name not in NOT_FOR_EXPORT:
            yield from option.words
