"""The options of `layercache build` and `layercache plan`, named and meant as `docker buildx build` has them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from layercache_ci.errors import InputError
from layercache_ci.settings import DEFAULT_MAX_SIZE, ENGINE_CHOICES, BuildSettings, Machine, assignments, parse_size


def configure_build(parser: argparse.ArgumentParser) -> None:
    """Everything that says what to build."""
    parser.add_argument("context", metavar="CONTEXT", help="the build context: a folder, a git or http URL, or -")
    parser.add_argument("-f", "--file", metavar="FILE", help="the Dockerfile (default: Containerfile or Dockerfile)")
    parser.add_argument(
        "-t", "--tag", dest="tags", metavar="NAME", action="append", default=[], help="name of the image"
    )
    parser.add_argument("--target", metavar="STAGE", help="the stage to build")
    _repeated(parser, "--build-arg", "NAME[=VALUE]", "a build argument; without a value, the environment's")
    _repeated(parser, "--build-context", "NAME=PLACE", "a named build context: a folder or an image")
    parser.add_argument("--platform", metavar="OS/ARCH", help="the platform to build for")
    _repeated(parser, "--label", "NAME=VALUE", "a label of the image")
    _repeated(parser, "--secret", "id=…", "a secret for RUN --mount=type=secret")
    _repeated(parser, "--ssh", "default|ID=…", "an SSH agent or key for RUN --mount=type=ssh")
    parser.add_argument("--network", metavar="MODE", help="network of RUN steps")
    parser.add_argument("--no-cache", action="store_true", help="use no cache; what is built is saved all the same")
    parser.add_argument("--pull", action="store_true", help="always look for a newer base image")
    parser.add_argument("--push", action="store_true", help="push the image to its registry")
    parser.add_argument(
        "--load", action="store_true", help="accepted: the image is always left in the engine's storage"
    )
    parser.add_argument(
        "-o", "--output", metavar="SPEC", action="append", default=[], help="type=…,dest=… as the engine has it"
    )
    _repeated(parser, "--add-host", "NAME:IP", "a line for /etc/hosts of RUN steps")
    parser.add_argument("--shm-size", metavar="SIZE", help="size of /dev/shm in RUN steps")
    _repeated(parser, "--ulimit", "NAME=SOFT[:HARD]", "a limit of RUN steps")
    parser.add_argument("--iidfile", metavar="FILE", type=Path, help="write the image ID there")
    parser.add_argument("--metadata-file", metavar="FILE", type=Path, help="write the result's metadata there, as JSON")
    parser.add_argument(
        "--progress", choices=("auto", "plain", "tty", "quiet"), default="auto", help="how to show progress"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print the image ID only")
    parser.add_argument("--engine", choices=ENGINE_CHOICES, default="auto", help="what builds (default: auto)")
    parser.add_argument("--store", metavar="STORE", default="local", help="where the cache is kept: local or local:DIR")
    parser.add_argument("--max-size", metavar="SIZE", help="size limit of the local store (default: 10GB)")
    parser.add_argument("--cache-version", metavar="TEXT", default="", help="change it to start with an empty cache")


def configure_run(parser: argparse.ArgumentParser) -> None:
    """What only a build can do, not a plan."""
    parser.add_argument("--report", metavar="FILE", type=Path, help="write report.json there")
    parser.add_argument(
        "--keep-store", action="store_true", help="leave restored layers where they were mounted: faster"
    )
    parser.add_argument("--no-wait", dest="wait", action="store_false", help="save in the background, print its pid")


def _repeated(parser: argparse.ArgumentParser, option: str, metavar: str, text: str) -> None:
    parser.add_argument(option, metavar=metavar, action="append", default=[], help=text)


def settings_of(arguments: argparse.Namespace, engine_options: Sequence[str], machine: Machine) -> BuildSettings:
    """The typed settings; InputError for what argparse can't see."""
    size = arguments.max_size
    settings = BuildSettings(
        context=arguments.context,
        file=arguments.file,
        tags=tuple(arguments.tags),
        target=arguments.target,
        build_args=assignments(arguments.build_arg, name="--build-arg", environment=machine.environment),
        build_contexts=assignments(arguments.build_context, name="--build-context"),
        platform=arguments.platform,
        labels=tuple(arguments.label),
        secrets=tuple(arguments.secret),
        ssh=tuple(arguments.ssh),
        network=arguments.network,
        no_cache=arguments.no_cache,
        pull=arguments.pull,
        push=arguments.push,
        load=arguments.load,
        outputs=tuple(arguments.output),
        add_hosts=tuple(arguments.add_host),
        shm_size=arguments.shm_size,
        ulimits=tuple(arguments.ulimit),
        iidfile=arguments.iidfile,
        metadata_file=arguments.metadata_file,
        quiet=arguments.quiet or arguments.progress == "quiet",
        progress=arguments.progress,
        engine_options=tuple(engine_options),
        engine=arguments.engine,
        store=arguments.store,
        max_size=DEFAULT_MAX_SIZE if size is None else parse_size(size, name="--max-size"),
        cache_version=arguments.cache_version,
        report=getattr(arguments, "report", None),
        keep_store=getattr(arguments, "keep_store", False),
        wait=getattr(arguments, "wait", True),
    )
    _check(settings)
    return settings


def _check(settings: BuildSettings) -> None:
    if not settings.remote_context:
        if not Path(settings.context).is_dir():
            raise InputError(f"CONTEXT: {settings.context!r} is no folder; name the folder that holds what COPY copies")
        if not settings.dockerfile.is_file():
            raise InputError(f"--file: {str(settings.dockerfile)!r} is no file; write one or name it with -f")
    if settings.push and not settings.tags:
        raise InputError("--push: there is no name to push to; give one with -t REGISTRY/NAME:TAG")
    for name, path in (
        ("--report", settings.report),
        ("--iidfile", settings.iidfile),
        ("--metadata-file", settings.metadata_file),
    ):
        if path is not None and not path.parent.is_dir():
            raise InputError(f"{name}: {str(path.parent)!r} is no folder; make it first")
