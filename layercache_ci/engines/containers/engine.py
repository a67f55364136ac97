"""Podman and Buildah as programs: finding one, asking it where its storage is, and the command line of a build."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from layercache_ci.engines.process import ask
from layercache_ci.errors import EngineError, InputError
from layercache_ci.settings import BuildSettings, EngineChoice, Machine

ENGINES: Final = ("podman", "buildah")
"""In the order in which `auto` looks for them."""
FAILED: Final = 125
"""What both exit with where it is they, not a step, that failed."""
PULL_WORDS_SINCE: Final = (1, 39)
PULL_ALWAYS: Final = (1, 43)


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine of this machine. `buildah` is the version of the Buildah inside, which decides what hits."""

    name: str
    executable: str
    version: str
    buildah: str
    graph_root: Path
    run_root: Path
    driver: str
    graph_options: tuple[str, ...] = ()
    """The storage driver's options, `overlay.mount_program=…` each."""
    remote: bool = False
    """Whether a service builds, maybe on another machine (Podman with CONTAINER_HOST)."""

    @property
    def family(self) -> str:
        """Caches are shared by engines of one family: created_by is made differently from minor to minor."""
        return "containers-{}.{}".format(*self.buildah_minor)

    @property
    def buildah_minor(self) -> tuple[int, int]:
        """`(1, 28)` for 1.28.2."""
        major, minor, *_ = (*re.findall(r"\d+", self.buildah), "0", "0")
        return int(major), int(minor)

    @property
    def inspect_image(self) -> tuple[str, ...]:
        """The command that prints a local image as JSON."""
        if self.name == "buildah":
            return (self.executable, "inspect", "--type", "image")
        return (self.executable, "image", "inspect")

    def pull_policy(self, settings: BuildSettings) -> str:
        """`missing`, `newer`, `always` or `never`: what the engine will do for FROM with our options. The words have
        changed their meaning: `--pull` alone is `newer` to an old Buildah, `always` to a new one and to Podman."""
        policy = "newer" if settings.pull else "missing"
        old = self.name == "buildah" and self.buildah_minor < PULL_WORDS_SINCE
        plain = (
            "newer" if old else "always" if self.name == "podman" or self.buildah_minor >= PULL_ALWAYS else "missing"
        )
        for option in settings.engine_options:
            name, _, value = option.partition("=")
            if name in {"--pull-always", "--pull-never"}:
                policy = name.removeprefix("--pull-")
            elif name == "--pull":
                known = {"": plain, "true": plain, "always": "always", "never": "never", "newer": "newer"}
                policy = "missing" if old and value == "newer" else known.get(value.lower(), "missing")
        return policy

    def docker_format(self, settings: BuildSettings, machine: Machine) -> bool:
        """Whether images are written in Docker's format rather than OCI's."""
        words = " ".join(settings.engine_options).replace("--format ", "--format=").split()
        asked = [word.removeprefix("--format=") for word in words if word.startswith("--format=")]
        return (asked or [machine.environment.get("BUILDAH_FORMAT", "oci")])[-1].startswith("docker")

    def build_command(self, settings: BuildSettings) -> list[str]:
        """The engine's own command for this build. `--quiet` and `--iidfile` are ours: with them it prints no steps."""
        words = [self.executable, "build"]
        # an old Podman has them anyway, and takes no word of them beside --squash, not even beside --squash=false
        words += [] if self.name == "podman" and _squash(settings) is not None else ["--layers"]
        as_given = settings.remote_context or settings.remote_file or settings.piped_file or self.remote
        file = settings.file if as_given else settings.dockerfile
        words += [f"--file={file}"] if file else []
        words += [f"--build-arg={name}={value}" for name, value in settings.build_args.items()]
        words += [f"--build-context={name}={place}" for name, place in settings.build_contexts.items()]
        repeated = {
            "tag": settings.tags,
            "label": settings.labels,
            "secret": settings.secrets,
            "ssh": settings.ssh,
            "output": settings.outputs,
            "add-host": settings.add_hosts,
            "ulimit": settings.ulimits,
        }
        words += [f"--{option}={value}" for option, values in repeated.items() for value in values]
        single = {
            "target": settings.target,
            "platform": settings.platform,
            "network": settings.network,
            "shm-size": settings.shm_size,
        }
        words += [f"--{option}={value}" for option, value in single.items() if value is not None]
        if settings.no_cache:
            words.append("--no-cache")
        if settings.pull:
            old = self.name == "buildah" and self.buildah_minor < PULL_WORDS_SINCE
            words.append("--pull=true" if old else "--pull=newer")
        return [*words, *settings.engine_options, settings.context_word]

    def keeps_no_layers(self, settings: BuildSettings) -> bool:
        """Whether no image is kept, or looked up, of a step."""
        return self.name == "podman" and _squash(settings) in {"", "true", "1", "t"}


def _squash(settings: BuildSettings) -> str | None:
    """The value of `--squash`, None where it is not given."""
    options = (option.partition("=") for option in settings.engine_options)
    return next((value.lower() for name, _, value in options if name == "--squash"), None)


def detect(choice: EngineChoice, machine: Machine) -> Engine:
    """The engine to use. InputError where the one that was asked for, or any, is not on PATH."""
    name, executable = find(choice, machine)
    return _describe(name, executable, machine.environment)


def find(choice: EngineChoice, machine: Machine) -> tuple[str, str]:
    """Name and path of the engine's program. Raises InputError where it is not on PATH."""
    names = ENGINES if choice == "auto" else (choice,)
    for name in names:
        executable = shutil.which(name, path=machine.environment.get("PATH"))
        if executable is not None:
            return name, executable
    if choice == "auto":
        raise InputError(
            "--engine: 'auto' finds no Docker daemon that answers, and neither podman nor buildah on PATH; start or "
            "install one (`layercache doctor` tells more)"
        )
    raise InputError(f"--engine: {choice!r} needs {choice}, which is not on PATH; install it first")


def enter_user_namespace(choice: EngineChoice, machine: Machine) -> str | None:
    """For an ordinary user, start this program again inside `buildah unshare`: the files in the engine's storage belong
    to users that only exist there. Does not come back where that works; else says why nothing is cached."""
    if machine.uid == 0:
        return None
    try:
        command = command_inside(choice, machine)
    except EngineError as error:
        return f"built without the cache: there is no user namespace here ({error}); see subuid(5) and newuidmap(1)"
    return os.execve(command[0], command, dict(machine.environment))  # noqa: S606 - a new start, not a child


def command_inside(choice: EngineChoice, machine: Machine) -> list[str]:
    """This program's own command line, to be run in the engine's user namespace. Raises InputError where the engine is
    not on PATH, EngineError where it has none here."""
    _, executable = find(choice, machine)
    ask([executable, "unshare", "true"], machine.environment)
    return [executable, "unshare", sys.executable, *machine.program, *machine.arguments]


def _describe(name: str, executable: str, environment: Mapping[str, str]) -> Engine:
    if name == "buildah":
        info = json.loads(ask([executable, "info"], environment))
        # newer ones say their version there, which spares a process
        known = info["host"].get("BuildahVersion")
        version = buildah = known or _version(ask([executable, "--version"], environment))
        store = info["store"]
        root, run, driver = store["GraphRoot"], store["RunRoot"], store["GraphDriverName"]
        options = tuple(store.get("GraphOptions") or ())
    else:
        info = json.loads(ask([executable, "info", "--format", "json"], environment))
        version, buildah = info["version"]["Version"], info["host"]["buildahVersion"]
        store = info["store"]
        root, run, driver = store["graphRoot"], store["runRoot"], store["graphDriverName"]
        options = _podman_options(store.get("graphOptions") or {})
    remote = bool(info["host"].get("serviceIsRemote"))
    return Engine(name, executable, version, buildah, Path(root), Path(run), driver, options, remote)


def _podman_options(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Podman shows them as a map, and a program with its version: `{"overlay.mount_program": {"Executable": …}}`."""
    values = {
        name: value.get("Executable", "") if isinstance(value, Mapping) else value for name, value in options.items()
    }
    return tuple(f"{name}={value}" for name, value in values.items())


def _version(text: str) -> str:
    match = re.search(r"version (\d[\w.+-]*)", text)
    if not match:
        raise EngineError(f"no version in {text.strip()!r}")
    return match[1]
