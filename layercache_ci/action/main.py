"""The step itself: inputs → build → outputs, state and summary. `post` comes after the job's other steps."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import layercache_ci
from layercache_ci.action import toolkit
from layercache_ci.action.checks import WANTED, annotations_of
from layercache_ci.action.config import with_config
from layercache_ci.action.given import remove_given
from layercache_ci.action.inputs import TABLE, Inputs, for_shells, read_inputs
from layercache_ci.action.namespace import announce, started_inside
from layercache_ci.action.outputs import outputs, parsed, read, why_missed
from layercache_ci.action.request import Request, choose_engine, make_request
from layercache_ci.action.secret_files import masks, shown
from layercache_ci.dockerfile.go_numbers import FALSE, TRUE
from layercache_ci.errors import EngineError, InputError
from layercache_ci.handover import Cancellation, end
from layercache_ci.pipeline import Result, build
from layercache_ci.report.model import Report
from layercache_ci.report.progress import Voice
from layercache_ci.settings import Machine

ENTRYPOINT: Final = Path(layercache_ci.__file__).resolve().parent.parent / "entrypoint.py"
MODULE: Final = "layercache_ci.action.main"
SUMMARIES: Final = ("short", "full")
OPTION: Final = re.compile(r"(?:^|(?<=: ))--(?P<name>[a-z0-9-]+)")
INPUT_FAILED: Final = 2
ENGINE_FAILED: Final = 125
INTERRUPTED: Final = 130


def main() -> int:
    """The exit code: the engine's own, 2 for a wrong input, 125 where the engine can't be run, 1 where a step missed
    and must not."""
    signal.signal(signal.SIGTERM, end)
    os.dup2(1, 2)  # one stream, so that the runner reads our commands and the engine's output in their order
    machine = Machine.read()
    announce(machine.environment)
    program, arguments = ((str(ENTRYPOINT),), ("main",)) if ENTRYPOINT.is_file() else (("-m", MODULE), ())
    machine = replace(machine, terminal=False, program=program, arguments=arguments)
    try:
        return _step(machine)
    except InputError as error:
        toolkit.error(named(str(error)))
        return INPUT_FAILED
    except EngineError as error:
        toolkit.error(str(error))
        return ENGINE_FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def named(text: str) -> str:
    """A message that begins with an option of the command line, or a sentence of it that does, about the input."""
    text = re.sub(r"^CONTEXT:", "context:", text)
    return OPTION.sub(lambda found: _input_of(found["name"]) or found[0], text)


def _input_of(option: str) -> str | None:
    found = (TABLE.get(name) for name in (f"{option}s", option))
    return next((entry.name for entry in found if entry and entry.origin != "buildah-build"), None)


def _step(machine: Machine) -> int:
    workspace = Path.cwd()
    inputs = with_config(read_inputs(machine.environment), workspace).check()
    if inputs.flag("setup"):
        from layercache_ci.action.setup.step import set_up  # noqa: PLC0415 - a step builds, or it does this

        return set_up(inputs, machine, workspace)
    engine = choose_engine(inputs, machine)
    # before the runner is told anything that the new process would not know of
    # by names that outlive a shell, which the engine's program may be
    code = started_inside(engine, machine, for_shells(machine.environment))
    if code is not None:
        return code
    for secret in masks(inputs):
        toolkit.add_mask(secret)
    place = machine.environment.get("RUNNER_TEMP") or None
    folder = Path(tempfile.mkdtemp(prefix="layercache-", dir=place))
    toolkit.save_state("folder", str(folder))  # before there are secrets in it: this process may be killed
    try:
        request = make_request(inputs, machine, folder, engine=engine, workspace=workspace)
    except InputError:
        shutil.rmtree(folder)
        raise
    cancellation = Cancellation()
    result = _build(request, machine, folder, cancellation)
    _remember(inputs, request, result, machine)
    cancellation.admit()
    return _tell(inputs, request, result, machine, folder)


def _build(request: Request, machine: Machine, folder: Path, cancellation: Cancellation) -> Result:
    """Everything that is printed meanwhile may be the engine's, and that is not to be obeyed."""
    for warning in request.warnings:
        toolkit.warning(warning)
    if request.list is not None:
        request.list.forget(machine.environment)
    machine = replace(machine, environment={**machine.environment, **WANTED})
    goes_on = False
    try:
        with toolkit.stopped_commands():
            voice = Voice(sys.stdout, terminal=False)
            for note in request.notes:
                voice.say(note)
            log = folder / "save.log"
            result = build(request.settings, machine, voice=voice, log=log, cancellation=cancellation)
        goes_on = result.pid is not None
    finally:
        # the process that saves builds once more, with the same context and secrets, and comes by here when it is done
        if not goes_on:
            remove_given(folder)
    return result


def _remember(inputs: Inputs, request: Request, result: Result, machine: Machine) -> None:
    """What the post step needs to know."""
    state = {
        "pid": str(result.pid or ""),
        "report": str(request.settings.report or ""),
        "log": str(result.log or ""),
        "summary": _detail(inputs, machine),
        "comment": "true" if inputs.flag("comment") else "",
        "warnings": str(len(result.report.warnings)),
        "unpushed": json.dumps(result.unpushed) if result.unpushed else "",
        "kept": json.dumps([str(lock) for lock in result.kept]) if result.kept else "",
    }
    for name, value in state.items():
        toolkit.save_state(name, value)


def _tell(inputs: Inputs, request: Request, result: Result, machine: Machine, folder: Path) -> int:
    """Outputs, summary, annotations; the exit code."""
    report, detail = result.report, _detail(inputs, machine)
    if request.list is not None and result.code == 0:
        request.list.publish(request.settings, {**machine.environment, **result.later})
    for name, value in outputs(request, result, folder).items():
        toolkit.set_output(name, value)
    metadata = parsed(read(request.settings.metadata_file))
    for check in annotations_of(metadata, request.settings, machine, folder=folder, workspace=Path.cwd()):
        toolkit.warning(check.text, **check.properties)
    for name, value in result.later.items():
        toolkit.export_variable(name, value)
    for warning in report.warnings:
        if not any(known in warning for known in request.foreseen):
            toolkit.warning(named(warning))
    if detail in SUMMARIES:
        _summarize(report, detail, shown(inputs), machine)
    error = _error(inputs, result)
    if error is None:
        return 0
    toolkit.error(error)
    return result.code or 1


def _detail(inputs: Inputs, machine: Machine) -> str:
    return inputs.text("summary") or default_summary(machine)


def default_summary(machine: Machine) -> str:
    """build-push-action's variable, a boolean of Go's, counts here too, and what it had before its v7."""
    environment = machine.environment
    if refused := environment.get("DOCKER_BUILD_NO_SUMMARY"):
        return "off" if refused in TRUE else "short"
    return "off" if environment.get("DOCKER_BUILD_SUMMARY") in FALSE else "short"


def _summarize(report: Report, detail: str, settings: Mapping[str, str], machine: Machine) -> None:
    try:
        from layercache_ci.report.markdown import job_summary  # noqa: PLC0415 - only where it is wanted

        text = job_summary(report, detail="full" if detail == "full" else "short", settings=settings)
        toolkit.append_summary(text, machine.environment)
    except Exception as error:  # noqa: BLE001 - a picture of the build is no reason to fail it
        toolkit.warning(f"the job summary can't be written: {error}")


def _error(inputs: Inputs, result: Result) -> str | None:
    """What fails the step, where anything does."""
    if result.code:
        return f"the build failed: {result.report.engine} ended with exit code {result.code}; its output is above"
    return why_missed(result) if inputs.flag("fail-on-miss") else None


if __name__ == "__main__":
    sys.exit(main())
