"""act, which runs workflows on this machine much as GitHub's runner does: actions, main and post, outputs, summaries.

It brings a cache server (v1) of its own, and lends it: see `serve_act_cache`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from tests.lab.daemon import START, running
from tests.lab.paths import LARGE, LabPaths
from tests.lab.programs import find_program, install_go_programs
from tests.lab.removal import clear

ACT: Final = "github.com/nektos/act@v0.2.89"
ACTIONLINT: Final = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
FOREIGN: Final = ("ACTIONS_", "GITHUB_", "RUNNER_", "INPUT_", "STATE_")
"""How variables begin that a runner around us would have set: act passes on what it finds."""

CACHE_JOB: Final = """\
on: push
jobs:
  cache:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo "$ACTIONS_CACHE_URL" > "$TOLD.part"
          mv "$TOLD.part" "$TOLD"
          read -r _ < "$HOLD" || true
"""
"""act serves its cache for as long as it runs a job; this one waits until nobody holds the pipe's other end."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A workflow that act ran: its exit code, and its log, a JSON object a line."""

    code: int
    events: tuple[Mapping[str, Any], ...]
    errors: str
    """What it wrote to its standard error."""

    def of(self, job: str, step: str, stage: str = "Main") -> tuple[Mapping[str, Any], ...]:
        """What a step (its `id:`) said in its stage, `Main` or `Post`."""
        return tuple(
            event
            for event in self.events
            if event.get("jobID") == job and event.get("stepID") == [step] and event.get("stage") == stage
        )

    def outputs(self, job: str, step: str) -> dict[str, str]:
        """The outputs that a step set."""
        return {event["name"]: event["arg"] for event in self.of(job, step) if event.get("command") == "set-output"}

    def summary(self, job: str, step: str, stage: str = "Main") -> str:
        """What it left in its summary file."""
        return "".join(event["content"] for event in self.of(job, step, stage) if event.get("command") == "summary")

    def result(self, job: str, step: str, stage: str = "Main") -> str | None:
        """`success` or `failure`; None for a stage that did not run."""
        said = [event["stepResult"] for event in self.of(job, step, stage) if "stepResult" in event]
        return said[-1] if said else None

    @property
    def shown(self) -> str:
        """The log as a reader of it sees it."""
        lines = (
            f"[{event.get('jobID', '')} {' '.join(event.get('stepID', ()))} {event.get('stage', '')}] {event['msg']}"
            for event in self.events
        )
        return "\n".join(line.rstrip("\n") for line in lines) + f"\n{self.errors}"


def install_act(paths: LabPaths) -> None:
    """act, where it is not there yet."""
    install_go_programs(paths, {"act": ACT})


def install_actionlint(paths: LabPaths) -> None:
    """What reads workflows, where it is not there yet."""
    install_go_programs(paths, {"actionlint": ACTIONLINT})


def run_workflow(
    workflow: Path,
    checkout: Path,
    environment: Mapping[str, str],
    *,
    given: Mapping[str, str] = MappingProxyType({}),
    variables: Mapping[str, str] = MappingProxyType({}),
    matrix: Mapping[str, str] = MappingProxyType({}),
    secrets: Mapping[str, str] = MappingProxyType({}),
    actions: Mapping[str, Path] = MappingProxyType({}),
    prefix: Sequence[str] = (),
    pull_request: Mapping[str, Any] | None = None,
) -> Ran:
    """Runs a workflow's push event, or that of a pull request (GitHub's JSON of one), on this machine, for the
    repository `checkout`, from which actions/checkout is answered; in an environment, and with what the runner itself
    would add to it: `given`.

    `variables` and `secrets` are the repository's; `actions` are the folders that a `uses: OWNER/NAME@REF` stands for.
    act's own cache serves, unless `given` names another by ACTIONS_CACHE_URL. What act keeps lies in a temporary folder
    and goes. With a `prefix`, the words that make a command that of another user, the checkout is that user's. Raises
    RuntimeError when there is no act.
    """
    with _scratch(checkout.stat()) as folder:
        options = [f"--env={name}={value}" for name, value in given.items()]
        options += [f"--var={name}={value}" for name, value in variables.items()]
        options += [f"--matrix={name}:{value}" for name, value in matrix.items()]
        options += [f"--secret={name}={value}" for name, value in secrets.items()]
        options += [f"--local-repository={name}={path}" for name, path in actions.items()]
        if pull_request is not None:
            (folder / "event.json").write_text(json.dumps(pull_request))
            options += [f"--eventpath={folder / 'event.json'}"]
        event = "push" if pull_request is None else "pull_request"
        done = subprocess.run(
            [*prefix, *_command(workflow, folder, *options, event=event)],
            cwd=checkout, env=_environment(environment), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", check=False,
        )  # fmt: skip
    events = tuple(json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    return Ran(done.returncode, events, done.stderr)


@contextlib.contextmanager
def serve_act_cache(entries: Path | None = None) -> Iterator[Mapping[str, str]]:
    """act's cache server (v1) on a random port of the loopback, empty: what act gives an action to reach it.

    It keeps its entries in that folder, else in one of its own, which goes. Raises RuntimeError when it won't start.
    """
    with _scratch() as folder:
        workflow, told, hold, log = (folder / name for name in ("cache.yml", "told", "hold", "log"))
        workflow.write_text(CACHE_JOB)
        os.mkfifo(hold)
        # open for reading too, so that opening waits for nobody; if this process is killed, the job ends by itself
        end = os.open(hold, os.O_RDWR | os.O_CLOEXEC)
        command = _command(workflow, folder, f"--env=TOLD={told}", f"--env=HOLD={hold}", entries=entries)
        try:
            with running(command, log, ready=told.exists, environment=_environment(os.environ)) as process:
                url = told.read_text().strip()
                yield {"ACTIONS_CACHE_URL": url, "GITHUB_SERVER_URL": "https://github.com"}
                os.write(end, b"\n")
                process.wait(timeout=START)
        finally:
            os.close(end)


def _command(
    workflow: Path, folder: Path, *options: str, event: str = "push", entries: Path | None = None
) -> Sequence[str | Path]:
    program = find_program("act", LabPaths.here())
    if program is None:
        raise RuntimeError("act is not in the lab: make lab sets it up")
    # a user may not get to where the lab is
    own = shutil.copy2(program, folder)
    return [
        own, event, "--json", f"--workflows={workflow}", "--platform=ubuntu-latest=-self-hosted",
        "--cache-server-addr=127.0.0.1", f"--cache-server-path={entries or folder / 'cache'}",
        f"--action-cache-path={folder / 'actions'}", f"--env-file={os.devnull}", f"--secret-file={os.devnull}",
        f"--var-file={os.devnull}", f"--input-file={os.devnull}", *options,
    ]  # fmt: skip


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(FOREIGN)}


@contextlib.contextmanager
def _scratch(owner: os.stat_result | None = None) -> Iterator[Path]:
    # in LARGE: results lie there, and below the temporary folder of the process that runs the tests
    folder = Path(tempfile.mkdtemp(prefix="layercache-act-", dir=LARGE))
    if owner is not None:
        os.chown(folder, owner.st_uid, owner.st_gid)
    try:
        yield folder
    finally:
        clear(folder)
