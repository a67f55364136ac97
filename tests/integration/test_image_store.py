"""Layers go from Buildah's storage into a store, and back as an additional image store that Buildah builds from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from layercache_ci.engines.containers.image_store import Restored, RestoredImage, write_image_store
from layercache_ci.engines.containers.ship import ship_layers
from layercache_ci.engines.containers.storage import Storage, StoredImage, StoredLayer
from layercache_ci.errors import CacheError
from layercache_ci.layers.compression import Compressor
from layercache_ci.layers.model import ZSTD_LAYER, Descriptor, Layer
from tests.fakes.memory_store import MemoryStore
from tests.lab.engines import Engine, make_engine
from tests.lab.paths import LabPaths
from tests.snapshot import Snapshot, snapshot

DOCKERFILE = """FROM localhost/base AS builder
ARG VERSION=1
RUN echo $VERSION > /built && mkdir /out && echo o > /out/o
LABEL one=1
FROM localhost/base
ENV SHOWN=yes
COPY --from=builder /out /out
COPY --chown=5:6 file /copied
RUN rm -rf /tree/replaced && mkdir /tree/replaced && echo n > /tree/replaced/new && rm /tree/gone /tree/dir/inner
RUN ln /tree/linked /tree/linked-too && chmod 4711 /tree/mode && chown 9:10 /tree/owner && mkfifo /tree/fifo
RUN rm -rf /tree/everything
RUN true
RUN true
WORKDIR /work
CMD ["sh"]
"""
HIT = "--> Using cache"
STEPS = 13
"""How many steps print that when everything is held: all lines but FROM."""

NAMES = [b"plain", "ünï\n".encode(), b"latin\xe9", b"x" * 130]


@dataclass(frozen=True, slots=True)
class Built:
    """An engine that has built the image, and what it holds."""

    engine: Engine
    context: Path
    image_id: str
    storage: Storage
    images: tuple[StoredImage, ...]

    def layers(self) -> list[StoredLayer]:
        return [layer for image in self.images for layer in self.storage.layers(image.top_layer)]

    def ship(self, store: MemoryStore, held: Mapping[str, Layer] | None = None) -> dict[str, Layer]:
        return ship_layers(self.storage, self.layers(), store, held=held or {}, workers=2)

    def restored(self, shipped: Mapping[str, Layer]) -> list[RestoredImage]:
        """As a step record would bring them back."""
        return [
            RestoredImage(
                StoredImage.from_json(json.loads(json.dumps(image.to_json()))),
                tuple(shipped[layer.diff_id] for layer in self.storage.layers(image.top_layer)),
            )
            for image in self.images
        ]


def make_base(engine: Engine) -> None:
    """An image whose layer has what a Dockerfile can't easily make."""
    container = engine.run("from", "scratch").stdout.strip()
    root = Path(engine.run("mount", container).stdout.strip())
    tree = root / "tree"
    for folder in (root / "bin", tree / "replaced/deep", tree / "dir", tree / "everything/below"):
        folder.mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for applet in ("sh", "rm", "mkdir", "echo", "ln", "chmod", "chown", "mkfifo", "true", "cat"):
        (root / "bin" / applet).symlink_to("/bin/busybox")
    for name in (
        "gone",
        "mode",
        "owner",
        "linked",
        "capable",
        "replaced/old",
        "replaced/deep/old",
        "dir/inner",
        "dir/x",
    ):
        (tree / name).write_text(name * 1000)
    for raw in NAMES:
        (tree / os.fsdecode(raw)).write_bytes(raw)
    for number in range(2000):
        (tree / f"hard{number}").hardlink_to(tree / "owner")
    (tree / "relative").symlink_to("../bin/busybox")
    os.setxattr(tree / "mode", "user.mine", b"value\0\n")
    os.setxattr(tree / "capable", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    os.mknod(tree / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    for number, path in enumerate(sorted(tree.rglob("*"))):
        os.utime(path, ns=(0, 1_500_000_000_123_456_789 + number * 10**9), follow_symlinks=False)
    engine.run("umount", container)
    engine.run("commit", "--rm", container, "base")


def build(engine: Engine, context: Path) -> str:
    done = engine.run(
        "build", "--layers", "--network", "host", "--iidfile", context.parent / "iid", "-t", "app", context
    )
    return done.stdout + done.stderr


def new_engine(folder: Path) -> Engine:
    folder.mkdir(exist_ok=True)
    return make_engine("buildah-1.28", LabPaths.here(), folder, "127.0.0.1:1")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("built")
    engine = new_engine(folder / "engines")
    context = folder / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "file").write_text("file")
    make_base(engine)
    build(engine, context)
    graph = engine.folder / "graph"
    storage = Storage(graph)
    ids = [entry["id"] for entry in json.loads((graph / "overlay-images/images.json").read_bytes())]
    image_id = (folder / "iid").read_text().removeprefix("sha256:")
    yield Built(engine, context, image_id, storage, tuple(map(storage.image, ids)))
    engine.remove()


@pytest.fixture
def emptied(tmp_path: Path) -> Iterator[Engine]:
    engine = new_engine(tmp_path / "emptied")
    yield engine
    engine.remove()


def use(engine: Engine, image_store: Path) -> None:
    """Have the engine read images from `image_store` too."""
    with Path(engine.environment["CONTAINERS_STORAGE_CONF"]).open("a") as configuration:
        configuration.write(f'[storage.options]\nadditionalimagestores = ["{image_store}"]\n')


def files_of(engine: Engine, image: str) -> Snapshot:
    container = engine.run("from", "--pull-never", image).stdout.strip()
    try:
        return snapshot(Path(engine.run("mount", container).stdout.strip()))
    finally:
        engine.run("umount", container)
        engine.run("rm", container)


def restore(built: Built, shipped: Mapping[str, Layer], store: MemoryStore, folder: Path) -> Restored:
    return write_image_store(folder, built.restored(shipped), store, workers=2)


def test_every_step_of_the_restored_image_hits_and_its_files_are_the_same(
    built: Built, emptied: Engine, tmp_path: Path
) -> None:
    store = MemoryStore()
    restored = restore(built, built.ship(store), store, tmp_path / "images")
    assert (restored.images, restored.damaged) == (len(built.images), {})
    assert restored.layers == len({layer.id for layer in built.layers()})
    use(emptied, tmp_path / "images")

    assert build(emptied, built.context).count(HIT) == STEPS
    own = json.loads((emptied.folder / "graph/overlay-layers/layers.json").read_bytes())
    assert own == [], "no layer was written"

    files = files_of(emptied, built.image_id)
    assert files == files_of(built.engine, built.image_id)
    assert "tree/replaced/new" in files
    assert not {"tree/replaced/old", "tree/gone", "tree/dir/inner", "tree/everything"} & files.keys()
    assert "security.capability" in repr(files["tree/capable"])
    assert "user.mine" in repr(files["tree/mode"])
    assert {f"tree/{os.fsdecode(name)}" for name in NAMES} <= files.keys()


def test_the_lists_are_those_of_the_engine(built: Built, tmp_path: Path) -> None:
    store = MemoryStore()
    restore(built, built.ship(store), store, tmp_path / "images")
    written = Storage(tmp_path / "images")
    for image in built.images:
        assert written.image(image.id) == image
        assert [without_time(layer) for layer in written.layers(image.top_layer)] == [
            without_time(layer) for layer in built.storage.layers(image.top_layer)
        ]
    names = json.loads((tmp_path / "images/overlay-images/images.json").read_bytes())
    assert [image["id"] for image in names] == [image.id for image in built.images]


def without_time(layer: StoredLayer) -> StoredLayer:
    return replace(layer, raw={key: value for key, value in layer.raw.items() if key != "created"})


def test_other_programs_get_the_very_same_layers_out_of_it(built: Built, emptied: Engine, tmp_path: Path) -> None:
    store = MemoryStore()
    restore(built, built.ship(store), store, tmp_path / "images")
    use(emptied, tmp_path / "images")
    emptied.run("copy", f"containers-storage:{built.image_id}", f"oci:{tmp_path / 'oci'}", program="skopeo")
    blobs = tmp_path / "oci/blobs/sha256"
    assert (blobs / built.image_id).read_bytes() == built.storage.image(built.image_id).big_data[
        f"sha256:{built.image_id}"
    ]


def test_a_build_goes_on_from_restored_steps(built: Built, emptied: Engine, tmp_path: Path) -> None:
    store = MemoryStore()
    restore(built, built.ship(store), store, tmp_path / "images")
    use(emptied, tmp_path / "images")
    context = tmp_path / "context"
    shutil.copytree(built.context, context)
    (context / "file").write_text("changed")

    assert build(emptied, context).count(HIT) == 5
    again = Storage(emptied.folder / "graph", [tmp_path / "images"])
    image = again.image((tmp_path / "iid").read_text().removeprefix("sha256:"))
    shipped = ship_layers(again, again.layers(image.top_layer), store, held={}, workers=2)
    assert list(shipped) == list(dict.fromkeys(image.diff_ids))


def test_what_is_held_is_not_sent_again(built: Built) -> None:
    store = MemoryStore()
    shipped = built.ship(store)
    sent = dict(store.blobs)
    store.blobs.clear()
    assert built.ship(store, held=shipped) == shipped
    assert store.blobs == {}
    built.ship(store)
    assert store.blobs == sent, "the same bytes whenever they are made"


def test_a_layer_whose_files_were_changed_is_not_saved(
    built: Built, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph = tmp_path / "graph"
    subprocess.run(["cp", "-a", built.engine.folder / "graph", graph], check=True)
    storage = Storage(graph)
    chain = storage.layers(built.storage.image(built.image_id).top_layer)
    copied = next(layer for layer in chain if (storage.layer_dir(layer.id) / "copied").exists())
    file, split = storage.layer_dir(copied.id) / "copied", storage.tar_split(copied.id)
    assert split
    changes: dict[str, Callable[[], object]] = {
        "make sha256:": lambda: file.write_text("elif"),
        "shorter than its layer says": lambda: file.write_text("f"),
        "No such file": file.unlink,
        "tar-split can't be read": lambda: split.write_bytes(b"x"),
        "keeps no tar-split": split.unlink,
    }
    for complaint, change in changes.items():
        change()
        caplog.clear()
        store = MemoryStore()
        shipped = ship_layers(storage, chain, store, held={}, workers=2)
        assert shipped.keys() == {layer.diff_id for layer in chain} - {copied.diff_id}
        assert {layer.blob.digest for layer in shipped.values()} <= store.blobs.keys()
        assert len(caplog.messages) == 1
        assert complaint in caplog.messages[0]
        assert copied.id[:12] in caplog.messages[0]


@pytest.mark.parametrize("damage", ["absent", "cut", "altered", "other", "no zstd", "tar-split absent"])
def test_a_damaged_layer_takes_what_needs_it_and_nothing_else(
    built: Built, emptied: Engine, tmp_path: Path, damage: str
) -> None:
    store = MemoryStore()
    shipped = built.ship(store)
    chain = built.storage.layers(built.storage.image(built.image_id).top_layer)
    bad = shipped[chain[3].diff_id]  # base, COPY --from, COPY, then this one
    blob = store.blobs[bad.blob.digest]
    match damage:
        case "absent":
            del store.blobs[bad.blob.digest]
        case "cut":
            store.blobs[bad.blob.digest] = blob[:-5]
        case "altered":
            store.blobs[bad.blob.digest] = blob[:50] + bytes([blob[50] ^ 1]) + blob[51:]
        case "other":
            shipped[bad.diff_id] = replace(bad, blob=shipped[chain[0].diff_id].blob)
        case "no zstd":
            with store.new_blob(ZSTD_LAYER) as writer:
                writer.write(b"no zstd")
                shipped[bad.diff_id] = replace(bad, blob=writer.commit())
        case _:
            assert bad.tar_split
            del store.blobs[bad.tar_split.digest]

    restored = restore(built, shipped, store, tmp_path / "images")

    assert list(restored.damaged) == [bad.diff_id]
    kept = [image for image in built.images if bad.diff_id not in image.diff_ids]
    written = Storage(tmp_path / "images")
    assert restored.images == len(kept)
    assert all(written.image(image.id) == image for image in kept)
    on_disk = {path.name for path in (tmp_path / "images/overlay").iterdir()} - {"l"}
    assert on_disk == {layer.id for image in kept for layer in built.storage.layers(image.top_layer)}
    assert len(list((tmp_path / "images/overlay/l").iterdir())) == len(on_disk)
    use(emptied, tmp_path / "images")
    assert build(emptied, built.context).count(HIT) == 6


def layer_of(store: MemoryStore, tar: bytes) -> Layer:
    compressor = Compressor()
    with store.new_blob(ZSTD_LAYER) as blob:
        blob.write(compressor.compress(tar) + compressor.finish())
        return Layer(f"sha256:{hashlib.sha256(tar).hexdigest()}", len(tar), blob.commit())


def empty_layer(store: MemoryStore) -> Layer:
    return layer_of(store, bytes(1024))


def plain_image(number: int, layers: Sequence[Layer], *names: str) -> RestoredImage:
    config = json.dumps({"rootfs": {"diff_ids": [layer.diff_id for layer in layers]}, "n": number}).encode()
    image_id = hashlib.sha256(config).hexdigest()
    image = StoredImage(image_id, "", names, None, "2026-01-01T00:00:00Z", "{}", {f"sha256:{image_id}": config})
    return RestoredImage(image, tuple(layers))


def test_an_image_without_layers_and_one_with_the_same_layer_twice(emptied: Engine, tmp_path: Path) -> None:
    store = MemoryStore()
    empty = empty_layer(store)
    images = [
        plain_image(1, [], "localhost/none:latest"),
        plain_image(2, [empty, empty, empty], "localhost/thrice:latest"),
    ]
    restored = write_image_store(tmp_path / "images", images, store, workers=2)
    assert (restored.images, restored.layers, restored.damaged) == (2, 3, {})
    written = Storage(tmp_path / "images")
    assert written.image_by_name("localhost/none:latest").top_layer is None
    layers = written.layers(written.image_by_name("localhost/thrice:latest").top_layer)
    own = empty.diff_id.removeprefix("sha256:")
    second = hashlib.sha256(f"{own}+{own}".encode()).hexdigest()
    assert [layer.id for layer in layers] == [own, second, hashlib.sha256(f"{second}+{own}".encode()).hexdigest()]
    use(emptied, tmp_path / "images")
    listed = emptied.run("images").stdout
    assert "localhost/none" in listed
    assert "localhost/thrice" in listed


def test_a_name_or_an_image_that_comes_twice_is_the_first_ones(emptied: Engine, tmp_path: Path) -> None:
    images = [
        plain_image(1, [], "localhost/a:1"),
        plain_image(2, [], "localhost/a:1", "localhost/b:1"),
        plain_image(1, []),
    ]
    assert write_image_store(tmp_path / "images", images, MemoryStore(), workers=2).images == 2
    written = Storage(tmp_path / "images")
    assert written.image_by_name("localhost/a:1") == images[0].image
    assert written.image(images[1].image.id).names == ("localhost/b:1",)
    use(emptied, tmp_path / "images")
    assert "localhost/b" in emptied.run("images").stdout


def test_a_root_directory_is_as_its_layer_or_the_one_below_says(tmp_path: Path) -> None:
    root = tarfile.TarInfo("./")
    root.type, root.mode, root.uid, root.gid = tarfile.DIRTYPE, 0o2711, 5, 6
    store = MemoryStore()
    says, silent = layer_of(store, root.tobuf() + bytes(1024)), empty_layer(store)
    image = plain_image(1, [silent, says, silent])
    write_image_store(tmp_path / "images", [image], store, workers=2)
    written = Storage(tmp_path / "images")
    chain = written.layers(written.image(image.image.id).top_layer)
    roots = [written.layer_dir(layer.id).stat() for layer in chain]
    assert [(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) for found in roots] == [
        (0o555, 0, 0),
        (0o2711, 5, 6),
        (0o2711, 5, 6),
    ]


def test_a_layer_that_two_chains_share_is_read_once(tmp_path: Path) -> None:
    store = MemoryStore()
    empty = empty_layer(store)
    images = [plain_image(1, [empty]), plain_image(2, [empty]), plain_image(3, [empty, empty])]
    restored = write_image_store(tmp_path / "images", images, store, workers=2)
    assert (restored.images, restored.layers, restored.bytes_read) == (3, 2, 2 * empty.blob.size)


def test_nothing_to_restore_is_an_empty_store(emptied: Engine, tmp_path: Path) -> None:
    missing = Layer("sha256:" + "0" * 64, 1, Descriptor(ZSTD_LAYER, "sha256:" + "1" * 64, 1))
    restored = write_image_store(tmp_path / "images", [plain_image(1, [missing])], MemoryStore(), workers=2)
    assert (restored.images, restored.layers, list(restored.damaged)) == (0, 0, [missing.diff_id])
    use(emptied, tmp_path / "images")
    assert emptied.run("images", "--quiet").stdout == ""


def test_a_destination_that_can_not_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    store = MemoryStore()
    images = [plain_image(1, [empty_layer(store)])]
    (tmp_path / "file").write_text("")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/there").write_text("")
    for destination in (tmp_path / "file/images", Path("/proc/images"), tmp_path / "taken"):
        with pytest.raises(CacheError, match="the image store can't be written"):
            write_image_store(destination, images, store, workers=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]


def test_a_full_disk_leaves_nothing_behind(built: Built, tmp_path: Path) -> None:
    store = MemoryStore()
    shipped = built.ship(store)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", tmp_path], check=True)
    try:
        with pytest.raises(CacheError, match="can't be written"):
            restore(built, shipped, store, tmp_path / "images")
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)
