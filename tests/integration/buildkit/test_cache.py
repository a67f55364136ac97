"""What we make of BuildKit's caches is to BuildKit what it says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from layercache_ci.engines.buildkit.cacheconfig import CacheConfig
from layercache_ci.engines.buildkit.cachemanifest import descriptors_of, manifest_of
from layercache_ci.engines.buildkit.cachemerge import cut, unite, without_blobs
from layercache_ci.engines.buildkit.provenance import records_of, unclaimed
from tests.conftest import MakeEngine
from tests.integration.buildkit.exports import (
    FAILING,
    THREE,
    TWIN,
    Exported,
    build,
    context,
    export,
    history,
    misses,
    publish,
    steps,
)
from tests.lab.engines import Engine
from tests.lab.lab import Lab

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True, slots=True)
class Built:
    """A build on an engine that has it, and its export."""

    engine: Engine
    folder: Path
    exported: Exported

    @property
    def records(self) -> dict[str, tuple[int, ...]]:
        return records_of(self.exported.config, self.exported.provenance)

    def at(self, line: int) -> tuple[int, ...]:
        """The records of the instruction in that line."""
        found = self.exported.provenance.steps_at(line)
        return tuple(record for step in found for record in self.records.get(step, ()))


def _built(lab: Lab, make_engine: MakeEngine, dockerfile: str, tag: str) -> Built:
    engine, folder = make_engine("remote"), context(lab, dockerfile)
    build(engine, folder)
    return Built(engine, folder, export(engine, lab, folder, tag))


def _serve(lab: Lab, built: Built, config: CacheConfig, tag: str) -> str:
    return publish(lab, tag, *manifest_of(config, descriptors_of(built.exported.manifest)))


@pytest.mark.parametrize("dockerfile", [THREE, TWIN], ids=["three", "twin"])
def test_the_steps_of_an_export_cut_out_and_united_are_the_whole_of_it(
    lab: Lab, make_engine: MakeEngine, dockerfile: str
) -> None:
    built = _built(lab, make_engine, dockerfile, "whole")
    config, provenance = built.exported.config, built.exported.provenance
    below = {step for step, inputs in provenance.inputs.items() if not inputs}
    assert built.records.keys() == provenance.layers.keys() - below
    assert unclaimed(config, built.records) == ()

    parts = unite(cut(config, records) for records in built.records.values())
    assert misses(build(make_engine("remote"), built.folder, _serve(lab, built, parts, "parts"))) == []


def test_a_step_cut_out_hits_without_the_results_below_it(lab: Lab, make_engine: MakeEngine) -> None:
    built = _built(lab, make_engine, THREE, "cut")
    last, before = built.at(16), built.at(12)
    assert last
    assert before
    only = _serve(lab, built, cut(built.exported.config, last), "last")
    assert misses(build(make_engine("remote"), built.folder, only)) == []
    only = _serve(lab, built, cut(built.exported.config, before), "before")
    assert misses(build(make_engine("remote"), built.folder, only)) == [("final", 5)]


def test_a_missing_blob_is_a_miss_of_what_stands_on_it(lab: Lab, make_engine: MakeEngine) -> None:
    built = _built(lab, make_engine, THREE, "holes")
    config = built.exported.config
    (heredoc,) = built.at(13)
    (chain,) = config.results(heredoc)
    left = without_blobs(config, {chain[-1]})
    option = _serve(lab, built, left, "hole")
    assert misses(build(make_engine("remote"), built.folder, option)) == [("final", 4), ("final", 5)]


def test_two_caches_united_serve_either_build(lab: Lab, make_engine: MakeEngine) -> None:
    built = _built(lab, make_engine, THREE, "one")
    (built.folder / "src/a").write_text("changed\n")
    build(built.engine, built.folder)
    changed = export(built.engine, lab, built.folder, "other")
    union = unite([built.exported.config, changed.config])
    known = {**descriptors_of(built.exported.manifest), **descriptors_of(changed.manifest)}
    option = publish(lab, "both", *manifest_of(union, known))

    engine = make_engine("remote")
    assert misses(build(engine, built.folder, option)) == []
    (built.folder / "src/a").write_text("x\n")
    assert misses(build(make_engine("remote"), built.folder, option)) == []


def test_an_export_from_a_restored_engine_keeps_what_was_not_downloaded_only_with_the_import(
    lab: Lab, make_engine: MakeEngine
) -> None:
    built = _built(lab, make_engine, THREE, "first")
    imported = f"--cache-from=type=registry,ref={lab.registry}/cache:first"
    dockerfile = built.folder / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "RUN echo more > /more\n")
    engine = make_engine("remote")
    assert misses(build(engine, built.folder, imported)) == [("final", 6)]

    def results(config: CacheConfig) -> int:
        return sum(len(record.results) for record in config.records)

    with_import = export(engine, lab, built.folder, "second", imported).config
    without_import = export(engine, lab, built.folder, "third").config
    assert results(with_import) == results(built.exported.config) + 1
    assert results(without_import) < results(with_import)


def test_a_failed_builds_history_says_what_finished(lab: Lab, make_engine: MakeEngine) -> None:
    engine, folder = make_engine("remote"), context(lab, FAILING)
    build(engine, folder, check=False)
    states = {(step.stage, step.number): step.state for step in steps(history(engine))}
    assert [states["bad", number] for number in (1, 2, 3, 4)] == ["ran", "ran", "failed", "pending"]
    assert [states["good", number] for number in (1, 2)] == ["ran", "ran"]


def test_what_a_failed_build_finished_is_exported_from_a_dockerfile_that_ends_there(
    lab: Lab, make_engine: MakeEngine
) -> None:
    engine, folder = make_engine("remote"), context(lab, FAILING)
    build(engine, folder, check=False)
    whole = (folder / "Dockerfile").read_text().splitlines(keepends=True)
    short = folder.parent / f"{folder.name}.Dockerfile"
    short.write_text("".join(whole[:8]))
    parts = [export(engine, lab, folder, target, "--file", short, "--target", target) for target in ("good", "bad")]
    union = unite(part.config for part in parts)
    known = {digest: raw for part in parts for digest, raw in descriptors_of(part.manifest).items()}
    option = publish(lab, "failed", *manifest_of(union, known))

    (folder / "Dockerfile").write_text("".join(whole).replace("exit 7", "true"))
    # stage-3 never started in the first build
    missed = misses(build(make_engine("remote"), folder, option))
    assert missed == [("bad", 3), ("bad", 4), ("stage-3", 1), ("stage-3", 2)]


def test_the_config_that_we_write_is_read_back(lab: Lab, make_engine: MakeEngine) -> None:
    built = _built(lab, make_engine, TWIN, "again")
    _, body = manifest_of(unite([built.exported.config]), descriptors_of(built.exported.manifest))
    assert CacheConfig.from_json(json.loads(body)) == unite([built.exported.config])
