"""The result is where the plain command would leave it, whole, on every engine; and what fails, fails as it should."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.conftest import MakeEngine
from tests.e2e.stories import in_background
from tests.lab.engines import CONTAINERS, Engine
from tests.lab.lab import Lab
from tests.lab.paths import CHECKOUT
from tests.waiting import SECONDS, has_ended, until

DOCKERFILE = """ARG BASE
FROM $BASE AS builder
COPY seed /seed
RUN sh -c 'cat /seed /seed > /made; ln -s made /link; chmod 4711 /made'
FROM $BASE
COPY --from=builder /made /made
RUN echo one > /one
COPY message /message
RUN cat /message /made > /all
"""
ALWAYS = "buildah-1.28"
SCHEMA = json.loads((CHECKOUT / "docs/report.schema.json").read_text())


class Workplace:
    """A context, a store and the base image; every build gets an engine of its own."""

    def __init__(self, lab: Lab, make_engine: MakeEngine, name: str) -> None:
        self.lab, self.name, self._make = lab, name, make_engine
        self.context, self.store = lab.scratch(), lab.scratch()
        (self.context / "Dockerfile").write_text(DOCKERFILE)
        (self.context / "seed").write_text("seed\n")
        (self.context / "message").write_text("hello\n")
        for folder in (self.context, self.store):
            folder.chmod(0o777)

    def engine(self) -> Engine:
        return self._make(self.name)

    def build(self, engine: Engine, *options: str | Path, check: bool = True) -> tuple[int, dict[str, Any], str]:
        """Exit code, report and what was printed."""
        report = self.store / "report.json"
        done = engine.build(
            "--store", f"local:{self.store / 'cache'}", "--report", report, "--network", "host",
            "--build-arg", f"BASE={self.lab.busybox}", *options, self.context, check=check,
        )  # fmt: skip
        value = json.loads(report.read_text())
        jsonschema.validate(value, SCHEMA)
        return done.returncode, value, done.stdout + done.stderr


@pytest.fixture
def place(lab: Lab, make_engine: MakeEngine, request: pytest.FixtureRequest) -> Workplace:
    return Workplace(lab, make_engine, getattr(request, "param", ALWAYS))


def totals(report: dict[str, Any]) -> tuple[int, int]:
    return report["totals"]["hits"], report["totals"]["misses"]


@pytest.mark.parametrize("place", CONTAINERS, indirect=True)
def test_a_warm_build_leaves_a_whole_image(place: Workplace) -> None:
    """Cold, emptied, all hit, emptied, one file changed; the image is used after all that layercache made is gone."""
    _, cold, _ = place.build(place.engine(), "-t", "localhost/app:1")
    warm_engine = place.engine()
    _, warm, said = place.build(warm_engine, "-t", "localhost/app:1")
    (place.context / "message").write_text("changed\n")
    changed_engine = place.engine()
    _, changed, _ = place.build(changed_engine, "-t", "localhost/app:1", "-t", "localhost/app:2")

    assert totals(cold) == (0, 6), cold
    assert totals(warm) == (6, 0), said
    assert warm["totals"]["bytes_saved"] == 0
    assert totals(changed) == (4, 2), changed
    for engine, text in ((warm_engine, "hello"), (changed_engine, "changed")):
        whole(engine, text)
    assert (
        "localhost/app:2"
        in changed_engine.run(
            "images",
            "--format",
            "{{.Name}}:{{.Tag}}" if changed_engine.program == "buildah" else "{{.Repository}}:{{.Tag}}",
        ).stdout
    )


def whole(engine: Engine, text: str) -> None:
    """The image can be read, saved elsewhere layer by layer, and built upon, by plain commands."""
    layout = engine.folder / "layout"
    if engine.program == "podman":
        engine.run("save", "--format", "oci-archive", "-o", engine.folder / "saved.tar", "localhost/app:1")
    else:
        engine.run("push", "localhost/app:1", f"oci:{layout}:app")
        assert json.loads((layout / "index.json").read_text())["manifests"]
    (engine.folder / "next").mkdir()
    (engine.folder / "next" / "Dockerfile").write_text("FROM localhost/app:1\nRUN cat /all; ls -l /made\n")
    (engine.folder / "next").chmod(0o777)
    said = engine.run("build", "--pull=never", "--network", "host", engine.folder / "next").stdout
    assert text in said
    assert "-rws--x--x" in said


def test_an_engine_that_kept_its_storage_gets_nothing_restored(place: Workplace) -> None:
    engine = place.engine()
    place.build(engine, "-t", "localhost/app:1")
    _, again, said = place.build(engine, "-t", "localhost/app:1")
    assert totals(again) == (6, 0), said
    assert (again["totals"]["bytes_restored"], again["totals"]["bytes_saved"]) == (0, 0)
    steps = [step for stage in again["stages"] for step in stage["steps"] if step["outcome"]]
    assert {(step["source"], step["bytes_restored"]) for step in steps} == {("engine", 0)}


def test_with_keep_store_the_result_stays_on_the_image_store(place: Workplace) -> None:
    place.build(place.engine(), "-t", "localhost/app:1")
    engine = place.engine()
    _, report, said = place.build(engine, "-t", "localhost/app:1", "--keep-store")
    assert totals(report) == (6, 0)
    line = next(line for line in said.splitlines() if "CONTAINERS_STORAGE_CONF=" in line)
    storage = {"CONTAINERS_STORAGE_CONF": line.partition("CONTAINERS_STORAGE_CONF=")[2]}
    whole(dataclasses.replace(engine, environment={**engine.environment, **storage}), "hello")


def test_of_a_build_that_failed_nothing_is_kept(place: Workplace) -> None:
    place.build(place.engine(), "-t", "localhost/app:1")
    (place.context / "Dockerfile").write_text(DOCKERFILE + "RUN exit 3\n")
    engine = place.engine()
    code, report, _ = place.build(engine, "-t", "localhost/app:1", "--keep-store", check=False)
    assert (code, report["totals"]["hits"]) == (3, 6)
    scratch = Path(engine.environment["TMPDIR"])
    until(lambda: not list(scratch.glob("layercache-*/*.images")))


def test_a_dockerfile_on_standard_input_is_the_engines_to_read(place: Workplace) -> None:
    engine = place.engine()
    argv = [*engine.layercache, "build", "--engine", engine.program, "--store", f"local:{place.store}", "-t", "app",
            "-f", "-", str(place.context)]  # fmt: skip
    with subprocess.Popen(
        argv, env=engine.environment, cwd=engine.folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        _, said = running.communicate("FROM scratch\nCOPY message /\n", timeout=SECONDS)
    assert running.returncode == 0, said
    assert "layercache: warning: built without the cache: --file -: write the Dockerfile into a file" in said
    assert "localhost/app" in engine.run("images", "--format", "{{.Name}}").stdout


def without_skopeo(engine: Engine) -> Engine:
    """All that is on PATH, but for that one."""
    programs = engine.folder / "programs"
    programs.mkdir()
    for folder in engine.environment["PATH"].split(os.pathsep):
        for program in Path(folder).glob("*"):
            link = programs / program.name
            if program.name != "skopeo" and not os.path.lexists(link):
                link.symlink_to(program)
    return dataclasses.replace(engine, environment={**engine.environment, "PATH": str(programs)})


def test_without_skopeo_a_warm_build_is_a_cold_one(place: Workplace) -> None:
    """Nobody could bring what is built on restored layers to where it belongs; a result that stays may lie on them."""
    place.build(place.engine(), "-t", "localhost/app:1")
    engine, keeping = without_skopeo(place.engine()), without_skopeo(place.engine())
    for each in (engine, keeping):
        each.run("pull", place.lab.busybox)  # who has the base image asks no registry

    _, warm, said = place.build(engine, "-t", "localhost/app:1")
    _, kept, _ = place.build(keeping, "-t", "localhost/app:1", "--keep-store")

    assert totals(warm) == (0, 6), said
    assert warm["totals"]["bytes_restored"] == warm["totals"]["bytes_saved"] == 0
    [warning] = warm["warnings"]
    assert "skopeo" in warning
    assert "install it, or build with --keep-store" in warning
    assert first_reason(warm) == "not-restored"
    whole(engine, "hello")
    assert (totals(kept), kept["warnings"]) == ((6, 0), [])


def first_reason(report: dict[str, Any]) -> str:
    return next(str(step["reason"]["code"]) for step in report["stages"][0]["steps"] if step["reason"])


@pytest.mark.parametrize("of", ["restored", "result"])
@pytest.mark.parametrize(
    "place",
    [
        ALWAYS,
        *(pytest.param(name, marks=pytest.mark.all_rows) for name in CONTAINERS if name != ALWAYS),
    ],
    indirect=True,
)
def test_a_result_that_cant_be_brought_is_built_again(place: Workplace, of: str) -> None:
    """A skopeo that copies nothing, or of two folders only the first: a full disk, a storage of another version."""
    cold_engine, engine = place.engine(), place.engine()
    place.build(cold_engine, "-t", "localhost/app:1")
    wrapper = engine.folder / "bin/skopeo"
    failing = "*' copy '*" if of == "restored" else "*' copy '*/result' '*"
    fails = f'case " $* " in {failing}) echo no space left on device >&2; exit 1;; esac'
    wrapper.write_text(wrapper.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\n{fails}\n"))

    code, report, said = place.build(engine, "-t", "localhost/app:1")

    assert (code, totals(report)) == (0, (0, 6)), said
    [warning] = report["warnings"]
    assert "built again without what was restored" in warning
    assert "no space left on device" in warning
    assert first_reason(report) == "not-restored"
    assert (report["saved"], report["totals"]["bytes_saved"]) == (True, 0)
    assert images(engine) == images(cold_engine)
    whole(engine, "hello")
    assert totals(place.build(place.engine(), "-t", "localhost/app:1")[1]) == (6, 0)


def images(engine: Engine) -> int:
    return len(engine.run("images", "--all", "--quiet").stdout.split())


def test_a_failing_build_leaves_no_image_of_ours(place: Workplace) -> None:
    """What was restored was on its way into the storage, or is there."""
    place.build(place.engine(), "-t", "localhost/app:1")
    dockerfile = place.context / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("RUN cat /message", "RUN sleep 2; exit 3 #"))
    engine = place.engine()

    code, report, _ = place.build(engine, "-t", "localhost/app:1", check=False)

    assert (code, totals(report)) == (3, (5, 1))
    assert images(engine) == 0


def test_a_failing_step_keeps_its_own_exit_code_and_what_was_finished(place: Workplace) -> None:
    good = (place.context / "Dockerfile").read_text()
    (place.context / "Dockerfile").write_text(good.replace("RUN cat /message", "RUN echo sorry; exit 42 #"))
    code, report, said = place.build(place.engine(), check=False)
    assert code == 42
    assert "sorry" in said
    assert (report["exit_code"], report["failed_in"], report["saved"]) == (42, "engine", True)

    (place.context / "Dockerfile").write_text(good)
    _, fixed, _ = place.build(place.engine(), "-t", "localhost/app:1")
    assert totals(fixed) == (5, 1)


def test_no_wait_saves_in_the_background(place: Workplace) -> None:
    engine = place.engine()
    code, _, said = place.build(engine, "-t", "localhost/app:1", "--no-wait")
    assert code == 0
    until(lambda: has_ended(in_background(said)))
    assert json.loads((place.store / "report.json").read_text())["saved"] is True
    _, warm, _ = place.build(place.engine(), "-t", "localhost/app:1")
    assert totals(warm) == (6, 0)


def test_a_store_that_can_not_be_used_is_a_warning(place: Workplace) -> None:
    (place.store / "cache").write_text("a file where the store's folder should be")
    code, report, said = place.build(place.engine(), "-t", "localhost/app:1")
    assert code == 0
    assert report["saved"] is False
    assert "warning: " in said
    assert totals(report) == (0, 6)


def test_a_stopped_build_ends_like_the_engine_and_leaves_nothing_behind(place: Workplace) -> None:
    (place.context / "Dockerfile").write_text("ARG BASE\nFROM $BASE\nRUN echo be${NOTHING}gun; sleep 600\n")
    engine = place.engine()
    process = subprocess.Popen(
        [*engine.prefix, *engine.layercache, "build", "--engine", engine.program, "--network", "host",
         "--store", f"local:{place.store}", "--build-arg", f"BASE={place.lab.busybox}", place.context],
        env=dict(engine.environment), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    while "begun" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=SECONDS)
    assert process.returncode != 0

    def left() -> list[Path]:
        return [path for path in (engine.folder / "tmp").glob("layercache-*/*") if path.name != "save.log"]

    until(lambda: not left(), told=left)


def test_with_the_vfs_driver_nothing_is_cached_and_that_is_said(place: Workplace) -> None:
    engine = place.engine()
    path = Path(engine.environment["CONTAINERS_STORAGE_CONF"])
    path.write_text(path.read_text().replace('"overlay"', '"vfs"'))
    code, report, said = place.build(engine, "-t", "localhost/app:1", "--iidfile", place.store / "iid")
    assert code == 0
    assert "layercache: warning: built without the cache: the storage driver 'vfs'" in said
    assert (report["saved"], report["stages"]) == (False, [])
    assert (place.store / "iid").read_text().startswith("sha256:")


def test_iidfile_metadata_and_quiet_tell_of_the_image(place: Workplace) -> None:
    engine = place.engine()
    files = {name: place.store / name for name in ("iid", "metadata")}
    options: list[str | Path] = ["-t", "localhost/app:1", "--iidfile", files["iid"], "--quiet"]
    options += ["--metadata-file", files["metadata"]]
    for round_engine in (engine, place.engine()):
        _, _, said = place.build(round_engine, *options)
        identity = files["iid"].read_text()
        assert said.splitlines()[0] == identity
        inspected = json.loads(round_engine.run("inspect", "--type", "image", "localhost/app:1").stdout)
        assert f"sha256:{inspected['FromImageID']}" == identity
        metadata = json.loads(files["metadata"].read_text())
        assert metadata["containerimage.digest"] == inspected["FromImageDigest"]
