"""Scenarios of more than one change: images and stores that move, break and vanish, and builds that share a store."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import MakeEngine
from tests.e2e.harness import Bench, check_same_image, hits_of
from tests.e2e.images import read_image
from tests.e2e.stories import STEPS, alter, check_failed_build, context, kinds, layer_blob, truncate, warnings
from tests.lab.daemon import running
from tests.lab.engines import Engine
from tests.lab.lab import Lab
from tests.lab.registry import copy_data, serve
from tests.lab.serving import serving


@pytest.fixture(
    params=kinds(("buildah-1.28", "podman-4.3", "buildah-sid", "podman-sid"), in_every_run={"buildah-1.28"})
)
def bench(lab: Lab, make_engine: MakeEngine, tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    return Bench(lab, make_engine, request.param, tmp_path)


def push(bench: Bench, engine: Engine, name: str, dockerfile: str, *options: str) -> str:
    """An image in the lab's registry; its reference."""
    reference = f"{bench.lab.registry}/{name}"
    engine.run("build", "--network", "host", "-t", reference, *options, context(bench, dockerfile))
    engine.run("push", reference)
    return reference


def test_back_to_what_was_built_before(bench: Bench) -> None:
    """Two lineages in one store: each is found again, whole."""
    ones, twos = context(bench, STEPS, file="1"), context(bench, STEPS, file="2")

    said = [bench.build(bench.engine(), folder).outcomes for folder in (ones, twos, ones, twos)]

    assert said == ["mmm", "hmm", "hhh", "hhh"]


def test_two_dockerfiles_of_one_context(bench: Bench) -> None:
    """What was built last is remembered for each of them: a miss of one is not explained by the other."""
    folder = context(bench, STEPS, file="1", Other=STEPS.replace("{base}", bench.lab.busybox).replace("one", "other"))
    one: list[str | Path] = [folder]
    other: list[str | Path] = ["-f", folder / "Other", folder]
    bench.build(bench.engine(), folder)
    bench.build(bench.engine(), *other)
    (folder / "file").write_text("2")

    said = [bench.build(bench.engine(), *arguments) for arguments in (one, other)]

    assert [each.outcomes for each in said] == ["hmm", "hmm"]
    assert [each.report["stages"][0]["steps"][2]["reason"]["code"] for each in said] == ["file-changed"] * 2


def test_the_base_image_moves(bench: Bench) -> None:
    builder, kept, emptied = bench.engine(), bench.engine(), bench.engine()
    base = push(bench, builder, "moving:latest", "FROM {base}\nLABEL release=1\n")
    folder = context(bench, STEPS.replace("{base}", base), file="1")
    bench.build(kept, folder)
    push(bench, builder, "moving:latest", "FROM {base}\nLABEL release=2\n")

    warm = bench.build(emptied, "--pull", folder)
    plain = bench.plain(kept, "--pull-always", folder)

    assert (warm.disagreements, warm.outcomes, hits_of(plain, 1)) == ([], "mmm", "mmm")
    assert warm.report["stages"][0]["steps"][1]["reason"]["code"] == "base-moved"
    check_same_image(kept, emptied)


def test_another_image_of_a_copy_moves(bench: Bench) -> None:
    """What `COPY --from` an image takes can't be foreseen from the image alone: it may be the same as before."""
    builder, kept, emptied = bench.engine(), bench.engine(), bench.engine()
    other = push(bench, builder, "other:latest", "FROM {base}\nRUN echo same > /same\nRUN echo 1 > /changing\n")
    text = (
        f"FROM {{base}}\nCOPY --from={other} /same /same\nRUN true\nCOPY --from={other} /changing /changing\nRUN true\n"
    )
    folder = context(bench, text)
    bench.build(kept, folder)
    push(bench, builder, "other:latest", "FROM {base}\nRUN echo same > /same\nRUN echo 2 > /changing\n")

    warm = bench.build(emptied, "--pull", folder)
    plain = bench.plain(kept, "--pull-always", folder)

    assert (warm.disagreements, warm.outcomes.lower(), hits_of(plain, 1)) == ([], "hhmm", "hhmm")
    check_same_image(kept, emptied)


def test_triggers_of_the_base_image(bench: Bench) -> None:
    builder, kept, emptied = bench.engine(), bench.engine(), bench.engine()
    dockerfile = "FROM {base}\nENV PLACE=/in\nWORKDIR /in\nONBUILD COPY file ./\nONBUILD RUN cat file > $PLACE/seen\n"
    base = push(bench, builder, "triggers:latest", dockerfile, "--format=docker")
    text = f"FROM {base}\nRUN cat seen > again\nCOPY file copied\n"
    bench.build(kept, context(bench, text, file="1"))
    changed = context(bench, text, file="2")

    warm = bench.build(emptied, changed)
    plain = bench.plain(kept, changed)

    assert (warm.disagreements, warm.outcomes, hits_of(plain, 1)) == ([], "mmmm", "mmmm")
    check_same_image(kept, emptied)
    assert read_image(emptied).has("/in/again", "2")
    assert bench.build(bench.engine(), changed).outcomes == "hhhh"


def test_the_registry_cant_be_reached(bench: Bench, tmp_path: Path) -> None:
    """What the tag meant in the newest build is assumed, and said."""
    copy_data(bench.lab.paths.registry, tmp_path / "data")
    with serve(tmp_path / "data", tmp_path) as address:
        folder = context(bench, STEPS.replace("{base}", f"{address}/busybox"), file="1")
        cold = bench.build(insecure(bench.engine(), folder), folder)
    warm = bench.build(insecure(bench.engine(), folder), folder)

    assert (cold.outcomes, warm.outcomes, warm.disagreements) == ("mmm", "hhh", [])
    assert "the image of the newest build is assumed" in warnings(warm.report)


def insecure(engine: Engine, folder: Path) -> Engine:
    """The engine speaks to the registry of the Dockerfile's FROM without TLS."""
    address = (folder / "Dockerfile").read_text().split()[1].partition("/")[0]
    with Path(engine.environment["CONTAINERS_REGISTRIES_CONF"]).open("a") as file:
        file.write(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
    return engine


def test_a_failed_build_keeps_what_it_finished(bench: Bench) -> None:
    check_failed_build(bench, 3)


def test_two_targets_share_a_stage(bench: Bench) -> None:
    text = "FROM {base} AS common\nRUN echo 1 > /common\nFROM common AS a\nRUN echo a\nFROM common AS b\nRUN echo b\n"
    folder = context(bench, text)

    said = [bench.build(bench.engine(), f"--target={target}", folder) for target in ("a", "b", "a", "b")]

    assert [each.outcomes for each in said] == ["m m -", "h - m", "h h -", "h - h"]
    assert [each.disagreements for each in said] == [[], [], [], []]


def test_two_cold_builds_at_once_converge(bench: Bench) -> None:
    folder = context(bench, STEPS, file="1")
    with ThreadPoolExecutor(2) as pool:
        cold = list(pool.map(lambda engine: bench.build(engine, folder), [bench.engine(), bench.engine()]))
    records = bench.records()
    warm = bench.build(bench.engine(), folder)

    assert [each.report["saved"] for each in cold] == [True, True]
    assert (warm.disagreements, warm.outcomes, warm.report["totals"]["bytes_saved"]) == ([], "hhh", 0)
    assert bench.records() == records


@pytest.mark.parametrize("harm", [alter, truncate, Path.unlink], ids=["altered", "truncated", "removed"])
def test_a_broken_blob_is_a_miss_and_heals(bench: Bench, harm: Callable[[Path], None]) -> None:
    text = "FROM {base}\nRUN echo one > /one\nRUN head -c 300000 /bin/busybox > /large\nRUN wc -c < /large > /size\n"
    folder = context(bench, text)
    bench.build(bench.engine(), folder)
    harm(layer_blob(bench, 2))

    emptied = bench.engine()
    warm = bench.build(emptied, folder)
    healed = bench.build(bench.engine(), folder)

    assert (warm.disagreements, warm.outcomes, healed.outcomes) == ([], "hmm", "hhh")
    assert read_image(emptied).has("/size", "300000\n")
    assert (harm is Path.unlink) or warm.report["warnings"]


def test_a_run_that_does_not_end_its_line_is_kept(bench: Bench) -> None:
    """The engine's own line about it then begins where that one broke off."""
    said = []
    for _ in range(2):
        folder = context(bench, "FROM {base}\nRUN printf 1 | tee /one\nRUN cp /one /two && printf 2\n")
        said.append(bench.build(bench.engine(), folder))
    assert [run.outcomes for run in said] == ["mm", "hh"]


def test_a_store_that_is_gone_is_made_anew(bench: Bench) -> None:
    folder = context(bench, STEPS, file="1")
    bench.build(bench.engine(), folder)
    shutil.rmtree(bench.store)

    said = [bench.build(bench.engine(), folder).outcomes for _ in range(2)]

    assert said == ["mmm", "hhh"]


@pytest.mark.parametrize(
    "bench", ["buildah-1.28", pytest.param("podman-4.3", marks=pytest.mark.all_rows)], indirect=True
)
def test_what_cant_be_planned_is_the_engines_own_affair(bench: Bench) -> None:
    """Before 1.33 the engine knows no heredocs: its own error stands, after one warning of ours."""
    text = "FROM {base}\nRUN <<END\necho 1 > /one\nEND\n"
    folder = context(bench, text)
    plain = bench.engine().run("build", "--layers", "--network", "host", folder, check=False)

    said = bench.build(bench.engine(), folder, code=plain.returncode)

    assert plain.returncode != 0
    assert len(said.report["warnings"]) == 1
    assert plain.stderr.splitlines()[-1] in said.done.stderr


@contextmanager
def web(folder: Path) -> Iterator[str]:
    """The URL of a server of that folder's files."""
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))) as url:
        yield url


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("content", "time", "expected"),
    [("same", 10**9, "HHH"), ("other", 10**9, "MMM"), ("same", 10**9 + 60, "MMM")],
    ids=["unchanged", "another content", "another Last-Modified"],
)
def test_add_of_a_url(bench: Bench, tmp_path: Path, content: str, time: int, expected: str) -> None:
    """The engine loads it before it looks: nothing can be foreseen, and all that is the same is found all the same."""
    kept, emptied = bench.engine(), bench.engine()
    folder = tmp_path / "web"
    folder.mkdir()
    with web(folder) as url:
        text = f"FROM {{base}}\nADD {url}/file /file\nRUN cat /file > /seen\nCMD true\n"
        serve_file(folder, "same", 10**9)
        bench.build(kept, context(bench, text))
        serve_file(folder, content, time)
        warm = bench.build(emptied, context(bench, text))
        plain = bench.plain(kept, context(bench, text))

    assert (warm.disagreements, warm.outcomes, hits_of(plain, 1)) == ([], expected, expected.lower())
    assert read_image(emptied).has("/seen", content)
    check_same_image(kept, emptied)


def serve_file(folder: Path, content: str, time: int) -> None:
    (folder / "file").write_text(content)
    os.utime(folder / "file", (time, time))


@pytest.mark.parametrize("bench", ["podman-4.3", "podman-sid"], indirect=True)
@pytest.mark.parametrize("option", ["--squash", "--squash=false"])
def test_podman_squashes_as_without_us(bench: Bench, option: str) -> None:
    """An old one takes no --layers beside it. Where it squashes it keeps no image of a step, so none is found."""
    cold, warm = (bench.build(bench.engine(), context(bench, STEPS, file="1"), "--", option) for _ in range(2))
    if option == "--squash":
        said = "built without the cache: with --squash Podman keeps no layers of a step, and finds none; leave it out"
        assert [run.report["warnings"] for run in (cold, warm)] == [[said], [said]]
    else:
        assert (cold.outcomes, warm.outcomes, warm.disagreements) == ("mmm", "hhh", [])


@pytest.mark.parametrize("bench", ["podman-sid"], indirect=True)
def test_what_a_service_builds_is_built_as_without_us(bench: Bench) -> None:
    """It does not read what is restored here."""
    folder = context(bench, STEPS, file="1")
    engine = bench.engine()
    socket = engine.folder / "service"
    command = [str(engine.folder / "bin/podman"), "system", "service", "--time=0", f"unix://{socket}"]
    with running(command, engine.folder / "service.log", ready=socket.exists, environment=engine.environment):
        remote = replace(engine, environment={**engine.environment, "CONTAINER_HOST": f"unix://{socket}"})
        said = bench.build(remote, folder)
    assert "layercache: warning: built without the cache: a service of Podman builds" in said.shown
    assert read_image(engine).has("/two", "1")
