"""An image goes into the daemon by a pull, and is there what `docker buildx build --load` leaves."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeEngine
from tests.e2e.docker_relay import Answer, refused, relayed
from tests.e2e.harness import Bench
from tests.e2e.registries import registries
from tests.e2e.stories import STEPS, context, in_background
from tests.lab.engine import Engine
from tests.lab.lab import Lab
from tests.waiting import has_ended, until

TARBALL = "sending tarball"
"""What BuildKit's display says of one."""
NAMES = ("app:latest", "localhost:1/second:v2")
SHOWN = ("images", "--all", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
LABELLED = f"{STEPS}LABEL of=ours\nCMD cat /two\n"
READS = ("--mode", "read-only")
"""Nothing is saved, so that even what is built goes by a pull."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a build into the daemon left there and in its files, and what it said."""

    said: str
    image: dict[str, Any]
    metadata: dict[str, Any]
    iid: str
    shown: tuple[str, ...]
    """The names and IDs in the daemon."""
    report: dict[str, Any]


def load(engine: Engine, *arguments: str | Path, plain: bool = False) -> Left:
    """A build under two names, by layercache or plain."""
    files = {name: engine.folder / f"{name}-{plain}" for name in ("metadata", "iid", "report")}
    options: list[str | Path] = [
        "--network", "host", *(f"--tag={name}" for name in NAMES), "--metadata-file", files["metadata"],
        "--iidfile", files["iid"], "--progress", "plain", *arguments,
    ]  # fmt: skip
    done = engine.plain(*options) if plain else engine.build("--report", files["report"], *options)
    [image] = json.loads(engine.run("image", "inspect", NAMES[1]).stdout)
    return Left(
        said=done.stderr,
        image=image,
        metadata=json.loads(files["metadata"].read_text()),
        iid=files["iid"].read_text(),
        shown=names_in(engine),
        report={} if plain else json.loads(files["report"].read_text()),
    )


def names_in(engine: Engine) -> tuple[str, ...]:
    lines = engine.run(*SHOWN).stdout.splitlines()
    return tuple(sorted(line for line in lines if not line.startswith("moby/")))


def outcomes(report: dict[str, Any]) -> str:
    return "".join(step["outcome"][0] for step in report["stages"][0]["steps"] if step["outcome"])


def container_beside_containerd(lab: Lab, make_engine: MakeEngine) -> Engine:
    """A builder in a container of a daemon with containerd's image store."""
    made = make_engine("docker-containerd")
    made.run("load", "--input", lab.paths.builder_image / "image.tar")
    made.run(
        "buildx", "create", "--name", "lab", "--driver", "docker-container", "--driver-opt", "network=host",
        "--bootstrap",
    )  # fmt: skip
    return replace(made, environment={**made.environment, "BUILDX_BUILDER": "lab"})


def as_loaded(left: Left) -> tuple[object, ...]:
    """Without what says when and in which build, and where an overlay lies."""
    image = {name: value for name, value in left.image.items() if name not in {"GraphDriver", "Metadata"}}
    image["Descriptor"] = {**image.get("Descriptor", {}), "annotations": None}
    metadata = {name: value for name, value in left.metadata.items() if name in METADATA}
    return (image, metadata, told(left), left.iid, left.shown)


def told(left: Left) -> dict[str, list[str]]:
    """The fields of what differs in each build, or is of a cache, which the user's has none of."""
    return {name: sorted(left.metadata[name]) for name in TOLD & left.metadata.keys()}


METADATA = {"containerimage.config.digest", "containerimage.digest", "image.name"}
TOLD = {"buildx.build.provenance", "cache.manifest"}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        pytest.param("container-host", ("--load",), id="container-host"),
        pytest.param("container-bridge", ("--output", "type=docker"), id="container-bridge"),
        pytest.param("containerd", ("--load",), id="container-host beside containerd's store"),
    ],
)
def test_all_that_is_left_is_what_buildx_leaves(
    lab: Lab, make_engine: MakeEngine, tmp_path: Path, kind: str, options: tuple[str, ...]
) -> None:
    """The image that the names had before is there without one; buildx then builds the same out of the builder's own
    cache, with the same layers, once what we left is taken away."""
    bench = Bench(lab, make_engine, kind, tmp_path)
    engine = container_beside_containerd(lab, make_engine) if kind == "containerd" else bench.engine()
    folder = context(bench, LABELLED, file="1")
    found = []
    for plain in (False, True):
        for content in ("1", "2"):
            (folder / "file").write_text(content)
            store = () if plain else ("--store", f"local:{bench.store}", *READS)
            found.append(load(engine, *store, *options, folder, plain=plain))
        if not plain:
            engine.run("rmi", "--force", *{line.split()[1] for line in names_in(engine)})

    ours, buildx = found[1], found[3]
    assert [TARBALL in each.said for each in found] == [False, False, True, True]
    assert [each.report["warnings"] for each in found[:2]] == [[], []]
    assert as_loaded(ours) == as_loaded(buildx)
    assert len([line for line in ours.shown if line.startswith("<none>")]) == 1
    assert "2" in engine.run("run", "--rm", "--network", "none", "app").stdout


def test_a_builder_that_stands_in_says_what_the_daemons_own_does(
    lab: Lab, make_engine: MakeEngine, tmp_path: Path
) -> None:
    """Two builders make two images; what their files say of them is the same."""
    bench = Bench(lab, make_engine, "docker-classic", tmp_path)
    engine, folder = bench.engine(), context(bench, LABELLED, file="1")
    found = []
    for plain in (False, True):
        store = () if plain else ("--store", f"local:{bench.store}", *READS)
        (folder / "file").write_text("1")
        load(engine, *store, folder, plain=plain)
        (folder / "file").write_text("2")
        found.append(load(engine, *store, folder, plain=plain))
        engine.run("rmi", "--force", *{line.split()[1] for line in names_in(engine)})

    ours, own = found
    assert TARBALL not in ours.said
    assert ours.report["warnings"] == []
    assert {
        name: re.sub("sha256:.*", "ID", str(value)) for name, value in ours.metadata.items() if name in METADATA
    } == {name: re.sub("sha256:.*", "ID", str(value)) for name, value in own.metadata.items() if name in METADATA}
    for left in found:
        identity = left.image["Id"]
        assert {left.iid, left.metadata["containerimage.digest"], left.metadata["containerimage.config.digest"]} == {
            identity
        }
        assert left.image["RepoDigests"] == []
        assert "containerimage.descriptor" not in left.metadata
        assert [line.split()[0] for line in left.shown] == ["<none>:<none>", *NAMES]
    assert ours.image["Config"] == own.image["Config"]


@pytest.mark.parametrize("waits", [True, False], ids=["waits", "does not wait"])
def test_on_an_emptied_daemon_it_pulls(lab: Lab, make_engine: MakeEngine, tmp_path: Path, *, waits: bool) -> None:
    """What is built upon layers that nobody read (`COPY --link`) is saved by the build itself, or would be lost. Of
    that export buildx's file says nothing."""
    bench = Bench(lab, make_engine, "docker-classic", tmp_path)
    folder = context(bench, LABELLED + "COPY --link file /linked\n", file="1")
    found = []
    for content, expected in (("1", "mmmm"), ("1", "hhhh"), ("2", "hmmm"), ("2", "hhhh")):
        (folder / "file").write_text(content)
        engine = bench.engine()
        found.append(load(engine, "--store", f"local:{bench.store}", *(() if waits else ("--no-wait",)), folder))
        if not waits and "saving in the background" in found[-1].said:
            until(lambda: has_ended(in_background(found[-1].said)))

        assert TARBALL not in found[-1].said
        assert (outcomes(found[-1].report), found[-1].report["warnings"]) == (expected, [])
        assert content in engine.run("run", "--rm", "--network", "none", "app").stdout
        engine.remove()

    assert found[1].image["Id"] == found[0].image["Id"]
    assert found[3].image["Id"] == found[2].image["Id"]
    plain = load(bench.engine(), folder, plain=True)
    assert [told(each) for each in found] == [told(plain)] * len(found)


def killed(engine: Engine) -> Answer:
    """Our registry goes when the daemon is about to pull from it."""

    def answer(first: bytes, _: int) -> None:
        if first.startswith(b"POST /images/create"):
            for pid in registries(engine):
                os.kill(pid, signal.SIGKILL)

    return answer


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda _: refused("POST /images/create"), id="the pull is refused"),
        pytest.param(lambda _: refused("POST /images/127."), id="the names are refused"),
        pytest.param(killed, id="the registry is killed"),
    ],
)
def test_a_tarball_where_the_daemon_does_not_pull(
    lab: Lab, make_engine: MakeEngine, tmp_path: Path, fault: Callable[[Engine], Answer]
) -> None:
    """With a warning, and the report tells of the build, not of the second look at it."""
    bench = Bench(lab, make_engine, "container-host", tmp_path)
    made, folder = bench.engine(), context(bench, LABELLED, file="1")
    with relayed(made, fault(made)) as engine:
        left = load(engine, "--store", f"local:{bench.store}", *READS, "--load", folder)

    assert TARBALL in left.said
    assert len([warning for warning in left.report["warnings"] if "as a tarball" in warning]) == 1
    assert left.image["Id"] == left.metadata["containerimage.config.digest"] == left.iid
    assert [line.split()[0] for line in left.shown] == list(NAMES)
    assert outcomes(left.report) == "mmm"


@pytest.mark.parametrize("by_port", [True, False], ids=["behind a port", "one that does not say what it is"])
def test_a_tarball_for_a_daemon_of_which_it_is_not_sure(
    lab: Lab, make_engine: MakeEngine, tmp_path: Path, *, by_port: bool
) -> None:
    """Without a word: it is what docker does."""
    bench = Bench(lab, make_engine, "container-host", tmp_path)
    made, folder = bench.engine(), context(bench, LABELLED, file="1")
    with relayed(made, refused("GET /info"), by_port=by_port) as engine:
        left = load(engine, "--store", f"local:{bench.store}", *READS, "--load", folder)

    assert TARBALL in left.said
    assert left.report["warnings"] == []
    assert [line.split()[0] for line in left.shown] == list(NAMES)


def test_a_tarball_has_gzip_whatever_the_store_has(lab: Lab, make_engine: MakeEngine, tmp_path: Path) -> None:
    """An old daemon, which gets one, can't read what was restored."""
    bench = Bench(lab, make_engine, "container-host", tmp_path)
    folder = context(bench, LABELLED, file="1")
    store = ("--store", f"local:{bench.store}")
    bench.engine().build(*store, "--network", "host", "--output", "type=cacheonly", folder)
    made = bench.engine()
    with relayed(made, refused("GET /info")) as engine:
        left = load(engine, *store, "--load", folder)
    archive, metadata = made.folder / "image.tar", made.folder / "archive.json"
    gzip = f"type=docker,dest={archive},compression=gzip,force-compression=true"
    made.plain("--network", "host", "--output", gzip, "--metadata-file", metadata, folder)

    assert TARBALL in left.said
    assert (outcomes(left.report), left.report["warnings"]) == ("hhh", [])
    assert left.metadata["containerimage.digest"] == json.loads(metadata.read_text())["containerimage.digest"]


@pytest.mark.parametrize("mode", [READS, ()], ids=["reads", "saves"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_end_that_is_asked_for_while_the_daemon_pulls(
    lab: Lab, make_engine: MakeEngine, tmp_path: Path, number: signal.Signals, mode: tuple[str, ...]
) -> None:
    """It comes at once, and leaves nothing of ours; what was built is saved."""
    bench = Bench(lab, make_engine, "docker-classic", tmp_path)
    made, folder = bench.engine(), context(bench, LABELLED, file="1")
    asked: list[int] = []

    def answer(first: bytes, pid: int) -> bytes | None:
        if not first.startswith(b"POST /images/create"):
            return None
        asked.append(pid)
        os.kill(pid, number)
        return b""

    with relayed(made, answer) as engine:
        done = engine.build(
            "--store", f"local:{bench.store}", *mode, "--network", "host", "-t", "app", folder, check=False
        )

    assert len(asked) == 1
    assert done.returncode == 128 + number
    assert TARBALL not in done.stderr
    assert names_in(made) == ()
    if not mode:
        again = load(bench.engine(), "--store", f"local:{bench.store}", folder)
        assert (outcomes(again.report), again.report["warnings"]) == ("hhh", [])


def test_a_build_that_fails_is_not_run_again_for_the_daemon(lab: Lab, make_engine: MakeEngine, tmp_path: Path) -> None:
    bench = Bench(lab, make_engine, "container-host", tmp_path)
    folder = context(bench, STEPS + "RUN echo run >> /dev/stderr && exit 3\n", file="1")
    done = bench.engine().build(
        "--store", f"local:{bench.store}", *READS, "--network", "host", "-t", "app", "--load", "--progress", "plain",
        folder, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert "tarball" not in done.stderr
    assert done.stderr.count("ERROR: failed to build") == 1
