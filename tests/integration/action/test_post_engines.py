"""The post step after a main step on a real engine: one whose save goes on, and one that was cancelled."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from layercache_ci.store.folder import Folder
from tests.conftest import MakeEngine
from tests.integration.action.test_main import HOSTED, KINDS, SECONDS, Site, Step, obeyed, result, site
from tests.lab.engines import Engine
from tests.waiting import until

__all__ = ["site"]
CANCEL = ((signal.SIGINT, 7.5), (signal.SIGTERM, 2.5), (signal.SIGKILL, 60.0))
"""What the runner does to a step, and how long it waits each time (actions/runner, ProcessInvoker)."""
POST = "import sys; from layercache_ci.action.post import main; sys.exit(main())"

on_engines = pytest.mark.parametrize("site", KINDS, indirect=True)


def post(site: Site, engine: Engine, state: dict[str, str]) -> subprocess.Popen[str]:
    """The post step, as the user that the main step had."""
    environment = {**engine.environment, **{f"STATE_{name}": value for name, value in state.items()}}
    environment["GITHUB_STEP_SUMMARY"] = str(site.folder / "STEP_SUMMARY")
    python = engine.layercache[:-2] if engine.prefix else (sys.executable,)
    return subprocess.Popen(
        [*python, "-c", POST], env=environment, cwd=site.workspace, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def cancel(running: subprocess.Popen[str]) -> None:
    """As the runner does it."""
    for number, seconds in CANCEL:
        running.send_signal(number)
        try:
            running.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        return


@on_engines
def test_post_waits_for_the_save_and_adds_to_the_summary(site: Site, make_engine: MakeEngine) -> None:
    (site.workspace / "Dockerfile").write_text(
        f"FROM {site.lab.busybox}\nRUN dd if=/dev/urandom of=/big bs=1M count=60\n"
    )
    engine = make_engine(site.kind)
    # it can't end before that is seen: for the store's lock it waits
    with Folder(site.folder / "store").lock():
        step: Step = site.run(engine, wait="false", summary="full", **result(site))
        assert step.code == 0
        saver = int(step.state["pid"])
        running = post(site, engine, dict(step.state))
        assert running.stdout is not None
        waiting = running.stdout.readline()
    log, _ = running.communicate(timeout=SECONDS)
    print(waiting, log)
    assert waiting == f"layercache: waiting for the save (process {saver})\n"
    assert running.returncode == 0
    assert obeyed(log) == ["::group::layercache: what the save said", "::endgroup::"]
    assert log.splitlines()[-1].startswith("layercache: 6")
    summary = (site.folder / "STEP_SUMMARY").read_text()
    assert summary.count("layercache: ") == 2
    assert summary.splitlines()[-1].startswith("layercache: 6")


@on_engines
def test_what_a_cancelled_step_had_finished_is_saved_and_post_says_so(site: Site, make_engine: MakeEngine) -> None:
    (site.workspace / "Dockerfile").write_text(
        f"FROM {site.lab.busybox}\nRUN echo ok >/ok\nRUN sleep 1; echo so${{NOTHING}}on; exec sleep 100\n"
    )
    engine = make_engine(site.kind)
    running = site.start(engine, **result(site))
    until(lambda: "soon" in (site.folder / "log").read_text())
    cancel(running)
    step = site.end(running)
    assert step.code not in {0, -signal.SIGKILL}
    log, _ = post(site, engine, dict(step.state)).communicate(timeout=SECONDS)
    print(log)
    assert " saved in " in log.splitlines()[-1]


@pytest.mark.parametrize("site", ["buildah-1.28", "podman-rootless"], indirect=True)
def test_what_the_image_was_left_in_is_gone_with_the_next_build(site: Site, make_engine: MakeEngine) -> None:
    """A machine may have many jobs a day; while one goes on, its own builds leave it there."""
    (site.workspace / "Dockerfile").write_text(f"FROM {site.lab.busybox}\nCOPY app.txt /\n")
    inputs = {"tags": "localhost/app:1", "wait": "true"}
    site.run(make_engine(site.kind), **inputs)
    engine = make_engine(site.kind)

    def stores() -> list[str]:
        return [path.name for path in engine.folder.glob("tmp/layercache-*/*.images")]

    def job() -> Step:
        step = site.run(engine, HOSTED, **inputs)
        assert list(step.exported) == ["CONTAINERS_STORAGE_CONF"]
        return step

    first = job()
    [one] = stores()
    second = job()
    assert len(stores()) == len((first, second))
    post(site, engine, dict(first.state)).communicate()
    third = job()
    until(lambda: one not in stores())
    assert len(stores()) == len((second, third))
