"""The post step as the runner runs it, with real processes that save in the background: in a session of their own, and
children of somebody else."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from layercache_ci.report.model import Report, Seconds
from tests.integration.action.test_main import obeyed
from tests.waiting import SECONDS, until

ROOT = Path(__file__).parents[3]
BEFORE = Report("buildah", "1", "image store", warnings=("the main step told of this",))
DONE = replace(BEFORE, saved=True, bytes_saved=4_500_000, seconds=Seconds(save=1.25)).warn("one blob was damaged")
SAVE = """
until [ -e asked ]; do sleep 0.05; done
echo "::error::from the save"; mv done.json report.json; printf "saved"
"""
"""It has something to do until somebody asks for it."""
LINE = "layercache: 4.5 MB saved in 1.2 s"


@dataclass(frozen=True, slots=True)
class Post:
    """A post step that ended."""

    code: int
    log: str
    summary: str


@dataclass(slots=True)
class Job:
    folder: Path
    saver: subprocess.Popen[bytes] | None = None

    def save(self, script: str) -> int:
        """Start what saves, as the main step leaves it; its process ID."""
        with (self.folder / "save.log").open("ab") as log:
            self.saver = subprocess.Popen(
                ["bash", "-c", script], cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        return self.saver.pid

    def post(self, *, state: dict[str, str] | None = None, **environment: str) -> Post:
        """With the state that the main step saved, where there is any."""
        given = {f"STATE_{name}": value for name, value in (state or {}).items()}
        summary = self.folder / "summary"
        summary.write_text("before\n")
        log = self.folder / "post.log"
        with log.open("w") as output:
            running = subprocess.Popen(
                [sys.executable, ROOT / "entrypoint.py", "post"],
                env={"PATH": os.environ["PATH"], "GITHUB_STEP_SUMMARY": str(summary), **given, **environment},
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        until(lambda: log.read_text() or running.poll() is not None)
        (self.folder / "asked").touch()
        _, errors = running.communicate(timeout=SECONDS)
        print(log.read_text(), errors)
        assert errors == ""
        return Post(running.returncode, log.read_text(), summary.read_text())

    def state(self, pid: int | str, **more: str) -> dict[str, str]:
        return {
            "pid": str(pid), "report": str(self.folder / "report.json"), "log": str(self.folder / "save.log"),
            "summary": "short", "comment": "", "warnings": "1", **more,
        }  # fmt: skip


def assert_gone(group: int) -> None:
    """Nothing of a process group runs on. The dead count as gone: an orphan is waited for by the machine's first
    process, which in a container may never do so."""

    def running() -> list[int]:
        return [pid for pid, state, its in processes() if its == group and state not in "ZX"]

    until(lambda: not running(), told=running)


def processes() -> Iterator[tuple[int, str, int]]:
    """Process ID, state letter and process group of each (proc_pid_stat(5))."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _parent, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            yield int(folder.name), state, int(group)


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    BEFORE.write(tmp_path / "report.json")
    DONE.write(tmp_path / "done.json")
    found = Job(tmp_path)
    yield found
    if found.saver is not None:
        if found.saver.poll() is None:
            os.killpg(found.saver.pid, signal.SIGKILL)
        found.saver.wait()


def test_it_waits_shows_the_log_and_adds_what_was_saved(job: Job) -> None:
    post = job.post(state=job.state(job.save(SAVE)))
    assert post.code == 0
    assert post.summary == f"before\n\n{LINE}\n"
    assert obeyed(post.log) == [
        "::group::layercache: what the save said", "::endgroup::", "::warning::one blob was damaged",
    ]  # fmt: skip
    lines = post.log.splitlines()
    assert lines[0].startswith("layercache: waiting for the save (process ")
    assert lines[2].startswith("::stop-commands::")
    assert lines[3:5] == ["::error::from the save", "saved"]
    assert lines[-1] == LINE


def test_a_save_that_was_done_long_ago_is_not_waited_for(job: Job) -> None:
    pid = job.save(SAVE)
    assert job.saver is not None
    (job.folder / "asked").touch()
    job.saver.wait()
    post = job.post(state=job.state(pid))
    assert "waiting" not in post.log
    assert post.log.splitlines()[-1] == LINE


def test_no_summary_where_none_is_wanted(job: Job) -> None:
    post = job.post(state=job.state(job.save(SAVE), summary="off"))
    assert (post.code, post.summary) == (0, "before\n")
    assert LINE in post.log


@pytest.mark.parametrize("script", ["sleep 600", "trap '' INT; sleep 600 & wait; wait"])
def test_a_stuck_save_is_stopped_in_the_end(job: Job, script: str) -> None:
    post = job.post(state=job.state(job.save(script)), LAYERCACHE_POST_TIMEOUT="1s")
    assert post.code == 0
    how = "killed" if "trap" in script else "ended"
    stopped, unsaved = obeyed(post.log)
    assert stopped.startswith(f"::warning::the save took more than 1 s and was stopped ({how})")
    assert unsaved.startswith("::warning::the save did not come to its end")
    assert job.saver is not None
    assert job.saver.wait(SECONDS) < 0
    assert_gone(job.saver.pid)


def test_a_save_that_died_is_a_warning(job: Job) -> None:
    pid = job.save("echo uploading; kill -KILL $$")
    assert job.saver is not None
    job.saver.wait()
    post = job.post(state=job.state(pid))
    assert post.code == 0
    assert "uploading\n" in post.log
    assert obeyed(post.log)[-1] == "::warning::the save did not come to its end; what it had finished stays"
    assert post.summary.endswith("layercache: the save did not come to its end\n")


@pytest.mark.parametrize("script", ["kill -KILL $$", "trap '' INT; sleep 600 & wait; wait", None])
def test_neither_secret_nor_context_outlives_a_step_or_a_save_that_was_killed(job: Job, script: str | None) -> None:
    """None is a main step that was killed before it told of more than its folder."""
    (job.folder / "secrets").mkdir()
    (job.folder / "secrets/0").write_text("hush")
    (job.folder / "context/app").mkdir(parents=True)
    (job.folder / "context/app/Dockerfile").write_text("FROM scratch")
    state = {"folder": str(job.folder)}
    if script is not None:
        state |= job.state(job.save(script))
    assert job.post(state=state, LAYERCACHE_POST_TIMEOUT="1s").code == 0
    assert not (job.folder / "secrets").exists()
    assert not (job.folder / "context").exists()
    assert (job.folder / "report.json").exists()


def test_another_process_with_its_number_is_let_alone(job: Job) -> None:
    (job.folder / "save.log").write_text("")
    with subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, start_new_session=True) as other:
        post = job.post(state=job.state(other.pid), LAYERCACHE_POST_TIMEOUT="1s")
        assert other.poll() is None
        other.kill()
    assert post.code == 0
    assert "waiting" not in post.log


def test_what_was_saved_by_the_main_step_itself_is_one_line(job: Job) -> None:
    DONE.write(job.folder / "report.json")
    post = job.post(state=job.state("", log="", warnings="2"))
    assert (post.code, post.log, post.summary) == (0, f"{LINE}\n", "before\n")


def test_a_main_step_that_never_ran_leaves_nothing_to_say(job: Job) -> None:
    post = job.post()
    assert (post.code, post.log, post.summary) == (0, "", "before\n")


@pytest.mark.parametrize("report", ["", "{}"])
def test_faults_are_warnings(job: Job, report: str) -> None:
    (job.folder / "report.json").write_text(report)
    post = job.post(state=job.state("", log=""))
    assert post.code == 0
    (command,) = obeyed(post.log)
    assert command.startswith("::warning::post: ")


def test_a_wrong_timeout_is_named_and_the_usual_one_taken(job: Job) -> None:
    post = job.post(state=job.state(job.save(SAVE)), LAYERCACHE_POST_TIMEOUT="soon")
    assert obeyed(post.log)[0].startswith("::warning::LAYERCACHE_POST_TIMEOUT: 'soon' is no age")
    assert post.log.splitlines()[-1] == LINE
