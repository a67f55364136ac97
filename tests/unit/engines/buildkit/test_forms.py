"""In which form layers are exported, and images leave the builder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.cacheconfig import CacheConfig, CacheLayer
from layercache_ci.engines.buildkit.command import build_words
from layercache_ci.engines.buildkit.forms import (
    SHORT,
    UNKNOWN,
    Form,
    Held,
    Notes,
    Restored,
    Told,
    held_after,
    in_gzip,
    restored_of,
    tell,
    zstd_keys,
)
from layercache_ci.engines.buildkit.records import first_engine, forms_of
from layercache_ci.engines.buildkit.restore import Selection
from layercache_ci.layers.model import Descriptor, Layer
from layercache_ci.settings import BuildSettings, Machine
from layercache_ci.store.model import Step, StepRecord
from tests.unit.engines.buildkit.plans import planned

GZIP = "compression=gzip,force-compression=true"
PUSHED = f"type=image,push=true,{GZIP}"
NAMED = "type=registry,compression=zstd"
CONTAINER = Builder(
    name="ci", driver="docker-container", node="ci0", endpoint="default", version="v0.34.2", exports_cache=True
)
DAEMON = Builder(
    name="default", driver="docker", node="default", endpoint="default", version="v0.34.2", exports_cache=True
)
OURS = Builder(
    name="layercache-0123456789ab", driver="docker-container", node="n", endpoint="default", version="v0.34.2",
    exports_cache=True,
)  # fmt: skip
NEW = Restored(zstd=False, layers=4)
OLD = Restored(zstd=True, layers=4)


def settings(*options: str, **changes: Any) -> BuildSettings:
    return BuildSettings(context=".", engine_options=options, **{"tags": ("app",), **changes})


def words_of(build: BuildSettings, *, driver: str = "docker-container", stands_in: bool = False) -> list[str]:
    told = in_gzip(build, driver=driver, stands_in=stands_in)
    words = build_words(told, builder="b", environment={}, cache_from=(), metadata=None, stands_in=stands_in)
    return [word for word in words if word.startswith(("--output", "--push", "--load", "-o"))]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (settings(push=True), [PUSHED]),
        (settings("--push"), [PUSHED]),
        (settings(load=True), [f"type=docker,{GZIP}"]),
        (settings(push=True, load=True), [PUSHED, f"type=docker,{GZIP}"]),
        (settings(push=True, outputs=("type=image,name=a",)), [f"type=image,name=a,{GZIP}", "--push"]),
        (settings("--push", outputs=("type=image",)), [f"type=image,{GZIP}", "--push"]),
        (settings(push=True, outputs=("type=local,dest=o",)), ["type=local,dest=o", PUSHED]),
        (settings(load=True, outputs=("type=docker",)), [f"type=docker,{GZIP}", "--load"]),
        (settings(outputs=("type=registry",)), [f"type=registry,{GZIP}"]),
        (settings(outputs=("type=image,push=true",)), [PUSHED]),
        (settings(outputs=("type=oci,dest=x",)), [f"type=oci,dest=x,{GZIP}"]),
        (settings(outputs=('"type=oci","dest=a,b"',)), [f'"type=oci","dest=a,b",{GZIP}']),
        (settings(outputs=("type=docker,dest=x",)), [f"type=docker,dest=x,{GZIP}"]),
        (settings(outputs=("type=oci,dest=x", "type=local,dest=y")), [f"type=oci,dest=x,{GZIP}", "type=local,dest=y"]),
        (settings(outputs=("type=registry,compression=zstd", "type=oci")), [NAMED, f"type=oci,{GZIP}"]),
    ],
)
def test_an_image_that_leaves_the_builder_is_in_gzip(build: BuildSettings, expected: list[str]) -> None:
    assert [word.removeprefix("--output=") for word in words_of(build)] == expected


@pytest.mark.parametrize(
    "build",
    [
        settings(),
        settings(outputs=("type=image",)),
        settings(outputs=("type=local,dest=o",)),
        settings(outputs=("type=tar,dest=o",)),
        settings(outputs=("type=cacheonly",)),
        settings(outputs=("out",)),
        settings(outputs=("-",)),
        settings(outputs=("type=registry,compression=zstd",)),
        settings(outputs=("type=registry,compression=estargz,force-compression=true",)),
        settings(outputs=("type=oci,dest=x,force-compression=false",)),
        settings("--output=type=oci,dest=x", push=True),
    ],
)
def test_what_stays_or_is_named_by_the_user_is_as_they_said(build: BuildSettings) -> None:
    assert in_gzip(build, driver="docker-container", stands_in=False) is build


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (settings(), []),
        (settings(load=True), ["--load"]),
        (settings(outputs=("type=docker",)), ["--output=type=docker"]),
        (settings(push=True), [f"--output=type=image,push=true,{GZIP}"]),
        (settings(push=True, load=True), [f"--output=type=image,push=true,{GZIP}", "--load"]),
        (settings(outputs=("type=docker,dest=x",)), [f"--output=type=docker,dest=x,{GZIP}"]),
    ],
)
def test_what_stays_in_the_daemon_that_builds_is_as_it_is(build: BuildSettings, expected: list[str]) -> None:
    assert words_of(build, driver="docker") == expected


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (settings(), [f"--output=type=docker,{GZIP}"]),
        (settings(load=True), [f"--output=type=docker,{GZIP}"]),
        (settings(push=True), [f"--output=type=image,push=true,{GZIP}", f"--output=type=docker,{GZIP}"]),
        (settings(outputs=("type=image,name=a",)), [f"--output=type=docker,name=a,{GZIP}"]),
        (settings(outputs=("type=local,dest=o",)), ["--output=type=local,dest=o"]),
    ],
)
def test_a_builder_that_stands_in_sends_a_tarball_of_gzip(build: BuildSettings, expected: list[str]) -> None:
    assert words_of(build, stands_in=True) == expected


PUSH, STAYS = settings(push=True), settings(outputs=("type=cacheonly",))


@pytest.mark.parametrize(
    ("build", "held", "restored", "export", "forced"),
    [
        pytest.param(PUSH, Held.NOTHING, NEW, Form.ZSTD, False, id="nothing in zstd"),
        pytest.param(PUSH, Held.NOTHING, OLD, Form.ONLY_GZIP, True, id="restored in zstd"),
        pytest.param(PUSH, Held.NOTHING, None, Form.ONLY_GZIP, True, id="not known yet"),
        pytest.param(PUSH, Held.ZSTD, NEW, Form.ONLY_GZIP, True, id="built in zstd before"),
        pytest.param(PUSH, Held.BOTH, NEW, Form.ONLY_GZIP, True, id="both before"),
        pytest.param(STAYS, Held.NOTHING, OLD, Form.ZSTD, False, id="stays"),
        pytest.param(STAYS, Held.ZSTD, OLD, Form.ZSTD, False, id="stays, built in zstd before"),
        pytest.param(STAYS, Held.BOTH, NEW, Form.ONLY_GZIP, False, id="stays where both are"),
    ],
)
def test_a_builder_with_layers_in_two_forms_is_never_asked_for_either(
    build: BuildSettings, held: Held, restored: Restored | None, export: Form, *, forced: bool
) -> None:
    told = tell(build, CONTAINER, held, restored, stands_in=False, near=True)

    assert (told.export, told.forced, told.long) == (export, forced, False)
    assert held_after(told, held) is (Held.BOTH if export is Form.ONLY_GZIP else Held.ZSTD)


@pytest.mark.parametrize("near", [True, False])
def test_where_nobody_can_tell_what_a_builder_holds_all_is_gzip_from_the_first(*, near: bool) -> None:
    """On another machine, and where the user has BuildKit export to a place of theirs: nothing is forced."""
    build = settings(*(["--cache-to=type=gha"] if near else []), push=True)
    told = tell(build, CONTAINER, Held.ZSTD, OLD, stands_in=False, near=near)

    assert told == Told(build, Form.GZIP)
    assert held_after(told, Held.ZSTD) is Held.ZSTD


@pytest.mark.parametrize("builder", [DAEMON, OURS], ids=["a daemon's own", "ours"])
def test_where_our_notes_may_be_lost_only_short_images_are_forced(builder: Builder) -> None:
    """Of others all combinations would be listed by the next export that does not force."""
    short, long = (Restored(zstd=True, layers=layers) for layers in (SHORT, SHORT + 1))

    assert tell(PUSH, builder, Held.NOTHING, short, stands_in=False, near=True).forced
    told = tell(PUSH, builder, Held.NOTHING, long, stands_in=False, near=True)
    assert told == Told(PUSH, Form.ZSTD, long=True)
    assert tell(PUSH, builder, Held.BOTH, long, stands_in=False, near=True).forced
    assert tell(PUSH, CONTAINER, Held.NOTHING, long, stands_in=False, near=True).forced


def test_what_the_user_forces_is_exported_so_too() -> None:
    build = settings(outputs=(f"type=registry,{GZIP}",))
    told = tell(build, CONTAINER, Held.NOTHING, OLD, stands_in=False, near=True)

    assert (told.settings, told.export) == (build, Form.ONLY_GZIP)


def step(key: str, kind: str) -> Step:
    media_type = f"application/vnd.oci.image.layer.v1.tar+{kind}"
    return Step(key, "RUN", "", {}, (Layer(f"sha256:tar-{key}", 0, Descriptor(media_type, f"sha256:{key}", 1)),))


@pytest.mark.parametrize(
    ("kinds", "zstd", "superseded"),
    [
        (("gzip", "gzip", "gzip"), False, 0),
        (("zstd", "gzip", "gzip"), True, 3),
        (("gzip", "gzip", "zstd"), True, 1),
        ((), False, 0),
    ],
)
def test_what_is_restored_of_the_target(tmp_path: Path, kinds: tuple[str, ...], superseded: int, *, zstd: bool) -> None:
    """And which keys have to get gzip."""
    plan = planned(tmp_path, "FROM scratch\nCOPY src /a\nCOPY src /b\n")
    keys = plan.chain(plan.target)
    chosen = Selection(links={key: step(key, kind) for key, kind in zip(keys, kinds, strict=False)})

    assert restored_of(plan, chosen) == Restored(zstd, layers=(1 if kinds else UNKNOWN) + 2)
    assert zstd_keys(plan, plan.target, chosen) == tuple(keys[3 - superseded :])


def test_the_targets_newest_record_counts_too(tmp_path: Path) -> None:
    """The engine may find that what it holds is the same."""
    plan = planned(tmp_path, "FROM scratch\nCOPY src /a\n")
    record = StepRecord("n", plan.stage_id(plan.target), (step("x", "gzip"), step("y", "zstd")), "", "")

    assert restored_of(plan, Selection(records=[record])).zstd
    assert not restored_of(plan, Selection(records=[StepRecord("n", "other", record.chain, "", "")])).zstd


def test_notes_are_of_one_builder(tmp_path: Path) -> None:
    machine = Machine(environment={"HOME": str(tmp_path)}, uid=0, cpus=1, terminal=False)
    notes = Notes.of(machine, CONTAINER)
    assert notes.read() is Held.NOTHING

    notes.write(Held.BOTH)

    assert Notes.of(machine, CONTAINER).read() is Held.BOTH
    assert Notes.of(machine, DAEMON).read() is Held.NOTHING
    notes.file.write_text("what is this")
    assert notes.read() is Held.NOTHING


def test_where_no_notes_can_be_taken_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / ".cache").write_text("a file")
    notes = Notes.of(Machine(environment={"HOME": str(tmp_path)}, uid=0, cpus=1, terminal=False), CONTAINER)

    notes.write(Held.ZSTD)

    assert notes.read() is Held.NOTHING


def test_a_record_says_by_which_other_digests_its_layers_are_known() -> None:
    config, raw = CacheConfig((CacheLayer("sha256:z"),)), {"sha256:z": {"digest": "sha256:z"}}
    engine = first_engine(config, raw, None, {"sha256:g": "sha256:z", "sha256:other": "sha256:gone"})
    record = StepRecord("n", "s", (Step("k", "FROM", "", {}, engine=engine),), "", "")

    assert forms_of(record) == {"sha256:g": "sha256:z"}
    assert Selection(descriptors=dict(raw), records=[record]).known == {"sha256:g": raw["sha256:z"], **raw}
