"""An image that leaves the builder has the compression that plain buildx gives it, however its layers were kept."""

from __future__ import annotations

import json
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from layercache_ci.store import StoreChoice, open_store
from tests.conftest import MakeEngine
from tests.e2e.harness import Bench
from tests.e2e.store_sites import GithubSite
from tests.e2e.stories import STEPS, context
from tests.lab.engine import Engine
from tests.lab.lab import Lab

RECORD = 2
"""Reads of a record by one build: its own, and that of the process that serves the engine."""
SMALLEST = 100_000
"""Bytes: more than BuildKit's cache config, less than the base image's layer."""
GZIP = ["application/vnd.oci.image.layer.v1.tar+gzip"] * 4


def layers_of(name: str) -> list[tuple[str, str]]:
    """Media type and digest of the layers that a registry has of it."""

    def read(reference: str) -> dict[str, list[dict[str, str]]]:
        words = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{reference}"]
        return dict(json.loads(subprocess.run(words, capture_output=True, check=True).stdout))

    found = read(name)
    while "manifests" in found:
        found = read(f"{name}@{found['manifests'][0]['digest']}")
    return [(layer["mediaType"], layer["digest"]) for layer in found["layers"]]


def kinds(layers: list[tuple[str, str]]) -> list[str]:
    return [kind for kind, _ in layers]


def archived(archive: Path) -> list[str]:
    """Media types of the layers of the only image in an archive."""
    with tarfile.open(archive) as tar:

        def read(digest: str) -> dict[str, list[dict[str, str]]]:
            member = tar.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert member is not None
            return dict(json.load(member))

        index = tar.extractfile("index.json")
        assert index is not None
        found = json.load(index)
        while "manifests" in found:
            found = read(found["manifests"][0]["digest"])
        return [layer["mediaType"] for layer in found["layers"]]


def build(bench: Bench, engine: Engine, *arguments: str | Path) -> dict[str, int]:
    """The report's totals."""
    report = engine.folder / "report.json"
    site = bench.store_site
    replace(engine, environment={**engine.environment, **site.environment}).build(
        *site.options, "--report", report, "--network", "host", *arguments
    )
    return dict(json.loads(report.read_text())["totals"])


def test_what_was_not_pushed_is_pushed_as_gzip(lab: Lab, make_engine: MakeEngine, tmp_path: Path) -> None:
    """And kept so by the first push: the second reads nothing, neither the engine nor what fetches ahead for it."""
    site = GithubSite(tmp_path)
    bench = Bench(lab, make_engine, "remote", tmp_path, site)
    folder = context(bench, STEPS, file="1")
    name, plain = f"{lab.registry}/{tmp_path.name}", f"{lab.registry}/{tmp_path.name}-plain"
    build(bench, bench.engine(), folder)
    pushed, totals, reads = [], [], []
    for _ in range(2):
        before = site.server.counts()
        totals.append(build(bench, bench.engine(), "-t", name, "--push", folder))
        reads.append((site.server.counts() - before)["get blob"])
        pushed.append(layers_of(name))
    bench.engine().plain("--network", "host", "-t", plain, "--push", folder)

    assert kinds(pushed[0]) == kinds(layers_of(plain)) == GZIP
    assert pushed[1] == pushed[0]
    assert totals[1]["bytes_restored"] < SMALLEST < totals[0]["bytes_restored"]
    assert reads[1] == RECORD
    assert totals[1]["bytes_saved"] == 0


@pytest.mark.parametrize("before", [True, False], ids=["saved in zstd", "built"])
def test_a_push_that_fails_keeps_gzip(lab: Lab, make_engine: MakeEngine, tmp_path: Path, *, before: bool) -> None:
    """Nobody listens where it goes."""
    bench = Bench(lab, make_engine, "remote", tmp_path)
    folder = context(bench, STEPS, file="1")
    if before:
        build(bench, bench.engine(), folder)
    nowhere = ("-t", "127.0.0.1:1/app", "--push", folder)
    failed = bench.engine().build("--store", f"local:{bench.store}", "--network", "host", *nowhere, check=False)

    store = open_store(StoreChoice(f"local:{bench.store}", bench.store, ("default",), None))
    match = max(store.records(), key=lambda record: record.created)
    assert failed.returncode == 1
    assert [layer.blob.media_type for step in match.chain for layer in step.layers] == GZIP


@pytest.mark.parametrize("first", ["--load", "--output=type=cacheonly"])
def test_what_a_kept_builder_pushes_later_is_gzip(
    lab: Lab, make_engine: MakeEngine, tmp_path: Path, first: str
) -> None:
    """What was built upon it for the push is saved too, though BuildKit then has the layers below in two forms."""
    bench = Bench(lab, make_engine, "container-host", tmp_path)
    folder = context(bench, STEPS, file="1")
    more = context(bench, STEPS + "RUN echo three > /three\n", file="1")
    engine, name = bench.engine(), f"{lab.registry}/{tmp_path.name}"
    build(bench, engine, "-t", "app", first, folder)
    build(bench, engine, "-t", name, "--push", more)
    pushed = layers_of(name)
    again = bench.build(bench.engine(), "-t", name, "--push", more)

    assert set(kinds(pushed)) == set(GZIP)
    assert again.outcomes == "hhhh"
    assert set(kinds(layers_of(name))) == set(GZIP)


@pytest.mark.parametrize("emptied", [True, False])
def test_a_builder_that_remembers_the_registry_of_an_earlier_build_fails_no_push(
    lab: Lab, make_engine: MakeEngine, tmp_path: Path, *, emptied: bool
) -> None:
    """What one build imports in zstd and never reads, the next is to make gzip: BuildKit then asks for it where it
    came from, which is gone."""
    bench = Bench(lab, make_engine, "remote", tmp_path)
    folder = context(bench, STEPS, file="1")
    engine, name = bench.engine(), f"{lab.registry}/{tmp_path.name}"
    build(bench, bench.engine() if emptied else engine, "--output=type=cacheonly", folder)
    build(bench, engine, "--output=type=cacheonly", folder)
    pushed = bench.build(engine, "-t", name, "--push", folder)
    again = bench.build(bench.engine(), "-t", name, "--push", folder)

    assert kinds(layers_of(name)) == GZIP
    assert any("without it" in warning for warning in pushed.report["warnings"])
    assert (again.outcomes, again.report["warnings"]) == ("hhh", [])


@pytest.mark.parametrize(
    "kind",
    [
        "docker-containerd",
        pytest.param("docker-classic", marks=pytest.mark.all_rows),
        pytest.param("unreachable", marks=pytest.mark.all_rows),
    ],
)
def test_other_builders_push_gzip_too(lab: Lab, make_engine: MakeEngine, tmp_path: Path, kind: str) -> None:
    """What was in a daemon, and what comes out of a layout."""
    bench = Bench(lab, make_engine, kind, tmp_path)
    folder = context(bench, STEPS, file="1")
    build(bench, bench.engine(), "-t", "app", folder)
    engine = bench.engine()
    build(bench, engine, "-t", f"{engine.registry}/{tmp_path.name}", "--push", folder)

    assert {kind[-4:] for kind in kinds(layers_of(f"{lab.registry}/{tmp_path.name}"))} == {"gzip"}


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_an_archive_is_of_gzip(lab: Lab, make_engine: MakeEngine, tmp_path: Path, kind: str) -> None:
    """As `docker load` before 23 wants it, too. The store keeps what it has: only what is new is saved."""
    bench = Bench(lab, make_engine, "remote", tmp_path)
    folder = context(bench, STEPS + "COPY last /last\n", file="1", last="1")
    build(bench, bench.engine(), "-o", "type=cacheonly", folder)
    (folder / "last").write_text("2")
    archive = tmp_path / "image.tar"
    totals = build(bench, bench.engine(), "-o", f"type={kind},dest={archive}", folder)
    again = bench.build(bench.engine(), folder)

    assert {media_type[-4:] for media_type in archived(archive)} == {"gzip"}
    assert 0 < totals["bytes_saved"] < SMALLEST
    assert again.outcomes == "hhhh"
