"""One build of a later step, with the cache that the step with `setup: true` was given."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from layercache_ci.action.namespace import announce, started_inside
from layercache_ci.action.outputs import why_missed
from layercache_ci.action.request import common_settings
from layercache_ci.action.setup.command import ENGINES, Command
from layercache_ci.action.setup.grammar import PassedOn
from layercache_ci.action.setup.lines import read_commands
from layercache_ci.action.setup.shims import ENTRY, Made, Setup
from layercache_ci.errors import EngineError, InputError
from layercache_ci.handover import Cancellation, end
from layercache_ci.pipeline import Course, Result, build
from layercache_ci.report.progress import Voice
from layercache_ci.settings import BuildSettings, Machine, demand_buildable, without_credentials

OF_THE_CACHE: Final = (
    "store", "s3_bucket", "s3", "tier", "max_size", "scope", "read_scopes", "mode", "cache_version", "wait",
)  # fmt: skip
"""Settings that the step's inputs give."""


def run(folder: str, program: str, words: Sequence[str]) -> int | Sequence[str]:
    """The engine's exit code (or 1 where a step missed and must not); or the arguments that the real program is to have
    now: all of a command that is passed on, for which a line says why where it builds. May raise anything before an
    engine is started; then the real program is to have them all too."""
    voice = Voice(sys.stderr, terminal=False)
    setup = Setup.read(Path(folder))
    machine = _machine(setup)
    announce(machine.environment)
    signal.signal(signal.SIGTERM, end)
    missed: list[str] = []
    try:
        line = read_commands(program, words, machine.environment)
        if (inside := started_inside(ENGINES[program], machine, machine.environment)) is not None:
            return inside
        for command in line.builds:
            code, lack = _outcome(command, setup, machine, voice)
            if code:
                return code
            missed += filter(None, [lack])
    except PassedOn as reason:
        if str(reason):
            voice.say(f"built without the cache: {reason}")
        return words
    except (InputError, EngineError) as error:
        voice.say(f"built without the cache: {error}")
        return words
    for why in missed:
        _say(voice, why)
    return 1 if missed else 0 if line.then is None else line.then


def _outcome(command: Command, setup: Setup, machine: Machine, voice: Voice) -> tuple[int, str | None]:
    """The exit code, and what missed where nothing must. A fault behind the engine's start is a warning: the real
    program would build, and push, a second time. Raises anything before that."""
    course, ours = Course(), os.getpid()
    try:
        result = _build(command, setup, machine, voice, course)
    except Exception as error:
        if not course.launched or os.getpid() != ours:
            raise  # in the process that saves there is nobody to tell
        _say(voice, f"warning: {type(error).__name__}: {error}")
        return 1 if course.code is None else course.code, None
    return result.code, why_missed(result) if setup.inputs.flag("fail-on-miss") else None


def _say(voice: Voice, line: str) -> None:
    """To whoever still listens."""
    with suppress(OSError):
        voice.say(line)


def _machine(setup: Setup) -> Machine:
    """Ours is the step's environment, with the cache's tokens; what we start finds Python's packages."""
    machine = Machine.read()
    for name, value in setup.defaults.items():
        os.environ.setdefault(name, value)  # where AWS's SDK looks, and no engine that we start
    environment = {
        **machine.environment,
        **setup.environment,
        "PATH": machine.environment.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join(setup.path),
    }
    return replace(machine, environment=environment, program=("-I", str(ENTRY)))


def _with_file(command: Command, place: Path) -> BuildSettings:
    """A Dockerfile that is in no file, in one."""
    settings, file = command.settings, place / "Dockerfile"
    if command.dockerfile is not None:
        file.write_text(command.dockerfile)
    elif settings.piped_file:
        _write_input(file)
    else:
        return settings
    return replace(settings, file=str(file))


def _write_input(file: Path) -> None:
    """What comes by standard input. Whoever reads that after us finds it from its beginning: we ourselves as another
    user, and the real program."""
    with tempfile.TemporaryFile() as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.flush()
        os.dup2(kept.fileno(), 0)
    os.lseek(0, 0, os.SEEK_SET)
    with open(0, "rb", closefd=False) as source, file.open("wb") as target:
        shutil.copyfileobj(source, target)
    os.lseek(0, 0, os.SEEK_SET)


def _with_cache(settings: BuildSettings, setup: Setup, machine: Machine, made: Made) -> BuildSettings:
    """Raises InputError."""
    common = common_settings(setup.inputs, machine, made.folder)
    given = {name: getattr(common, name) for name in OF_THE_CACHE}
    return replace(settings, report=made.report, **given)


def _build(command: Command, setup: Setup, machine: Machine, voice: Voice, course: Course) -> Result:
    """Raises InputError and EngineError."""
    machine = replace(machine, environment=command.environment)
    made = Made(setup.new_build(), title(command.settings), None)
    settings = _with_cache(_with_file(command, made.folder), setup, machine, made)
    demand_buildable(settings)
    cancellation = Cancellation()
    try:
        with _bare_id(settings):
            result = build(settings, machine, voice=voice, log=made.log, course=course, cancellation=cancellation)
        _write(replace(made, pid=result.pid), voice)
    except Exception:
        cancellation.admit()
        raise
    cancellation.admit()
    return result


def _write(made: Made, voice: Voice) -> None:
    try:
        made.write()
    except OSError as error:
        _say(voice, f"warning: the job summary will not tell of this build: {error}")


@contextmanager
def _bare_id(settings: BuildSettings) -> Iterator[None]:
    """With --quiet Podman and Buildah print an image ID as hex alone, where Docker names the algorithm."""
    if settings.engine == "buildkit" or not settings.quiet:
        yield
        return
    with redirect_stdout(io.StringIO()) as printed:
        yield
    sys.stdout.write(printed.getvalue().removeprefix("sha256:"))


def title(settings: BuildSettings) -> str:
    """For people: no build argument is in it, which may be a secret."""
    program = "docker" if settings.engine == "buildkit" else settings.engine
    return f"{program} build {settings.tags[0] if settings.tags else without_credentials(settings.context)}"
