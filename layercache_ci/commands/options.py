"""The options of `layercache build` and `layercache plan`, named and meant as `docker buildx build` has them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from layercache_ci.settings import (
    BASE_IMAGES,
    ENGINE_CHOICES,
    MODES,
    TIER_SIZE,
    BuildSettings,
    Machine,
    S3Options,
    assignments,
    demand_buildable,
    parse_size,
    parse_tier,
)


def configure_build(parser: argparse.ArgumentParser) -> None:
    """Everything that says what to build."""
    parser.epilog = "What stands behind -- goes to the engine's own build command as it is."
    parser.add_argument("context", metavar="CONTEXT", help="the build context: a folder, a git or http URL, or -")
    parser.add_argument(
        "-f",
        "--file",
        metavar="FILE",
        help="the Dockerfile (default: Dockerfile in the context; of Podman and Buildah Containerfile first)",
    )
    parser.add_argument(
        "-t", "--tag", dest="tags", metavar="NAME", action="append", default=[], help="name of the image"
    )
    parser.add_argument("--target", metavar="STAGE", help="the stage to build")
    _repeated(parser, "--build-arg", "NAME[=VALUE]", "a build argument; without a value, the environment's")
    _repeated(parser, "--build-context", "NAME=PLACE", "a named build context: a folder or an image")
    _repeated(parser, "--platform", "OS/ARCH[,OS/ARCH…]", "the platform to build for, or several")
    _repeated(parser, "--label", "NAME=VALUE", "a label of the image")
    _repeated(parser, "--secret", "id=…", "a secret for RUN --mount=type=secret")
    _repeated(parser, "--ssh", "default|ID=…", "an SSH agent or key for RUN --mount=type=ssh")
    parser.add_argument("--network", metavar="MODE", help="network of RUN steps")
    parser.add_argument("--no-cache", action="store_true", help="use no cache; what is built is saved all the same")
    parser.add_argument("--pull", action="store_true", help="always look for a newer base image")
    parser.add_argument("--push", action="store_true", help="push the image to its registry")
    parser.add_argument(
        "--load", action="store_true", help="leave the image in the Docker daemon; Podman and Buildah always have it"
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
        "--progress", choices=("auto", "plain", "tty", "quiet", "rawjson"), default="auto", help="how to show progress"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print the image ID only")
    parser.add_argument("--engine", choices=ENGINE_CHOICES, default="auto", help="what builds (default: auto)")
    parser.add_argument("--builder", metavar="NAME", help="the buildx builder to build with (default: buildx's own)")
    configure_store(parser)
    parser.add_argument("--max-size", metavar="SIZE", help="size limit of the store (default: its own)")
    parser.add_argument("--cache-version", metavar="TEXT", default="", help="change it to start with an empty cache")
    parser.add_argument(
        "--cache-base-images", choices=BASE_IMAGES, default="auto", help="whether to save base images' layers"
    )


def configure_store(parser: argparse.ArgumentParser) -> None:
    """Where the cache is, and what may be done to it."""
    parser.add_argument(
        "--store",
        metavar="STORE",
        help="where the cache is kept: local, local:DIR, s3://BUCKET/PREFIX, github (default: what the job offers)",
    )
    parser.add_argument("--s3-bucket", metavar="BUCKET[/PREFIX]", help="the same as --store s3://BUCKET/PREFIX")
    parser.add_argument("--tier", metavar="DIR[:SIZE]", help="a folder that keeps what a remote store gives and gets")
    parser.add_argument("--scope", metavar="NAME", help="the scope to read and write (default: the CI run's ref)")
    _repeated(parser, "--read-scope", "NAME", "a scope to read too (default: base and default branch of the CI run)")
    parser.add_argument("--mode", choices=MODES, help="what may be done to the cache (default: a fork only reads)")
    _configure_s3(parser)


def _configure_s3(parser: argparse.ArgumentParser) -> None:
    """Credentials come by the AWS SDK's default chain; what they need beside it is said here."""
    parser.add_argument("--s3-endpoint", metavar="URL", help="a server that is not AWS's (MinIO, R2, Ceph, ...)")
    parser.add_argument("--s3-region", metavar="REGION", help="the region of the bucket")
    parser.add_argument(
        "--s3-path-style",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="name the bucket in the path (default: with --s3-endpoint)",
    )
    parser.add_argument("--s3-role-arn", metavar="ARN", help="a role to assume")
    parser.add_argument("--s3-sse", choices=("AES256", "aws:kms"), help="how the server is to encrypt")
    parser.add_argument("--s3-kms-key", metavar="ID", help="the key of --s3-sse aws:kms")


def configure_run(parser: argparse.ArgumentParser) -> None:
    """What only a build can do, not a plan."""
    parser.add_argument("--report", metavar="FILE", type=Path, help="write report.json there")
    parser.add_argument(
        "--keep-store",
        action="store_true",
        help="leave the image on the restored layers, in a storage of its own, and print the variable by which later "
        "commands find it: faster (Podman, Buildah)",
    )
    parser.add_argument("--no-wait", dest="wait", action="store_false", help="save in the background, print its pid")


def _repeated(parser: argparse.ArgumentParser, option: str, metavar: str, text: str) -> None:
    parser.add_argument(option, metavar=metavar, action="append", default=[], help=text)


def settings_of(arguments: argparse.Namespace, engine_options: Sequence[str], machine: Machine) -> BuildSettings:
    """The typed settings; InputError for what argparse can't see."""
    settings = BuildSettings(
        context=arguments.context,
        file=arguments.file,
        tags=tuple(arguments.tags),
        target=arguments.target,
        build_args=assignments(arguments.build_arg, name="--build-arg", environment=machine.environment),
        build_contexts=assignments(arguments.build_context, name="--build-context"),
        platform=",".join(arguments.platform) or None,
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
        builder=arguments.builder,
        cache_version=arguments.cache_version,
        cache_base_images=arguments.cache_base_images,
        report=getattr(arguments, "report", None),
        keep_store=getattr(arguments, "keep_store", False),
        wait=getattr(arguments, "wait", True),
    )
    settings = with_store(settings, arguments, machine)
    demand_buildable(settings)
    return settings


def with_store(settings: BuildSettings, arguments: argparse.Namespace, machine: Machine) -> BuildSettings:
    """The same with what configure_store, and a `--max-size` beside it, were given. Raises InputError."""
    size, tier = getattr(arguments, "max_size", None), arguments.tier
    name = "--tier"
    if tier is None:
        tier, name = machine.environment.get("LAYERCACHE_TIER") or None, "LAYERCACHE_TIER"
    return replace(
        settings,
        store=arguments.store,
        s3_bucket=arguments.s3_bucket or machine.environment.get("LAYERCACHE_S3_BUCKET") or None,
        max_size=None if size is None else parse_size(size, name="--max-size"),
        s3=S3Options(
            endpoint=arguments.s3_endpoint,
            region=arguments.s3_region,
            path_style=arguments.s3_path_style,
            role_arn=arguments.s3_role_arn,
            sse=arguments.s3_sse,
            kms_key=arguments.s3_kms_key,
        ),
        tier=None if tier is None else parse_tier(tier, name=name, default=TIER_SIZE),
        scope=arguments.scope or None,
        read_scopes=tuple(filter(None, arguments.read_scope)),
        mode=arguments.mode,
    )
