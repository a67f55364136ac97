"""From an export to records in a store, and from records to what the engine is offered, on a real local store."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from layercache_ci.dockerfile.plan import BaseImage, Plan
from layercache_ci.engines.buildkit.cacheconfig import CacheConfig, CacheLayer
from layercache_ci.engines.buildkit.cachemanifest import LARGEST, RawDescriptor
from layercache_ci.engines.buildkit.export import Export
from layercache_ci.engines.buildkit.forms import Form
from layercache_ci.engines.buildkit.outcome import Facts, outcomes, stage_reports
from layercache_ci.engines.buildkit.predict import predict
from layercache_ci.engines.buildkit.provenance import Provenance
from layercache_ci.engines.buildkit.records import base_of, config_of
from layercache_ci.engines.buildkit.restore import Selection, select
from layercache_ci.engines.buildkit.result import fields_of
from layercache_ci.engines.buildkit.save import Saver
from layercache_ci.engines.buildkit.transport import Exported, LayoutTransport
from layercache_ci.engines.lookup import look_up
from layercache_ci.engines.protocol import Saved
from layercache_ci.errors import CacheError
from layercache_ci.store.local import LocalStore
from layercache_ci.store.model import Store
from tests.unit.engines.buildkit.plans import planned, vertex

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKERFILE = "FROM image\nRUN one\nRUN two\n"
BASE = BaseImage("image", "id", environment={"PATH": "/bin", "A": "1"}, working_dir="/srv")


def tar_of(content: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content.encode()))
    return data.getvalue()


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Layers:
    """A transport that has what an engine exported: a base layer in gzip, and one layer of each step as it is."""

    folder: Path
    base: bytes = field(default_factory=lambda: gzip.compress(tar_of("base"), mtime=0))
    steps: tuple[bytes, ...] = (tar_of("one"), tar_of("two"))

    def __post_init__(self) -> None:
        self.folder.mkdir()
        for data in (self.base, *self.steps):
            (self.folder / digest(data)).write_bytes(data)

    def exported_blob(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.is_file() else None

    def export(self, *, results: int = 2) -> Export:
        """As BuildKit gives it for the two steps on the base image; the first `results` have results."""
        blobs = [digest(data) for data in (self.base, *self.steps)]
        config = CacheConfig.from_json(
            {
                "layers": [{"blob": blob, "parent": at - 1} for at, blob in enumerate(blobs)],
                "records": [
                    {"digest": "sha256:from"},
                    *(
                        {
                            "digest": f"sha256:step{at}",
                            "inputs": [[{"link": at - 1}]],
                            "layers": [{"layer": at, "createdAt": "2026-01-01T00:00:00Z"}] if at <= results else [],
                        }
                        for at in (1, 2)
                    ),
                ],
            }
        )
        tars = [tar_of("base"), *self.steps]
        kinds = ["gzip", "zstd", "zstd"]
        descriptors = {
            blob: {
                "mediaType": f"application/vnd.oci.image.layer.v1.tar+{kind}",
                "digest": blob,
                "size": len(data),
                "annotations": {"containerd.io/uncompressed": digest(tar)},
            }
            for blob, kind, data, tar in zip(blobs, kinds, (self.base, *self.steps), tars, strict=True)
        }
        provenance = Provenance(
            vertices={"v1": "step1", "v2": "step2"},
            inputs={"step1": ("step0",), "step2": ("step1",)},
            lines={},
            layers={f"step{at}": (tuple(blobs[: at + 1]),) for at in (1, 2)},
        )
        seen = (vertex(None, 2, 3, digest="v1"), vertex(None, 3, 3, digest="v2"))
        return Export(config, descriptors, seen, provenance)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a save asked for {name}")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return planned(tmp_path / "context", DOCKERFILE, images={"image": BASE})


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def save(plan: Plan, store: Store, export: Export, layers: Layers) -> Saved:
    return Saver(plan, store, layers, 2, {}).save([export], frozenset())


def restored(plan: Plan, store: Store) -> Selection:
    return select(plan, look_up(plan, store), store)


def test_what_was_saved_is_restored_whole(tmp_path: Path, plan: Plan, store: LocalStore) -> None:
    layers = Layers(tmp_path / "layers")

    saved = save(plan, store, layers.export(), layers)
    chosen = restored(plan, store)

    assert (saved.complete, saved.records, saved.warnings) == (True, 1, ())
    assert chosen.depths == {plan.target: 3}
    assert [len(chosen.config.results(index)[0]) for index in (1, 2)] == [2, 3]
    assert predict(plan, chosen.depths, chosen.offered) == {plan.target: ["hit", "hit"]}


def test_a_base_layer_is_kept_as_zstd_with_the_same_tar(tmp_path: Path, plan: Plan, store: LocalStore) -> None:
    layers = Layers(tmp_path / "layers")
    save(plan, store, layers.export(), layers)

    bottom = restored(plan, store).blobs[0]

    assert bottom.media_type.endswith("+zstd")
    assert bottom.digest != digest(layers.base)
    (record,) = store.records()
    assert record.chain[0].layers[0].diff_id == digest(tar_of("base"))


def test_a_layer_of_an_image_that_was_pushed_is_kept_as_it_is(tmp_path: Path, plan: Plan, store: LocalStore) -> None:
    """A later push then finds it in the registry."""
    layers = Layers(tmp_path / "layers")
    Saver(plan, store, layers, 2, {}, as_it_is=True).save([layers.export()], frozenset())

    bottom = restored(plan, store).blobs[0]

    assert (bottom.digest, bottom.media_type[-5:]) == (digest(layers.base), "+gzip")


def test_what_the_store_has_in_another_form_stays_so(tmp_path: Path, plan: Plan, store: LocalStore) -> None:
    """An export that was forced into gzip is not brought into zstd once more."""
    layers = Layers(tmp_path / "layers")
    save(plan, store, layers.export(), layers)
    before = restored(plan, store)
    forced, again = forced_into_gzip(tmp_path / "forced", layers)

    saved = Saver(plan, store, again, 2, {}, one_form=True, known=before.known).save([forced], frozenset())

    assert (saved.complete, saved.size) == (True, 0)
    assert restored(plan, store).blobs == before.blobs


def test_a_pushed_image_is_kept_as_it_was_pushed_in_place_of_zstd(
    tmp_path: Path, plan: Plan, store: LocalStore
) -> None:
    """BuildKit's provenance goes on to name the layers as they were restored, and the base image's also as its own
    registry has it."""
    layers = Layers(tmp_path / "layers")
    save(plan, store, layers.export(), layers)
    before = restored(plan, store)
    forced, again = forced_into_gzip(tmp_path / "forced", layers)
    chain = plan.chain(plan.target)

    Saver(plan, store, again, 2, {}, as_it_is=True, one_form=True, known=before.known).save([forced], frozenset(chain))
    after = restored(plan, store)

    assert after.depths == {plan.target: 3}
    assert [blob.media_type[-4:] for blob in before.blobs] == ["zstd"] * 3
    assert [blob.media_type[-4:] for blob in after.blobs] == ["gzip"] * 3
    assert [len(after.config.results(index)[0]) for index in (1, 2)] == [2, 3]


def forced_into_gzip(folder: Path, layers: Layers) -> tuple[Export, Layers]:
    """The export of a builder that has the same layers in zstd, the base image's in two forms of gzip besides."""
    gzips = Layers(
        folder,
        base=gzip.compress(tar_of("base"), 1, mtime=1),
        steps=tuple(gzip.compress(step, mtime=1) for step in layers.steps),
    )
    first, export = layers.export(), gzips.export()
    tars = [digest(tar_of("base")), *map(digest, layers.steps)]
    base = first.config.layers[0].blob
    blobs = [layer.blob for layer in export.config.layers]
    descriptors: dict[str, RawDescriptor] = {
        blob: {**export.descriptors[blob], "mediaType": GZIP, "annotations": {"containerd.io/uncompressed": tar}}
        for blob, tar in zip(blobs, tars, strict=True)
    }
    # the first step's result stands on the base image as its registry has it
    config = CacheConfig(
        (*export.config.layers, CacheLayer(base), CacheLayer(blobs[1], 3)),
        tuple(
            replace(record, results=tuple(replace(each, layers=(4,)) for each in record.results)) if at == 1 else record
            for at, record in enumerate(export.config.records)
        ),
    )
    provenance = first.provenance
    return replace(
        export, config=config, descriptors={**descriptors, base: first.descriptors[base]}, provenance=provenance
    ), gzips


def test_a_base_layer_that_is_another_is_not_saved(tmp_path: Path, plan: Plan, store: LocalStore) -> None:
    layers = Layers(tmp_path / "layers")
    export = layers.export()
    (layers.folder / digest(layers.base)).write_bytes(gzip.compress(tar_of("other")))

    with pytest.raises(CacheError, match="its tar is not"):
        save(plan, store, export, layers)

    assert list(store.records()) == []


def test_saving_again_saves_nothing_more(tmp_path: Path, plan: Plan, store: LocalStore) -> None:
    layers = Layers(tmp_path / "layers")
    save(plan, store, layers.export(), layers)

    chosen = restored(plan, store)
    again = save(plan, store, layers.export(), layers)

    assert restored(plan, store) == chosen
    assert len(list(store.records())) == 1
    assert again.complete


def test_a_step_without_a_result_ends_the_record(tmp_path: Path, plan: Plan, store: LocalStore) -> None:
    layers = Layers(tmp_path / "layers")

    save(plan, store, layers.export(results=1), layers)

    assert restored(plan, store).depths == {plan.target: 2}


def test_a_layer_that_is_not_to_be_had_ends_the_record(tmp_path: Path, plan: Plan, store: LocalStore) -> None:
    layers = Layers(tmp_path / "layers")
    (layers.folder / digest(layers.steps[1])).unlink()

    save(plan, store, layers.export(), layers)

    assert restored(plan, store).depths == {plan.target: 2}


def test_what_is_too_much_for_one_import_is_no_certain_hit(tmp_path: Path, plan: Plan, store: LocalStore) -> None:
    layers = Layers(tmp_path / "layers")
    export = layers.export()
    last = digest(layers.steps[1])
    large = {**export.descriptors[last], "note": "x" * LARGEST}
    descriptors = {**export.descriptors, last: large}
    save(plan, store, replace(export, descriptors=descriptors), layers)

    chosen = restored(plan, store)

    assert chosen.config == CacheConfig()
    assert (chosen.depths, chosen.offered) == ({}, {plan.target: 3})
    assert predict(plan, chosen.depths, chosen.offered) == {plan.target: ["unknown", "unknown"]}
    assert chosen.warnings == ["there is more in the store than BuildKit imports at once: the oldest was left out"]


def test_a_blob_that_the_store_lost_is_not_offered(tmp_path: Path, plan: Plan, store: LocalStore) -> None:
    layers = Layers(tmp_path / "layers")
    save(plan, store, layers.export(), layers)
    found = look_up(plan, store)
    lost = digest(layers.steps[1])
    next((tmp_path / "store").rglob(lost.removeprefix("sha256:"))).unlink()

    chosen = select(plan, found, store)

    assert lost not in chosen.config.blobs()
    assert chosen.depths == {plan.target: 2}
    assert predict(plan, chosen.depths, {}) == {plan.target: ["hit", "miss"]}


def test_a_record_that_cant_be_read_is_a_warning(tmp_path: Path, plan: Plan, store: LocalStore) -> None:
    layers = Layers(tmp_path / "layers")
    save(plan, store, layers.export(), layers)
    found = look_up(plan, store)
    first = found.matches[plan.target].record.chain[0]
    assert isinstance(first.engine, dict)
    first.engine["config"] = {"layers": "none"}
    found.newest.clear()

    chosen = select(plan, found, store)

    assert chosen.config == CacheConfig()
    assert len(chosen.warnings) == 1
    assert chosen.depths == {}


def test_a_record_remembers_its_base_image(tmp_path: Path, plan: Plan, store: LocalStore) -> None:
    layers = Layers(tmp_path / "layers")
    save(plan, store, layers.export(), layers)

    (record,) = store.records()

    assert base_of(record.chain[0]) == BASE
    assert list((base_of(record.chain[0]) or BASE).environment) == ["PATH", "A"]
    assert len(config_of(record, 2)[0].blobs()) == 2


def test_a_layout_offers_verified_blobs_only(tmp_path: Path, plan: Plan, store: LocalStore) -> None:
    layers = Layers(tmp_path / "layers")
    save(plan, store, layers.export(), layers)
    chosen = restored(plan, store)
    damaged = next((tmp_path / "store").rglob(digest(layers.steps[1]).removeprefix("sha256:")))
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    layout = LayoutTransport(tmp_path / "layout", 2)

    (value,) = layout.offer(chosen, store)

    index = json.loads((tmp_path / "layout/index.json").read_text())
    manifest = json.loads((tmp_path / "layout/blobs" / index["manifests"][0]["digest"].replace(":", "/")).read_text())
    assert value == f"type=local,src={tmp_path / 'layout'},tag=restored"
    assert [layer["digest"] for layer in manifest["layers"]] == [blob.digest for blob in chosen.blobs[:2]]
    assert all(layout.exported_blob(layer["digest"]) for layer in manifest["layers"])
    assert len(layout.damage()) == 1
    assert layout.faults() == ()


def test_a_layout_may_lie_in_a_folder_of_any_name(tmp_path: Path, plan: Plan, store: LocalStore) -> None:
    layers = Layers(tmp_path / "layers")
    save(plan, store, layers.export(), layers)
    layout = LayoutTransport(tmp_path / 'a,"b', 2)

    (source,) = layout.offer(restored(plan, store), store)

    assert fields_of(source) == {"type": "local", "src": str(layout.folder), "tag": "restored"}
    there = fields_of(layout.cache_to(1, Form.GZIP))
    assert (there["type"], there["dest"], there["tag"]) == ("local", str(layout.folder), "exported-1")
    assert there["mode"] == "max"


def test_an_export_into_a_layout_is_found_by_its_tag(tmp_path: Path) -> None:
    layout = LayoutTransport(tmp_path, 1)
    config = b'{"layers":[],"records":[]}'
    media_type = "application/vnd.buildkit.cacheconfig.v0"
    manifest = json.dumps({"config": {"mediaType": media_type, "digest": digest(config)}, "layers": []}).encode()
    (tmp_path / "blobs/sha256").mkdir(parents=True)
    for data in (config, manifest):
        (tmp_path / "blobs" / digest(data).replace(":", "/")).write_bytes(data)
    entry = {"digest": digest(manifest), "annotations": {"org.opencontainers.image.ref.name": "exported-1"}}
    (tmp_path / "index.json").write_text(json.dumps({"manifests": [entry]}))

    assert layout.exported(1) == Exported(manifest, config)
    with pytest.raises(CacheError, match="exported no cache"):
        layout.exported(0)


def test_nothing_is_said_of_steps_that_nothing_is_known_of(plan: Plan) -> None:
    links = plan.links(plan.target)
    ran = {links[0].key: vertex(None, 2, 3, state="hit"), links[1].key: vertex(None, 3, 3, seconds=1.5)}

    assert set(outcomes(plan, None, ended_well=True).values()) == {"skipped"}
    assert list(outcomes(plan, ran, ended_well=True).values()) == ["hit", "miss"]
    assert list(outcomes(plan, {}, ended_well=False).values()) == ["skipped", "skipped"]
    assert list(outcomes(plan, {}, ended_well=True).values()) == ["hit", "hit"]


def test_the_report_has_every_instruction_and_the_reason_of_the_first_miss(tmp_path: Path) -> None:
    plan = planned(tmp_path / "context", "FROM image\nENV A=1\nRUN one\nRUN two\nCMD x\n", images={"image": BASE})
    one, two = plan.links(plan.target)
    seen = {one.key: vertex(None, 2, 3, seconds=2.0), two.key: vertex(None, 3, 3, state="failed")}

    (stage,) = stage_reports(Facts(plan, Selection(), predict(plan, {}, {}), {}, seen, ended_well=False))

    assert [step.outcome for step in stage.steps] == [None, None, "miss", "miss", None]
    assert [step.reason.code if step.reason else None for step in stage.steps[2:4]] == ["not-stored", "parent-missed"]
    assert stage.steps[2].seconds == 2.0
