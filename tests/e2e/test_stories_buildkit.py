"""Scenarios of BuildKit beyond the rows: what fails, breaks and vanishes, and what must never be kept."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import MakeEngine
from tests.e2e.archives import decompressed
from tests.e2e.harness import Bench, Said, check_same_image, result
from tests.e2e.images import read_image
from tests.e2e.registries import registries
from tests.e2e.stories import (
    STEPS,
    alter,
    check_failed_build,
    context,
    in_background,
    kinds,
    layer_blob,
    truncate,
    warnings,
)
from tests.lab.engine import Engine, call
from tests.lab.engines import BUILDKIT
from tests.lab.lab import Lab
from tests.lab.removal import clear
from tests.waiting import has_ended, until

SECRET = "hunter2-and-some-more-so-that-it-is-found"  # noqa: S105 - of this test only
LARGE = "FROM {base}\nRUN echo one > /one\nRUN head -c 300000 /bin/busybox > /large\nRUN wc -c < /large > /size\n"


@pytest.fixture(params=kinds(BUILDKIT, in_every_run={"remote"}))
def bench(lab: Lab, make_engine: MakeEngine, tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    return Bench(lab, make_engine, request.param, tmp_path)


def test_back_to_what_was_built_before(bench: Bench) -> None:
    """Two lineages in one store: each is found again, whole."""
    ones, twos = context(bench, STEPS, file="1"), context(bench, STEPS, file="2")

    said = [bench.build(bench.engine(), folder).outcomes for folder in (ones, twos, ones, twos)]

    assert said == ["mmm", "hmm", "hhh", "hhh"]


def test_two_targets_share_a_stage(bench: Bench) -> None:
    text = "FROM {base} AS common\nRUN echo 1 > /common\nFROM common AS a\nRUN echo a\nFROM common AS b\nRUN echo b\n"
    folder = context(bench, text)

    said = [bench.build(bench.engine(), f"--target={target}", folder) for target in ("a", "b", "a", "b")]

    assert [each.outcomes for each in said] == ["m m -", "h - m", "h h -", "h - h"]
    assert [each.disagreements for each in said] == [[], [], [], []]


def test_the_working_folder_that_is_no_step(bench: Bench) -> None:
    """`WORKDIR /` makes nothing: BuildKit counts it in the total of a stage's steps, but gives it no number."""
    folder = context(bench, "FROM {base}\nWORKDIR /\nRUN echo 1 > /one\nWORKDIR made\nCOPY file ./\n", file="1")
    changed = context(bench, "FROM {base}\nWORKDIR /\nRUN echo 1 > /one\nWORKDIR made\nCOPY file ./\n", file="2")

    cold, warm = bench.build(bench.engine(), folder), bench.build(bench.engine(), changed)

    assert (cold.disagreements, cold.outcomes) == ([], "mmm")
    assert (warm.disagreements, warm.outcomes) == ([], "hhm")


@pytest.mark.parametrize("bench", ["remote"], indirect=True)
def test_the_platform_of_the_environment_has_a_cache_of_its_own(bench: Bench) -> None:
    text = "FROM scratch\nARG TARGETARCH\nCOPY file /$TARGETARCH\nCOPY file /again\n"
    folder, said = context(bench, text, file="1"), []
    for variables in ({"DOCKER_DEFAULT_PLATFORM": "linux/arm64"}, {}) * 2:
        engine = bench.engine()
        said.append(bench.build(replace(engine, environment={**engine.environment, **variables}), folder))

    assert [(each.outcomes, each.disagreements) for each in said] == [("mm", []), ("mm", []), ("hh", []), ("hh", [])]
    assert all(each.report["warnings"] == [] for each in said)


@pytest.mark.parametrize("bench", ["docker-classic"], indirect=True)
def test_with_pull_no_image_of_the_daemons_stands_in_the_way(bench: Bench) -> None:
    """Its own builder asks the registry then, as the one that stands in for it does."""
    said = []
    for options in ((), ("--pull",), ("--", "--pull")):
        folder, engine = context(bench, STEPS, file="1"), bench.engine()
        other = context(bench, "FROM scratch\nCOPY file /file\n", file="other")
        engine.plain("--tag", bench.lab.busybox, other)
        said.append(bench.build(engine, folder, *options, code=0 if options else 1))

    assert "only the daemon has the image" in warnings(said[0].report)
    assert [(each.report["warnings"], each.outcomes) for each in said[1:]] == [([], "mmm"), ([], "hhh")]


@pytest.mark.parametrize("bench", ["remote"], indirect=True)
def test_the_triggers_of_a_base_image_are_steps(bench: Bench) -> None:
    """A registry's, of whose config buildx shows neither ONBUILD nor SHELL."""
    first = bench.engine()
    name = f"{first.registry}/{bench.folder.name.lower()}-onbuild"
    base = (
        'FROM {base}\nSHELL ["/bin/sh", "-ec"]\nONBUILD COPY file /copied\nONBUILD RUN cat /copied > /seen\nRUN true\n'
    )
    first.plain("--network", "host", "--tag", name, "--push", context(bench, base))
    text = f"FROM {name}\nRUN echo one > /one\n"
    same, changed = context(bench, text, file="1"), context(bench, text, file="2")

    said = [bench.build(bench.engine(), folder) for folder in (same, same, changed)]

    assert [(each.outcomes, each.disagreements) for each in said] == [("mmm", []), ("hhh", []), ("mmm", [])]


def test_what_cant_be_planned_is_built_all_the_same(bench: Bench) -> None:
    """What stands behind `--` is the engine's alone, and this would say what is built."""
    folder, engine = context(bench, "FROM {base}\nARG A\nRUN echo $A > /a\n"), bench.engine()

    said = bench.build(engine, folder, "--", "--build-arg=A=1")

    assert len(said.report["warnings"]) == 1
    assert said.report["stages"] == []
    assert read_image(engine).has("/a", "1\n")


def test_a_failed_build_keeps_what_it_finished(bench: Bench) -> None:
    broken = context(bench, STEPS + "RUN exit 3\n", file="1")
    check_failed_build(bench, bench.engine().plain("--network", "host", broken, check=False).returncode)


@pytest.mark.parametrize("by_link", [False, True], ids=["from below", "from below a link"])
@pytest.mark.parametrize("bench", ["remote"], indirect=True)
def test_a_failed_build_is_known_wherever_its_folder_is_seen_from(bench: Bench, *, by_link: bool) -> None:
    """buildx notes the name of the context that the shell's $PWD makes of it."""
    failed, again = (build_from_below(bench, context(bench, STEPS + "RUN exit 3\n", file="1"), by_link) for _ in "12")

    assert (failed.outcomes, again.outcomes) == ("mmmm", "hhhm"), failed.shown + again.shown
    assert failed.report["saved"] is True


def build_from_below(bench: Bench, folder: Path, by_link: bool) -> Said:
    """A build of `..` that fails, in a folder of the context which the shell came to as it is, or by a link to it."""
    engine, below, link = bench.engine(), folder / "below", bench.site() / "link"
    below.mkdir()
    link.symlink_to(below)
    report = engine.folder / "report.json"
    done = call(
        [*engine.layercache, "build", "--engine", engine.program, "--store", f"local:{bench.store}",
         "--report", str(report), "--network", "host", *result(engine), "--file", str(folder / "Dockerfile"), ".."],
        {**engine.environment, "PWD": str(link if by_link else below)}, check=False, cwd=below,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    return Said(done, json.loads(report.read_text()))


@pytest.mark.parametrize(
    ("dockerfile", "options"),
    [
        ("FROM {base}\nRUN exit 42\n", ()),
        ("FROM {base}\nNONSENSE\n", ()),
        ("FROM {base}\n", ("--target=nowhere",)),
        ("FROM {base}\nCOPY absent /\n", ()),
        ("FROM 127.0.0.1:1/nobody/listens\nRUN true\n", ()),
    ],
    ids=["a step fails", "no instruction", "no such stage", "no such file", "no such image"],
)
def test_exit_codes_are_the_engines_own(bench: Bench, dockerfile: str, options: tuple[str, ...]) -> None:
    engine, folder = bench.engine(), context(bench, dockerfile)
    plain = engine.plain("--network", "host", *options, folder, check=False)

    said = bench.build(engine, *options, folder, code=plain.returncode)

    assert plain.returncode != 0
    assert without_names(plain.stderr.splitlines()[-1]) in without_names(said.done.stderr)


def without_names(text: str) -> str:
    """Snapshots have another name in each build."""
    return re.sub(r"ref \S+::\S+", "ref", text)


def test_no_wait_saves_in_the_background(bench: Bench) -> None:
    """While the save goes on the builder is still there, as on a runner whose job has other steps."""
    folder, engine = context(bench, STEPS, file="1"), bench.engine()
    said = bench.build(engine, "--no-wait", folder)
    until(lambda: has_ended(in_background(said.done.stderr)))

    assert json.loads((engine.folder / "report.json").read_text())["saved"] is True
    assert bench.build(bench.engine(), folder).outcomes == "hhh"


def test_what_is_laid_upon_layers_that_nobody_reads_is_saved_in_the_background(bench: Bench) -> None:
    """A push asks only for the new layer; when the build is over those below are gone from the engine again."""
    said = []
    for content in ("1", "2", "2"):
        folder, engine = context(bench, STEPS + "COPY --link file /linked\n", file=content), bench.engine()
        name = f"{engine.registry}/linked:{content}"
        said.append(bench.build(engine, "--no-wait", "--tag", name, "--push", folder))
        until(lambda: has_ended(in_background(said[-1].done.stderr)))

    assert [each.outcomes.lower() for each in said] == ["mmmm", "hmmm", "hhhh"]
    assert [each.report["warnings"] for each in said] == [[], [], []]


@pytest.mark.parametrize("harm", [alter, truncate, Path.unlink], ids=["altered", "truncated", "removed"])
def test_a_broken_blob_fails_no_build_and_heals(bench: Bench, harm: Callable[[Path], None]) -> None:
    folder, emptied = context(bench, LARGE), bench.engine()
    bench.build(bench.engine(), folder)
    layer = f"sha256:{layer_blob(bench, 2).name}"
    harm(layer_blob(bench, 2))

    warm = bench.build(emptied, folder)
    healed = bench.build(bench.engine(), folder)

    assert read_image(emptied).has("/size", "300000\n")
    assert "m" in warm.outcomes.lower()
    assert any(layer in warning for warning in warm.report["warnings"])
    assert (healed.outcomes, healed.disagreements, healed.report["warnings"]) == ("hhh", [], [])


def test_a_store_that_vanishes_under_the_build(bench: Bench) -> None:
    """The plan knows the blobs, and when they are asked for they are gone."""
    folder, emptied = context(bench, LARGE.replace("RUN wc", "COPY file /file\nRUN wc"), file="1"), bench.engine()
    bench.build(bench.engine(), folder)
    (folder / "file").write_text("2")

    said = build_and(bench, emptied, folder, "importing cache manifest", lambda: clear(bench.store))

    assert said.report["exit_code"] == 0
    assert read_image(emptied).has("/size", "300000\n")


def test_the_registry_is_killed_in_the_middle(bench: Bench) -> None:
    folder, emptied = context(bench, LARGE.replace("RUN wc", "COPY file /file\nRUN wc"), file="1"), bench.engine()
    bench.build(bench.engine(), folder)
    (folder / "file").write_text("2")

    def kill() -> None:
        for pid in registries(emptied):
            os.kill(pid, signal.SIGKILL)

    said = build_and(bench, emptied, folder, "importing cache manifest", kill)

    assert warnings(said.report)
    assert read_image(emptied).has("/size", "300000\n")
    assert bench.build(bench.engine(), folder).disagreements == []


def build_and(bench: Bench, engine: Engine, folder: Path, sign: str, act: Callable[[], None]) -> Said:
    """A build that must succeed; `act` is called when the engine's output shows `sign`, which it must."""
    report = engine.folder / "report.json"
    argv: list[str | Path] = [
        *engine.layercache, "build", "--engine", engine.program, "--store", f"local:{bench.store}", "--report", report,
        "--network", "host", "--progress", "plain", *result(engine), folder,
    ]  # fmt: skip
    lines: list[str] = []
    acted = False
    with subprocess.Popen(argv, env=dict(engine.environment), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if sign in line and not acted:
                acted = True
                act()
    shown = "".join(lines)
    assert process.returncode == 0, shown
    assert acted, shown
    return Said(subprocess.CompletedProcess(argv, 0, "", shown), json.loads(report.read_text()))


def test_secrets_are_never_stored(bench: Bench) -> None:
    text = "FROM {base}\nRUN --mount=type=secret,id=s,env=S wc -c < /run/secrets/s > /size; test -n $S\nCOPY file /f\n"
    folder = context(bench, text, file="1")
    (folder.parent / "secret").write_text(SECRET)
    option = f"--secret=id=s,src={folder.parent / 'secret'}"
    failing = context(bench, text + "RUN --mount=type=secret,id=s false\n", file="1")

    bench.build(bench.engine(), option, folder)
    bench.build(bench.engine(), option, failing, code=1)

    stored = [path for path in bench.store.rglob("*") if path.is_file()]
    assert stored
    assert [path for path in stored if SECRET.encode() in decompressed(io.BytesIO(path.read_bytes())).read()] == []


@pytest.mark.parametrize("bench", ["remote"], indirect=True)
def test_a_secret_that_comes_by_a_pipe_is_there_as_often_as_it_is_read(bench: Bench) -> None:
    """By two steps, and by the solve that exports what a failed build finished."""
    reads = "RUN --mount=type=secret,id=s {} /run/secrets/s"
    text = f"FROM {{base}}\n{reads.format('cat')} > /read\n{reads.format('test -s')}\nRUN exit 3\n"
    said, shell = [], ("bash", "-c", f'exec "$@" --secret id=s,src=<(printf %s {SECRET})', "bash")
    for _ in range(2):
        engine = bench.engine()
        by_shell = replace(engine, layercache=(*shell, *engine.layercache))
        said.append(bench.build(by_shell, context(bench, text), code=1))

    assert [each.outcomes for each in said] == ["mmm", "hhm"], said[0].shown
    assert said[0].report["warnings"] == []


def test_two_cold_builds_at_once_on_one_builder(bench: Bench) -> None:
    """Each of them finds its own build among those of the builder."""
    one, other = context(bench, STEPS, file="1"), context(bench, STEPS.replace("one", "other"), file="2")
    engine = bench.engine()
    reports = [engine.folder / f"{name}.json" for name in ("one", "other")]
    builds = [
        subprocess.Popen(
            [*engine.layercache, "build", "--engine", engine.program, "--store", f"local:{bench.store}",
             "--report", report, "--network", "host", "-t", report.stem, folder],
            env=dict(engine.environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for report, folder in zip(reports, (one, other), strict=True)
    ]  # fmt: skip

    assert [build.wait(timeout=300) for build in builds] == [0, 0]
    cold = [Said(subprocess.CompletedProcess([], 0), json.loads(report.read_text())) for report in reports]
    assert [said.outcomes for said in cold] == ["mmm", "mmm"]
    assert [bench.build(bench.engine(), folder).outcomes for folder in (one, other)] == ["hhh", "hhh"]


@pytest.mark.parametrize("waits", [(), ("--no-wait",)], ids=["waits", "in the background"])
@pytest.mark.parametrize("bench", ["remote"], indirect=True)
def test_what_came_of_a_cache_of_theirs_is_saved(bench: Bench, waits: tuple[str, ...]) -> None:
    """BuildKit imports it, pushes the image by the layers' names, and never downloads a layer: a cache that is left in
    place while ours is tried must fill ours."""
    folder, first, engine = context(bench, LARGE), bench.engine(), bench.engine()
    theirs = f"type=registry,ref={engine.registry}/theirs:{'-'.join(('cache', *waits))}"
    first.plain("--network", "host", f"--cache-to={theirs},mode=max", folder)
    report = engine.folder / "report.json"

    done = engine.build(
        "--store", f"local:{bench.store}", "--report", report, "--network", "host", *waits,
        "-t", f"{engine.registry}/theirs:image", "--push", folder, "--", f"--cache-from={theirs}",
    )  # fmt: skip
    if waits:
        pid = int(done.stderr.split("saving in the background: process ")[1].split(",")[0])
        until(lambda: has_ended(pid))
    said = Said(done, json.loads(report.read_text()))

    assert said.outcomes == "hhh", said.shown
    assert (said.report["saved"], said.report["warnings"]) == (True, [])
    again = bench.build(bench.engine(), folder)
    assert (again.outcomes, again.disagreements, again.report["warnings"]) == ("hhh", [], [])


def test_an_engine_that_kept_its_cache_is_left_to_it(bench: Bench) -> None:
    folder, engine, emptied = context(bench, STEPS, file="1"), bench.engine(), bench.engine()
    bench.build(engine, folder)
    again, elsewhere = bench.build(engine, folder), bench.build(emptied, folder)

    assert (again.outcomes, elsewhere.outcomes) == ("hhh", "hhh")
    assert again.report["totals"]["bytes_saved"] == 0
    check_same_image(engine, emptied)
