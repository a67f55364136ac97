from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from layercache_ci.engines.containers.storage import Storage, StoredImage, big_data_file, holds_more_than_images
from layercache_ci.errors import CacheError

IMAGE_ID = "ab" + "0" * 62
OTHER_ID = "ac" + "0" * 62
CONFIG = b'{"rootfs": {"diff_ids": ["sha256:1"]}, "history": []}'
BIG_DATA = {f"sha256:{IMAGE_ID}": CONFIG, "manifest": b'{ "spaced":1}\n', "signature-1": b"\xff\x00", "empty": b""}


def layer(layer_id: str, parent: str | None = None, **more: object) -> dict[str, object]:
    entry: dict[str, object] = {"id": layer_id, "diff-digest": f"sha256:{layer_id}", "diff-size": 1024, **more}
    return entry | ({"parent": parent} if parent else {})


def image(image_id: str, top: str | None, *names: str, big_data: tuple[str, ...] = ()) -> dict[str, object]:
    entry: dict[str, object] = {
        "id": image_id,
        "digest": "sha256:d",
        "names": list(names),
        "created": "2026-01-01T00:00:00Z",
    }
    return entry | {"big-data-names": list(big_data), "metadata": "{}"} | ({"layer": top} if top else {})


def make_root(root: Path, images: list[Any], layers: list[Any], volatile: list[Any] | None = None) -> Path:
    for folder in ("overlay-images", "overlay-layers"):
        (root / folder).mkdir(parents=True)
    (root / "overlay-images" / "images.json").write_text(json.dumps(images))
    (root / "overlay-layers" / "layers.json").write_text(json.dumps(layers))
    if volatile is not None:
        (root / "overlay-layers" / "volatile-layers.json").write_text(json.dumps(volatile))
    return root


def fill(root: Path, image_id: str) -> None:
    (root / "overlay-images" / image_id).mkdir()
    for name, data in BIG_DATA.items():
        (root / "overlay-images" / image_id / big_data_file(name)).write_bytes(data)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    images = [
        image(IMAGE_ID, "3", "localhost/app:latest", "localhost/app:1", big_data=tuple(BIG_DATA)),
        image(OTHER_ID, None, "localhost/empty:latest"),
    ]
    layers = [layer("3", "2"), layer("9", flags={"incomplete": True}), layer("5", "4")]
    root = make_root(tmp_path / "root", images, layers, volatile=[layer("2", "1")])
    fill(root, IMAGE_ID)
    below = make_root(tmp_path / "below", [image("ad", "1", "localhost/base:latest")], [layer("1"), layer("3")])
    (below / "overlay-layers" / "1.tar-split.gz").write_bytes(b"x")
    return Storage(root, [below, tmp_path / "absent"])


def test_an_image_comes_with_all_its_bytes(storage: Storage) -> None:
    found = storage.image(IMAGE_ID)
    assert found.big_data == BIG_DATA
    assert found.names == ("localhost/app:latest", "localhost/app:1")
    assert found.config["history"] == []
    assert found.diff_ids == ("sha256:1",)
    assert storage.image("ab") == storage.image_by_name("localhost/app:1") == found


@pytest.mark.parametrize("image_id", ["", "a", "b", "ab1"])
def test_an_id_that_means_no_image_or_several_is_an_error(storage: Storage, image_id: str) -> None:
    with pytest.raises(CacheError, match="images in the engine's storage"):
        storage.image(image_id)


def test_a_chain_is_base_first_and_goes_through_additional_stores(storage: Storage, tmp_path: Path) -> None:
    assert [found.id for found in storage.layers("3")] == ["1", "2", "3"]
    assert storage.layers(None) == storage.layers(storage.image(OTHER_ID).top_layer) == ()
    assert storage.layers("3")[2].parent == "2"
    assert storage.layers("3")[2].raw["diff-size"] == 1024
    assert storage.layer_dir("3") == tmp_path / "root/overlay/3/diff"
    assert storage.layer_dir("1") == tmp_path / "below/overlay/1/diff"
    assert storage.tar_split("1") == tmp_path / "below/overlay-layers/1.tar-split.gz"
    assert storage.tar_split("2") is None


@pytest.mark.parametrize("top", ["5", "9", "x"], ids=["parent absent", "incomplete", "absent"])
def test_a_broken_chain_is_an_error(storage: Storage, top: str) -> None:
    with pytest.raises(CacheError, match="has no layer"):
        storage.layers(top)


def test_what_is_absent_or_unreadable_is_an_error(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="no image in the engine's storage is named localhost/nothing"):
        storage.image_by_name("localhost/nothing")
    (tmp_path / "root/overlay-images" / IMAGE_ID / "manifest").unlink()
    with pytest.raises(CacheError, match="can't be read"):
        storage.image(IMAGE_ID)
    (tmp_path / "root/overlay-layers/layers.json").write_text("[{")
    with pytest.raises(CacheError, match=r"layers\.json"):
        Storage(tmp_path / "root")


def test_a_storage_without_anything_is_empty(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="no images"):
        Storage(tmp_path).image("a")


def test_an_image_survives_json_byte_for_byte(storage: Storage) -> None:
    found = storage.image(IMAGE_ID)
    value = json.loads(json.dumps(found.to_json()))
    assert StoredImage.from_json(value) == found
    assert value["big_data"]["manifest"] == '{ "spaced":1}\n'
    assert value["big_data"]["signature-1"] == {"base64": "/wA="}


@pytest.mark.parametrize(
    "change",
    [{"names": None}, {"big_data": {"manifest": 3}}, {"big_data": {"manifest": {"base64": "="}}}, {"big_data": []}],
)
def test_a_damaged_image_value_is_an_error(storage: Storage, change: dict[str, object]) -> None:
    value = storage.image(IMAGE_ID).to_json()
    with pytest.raises(CacheError, match="no usable image"):
        StoredImage.from_json(value | change)
    value.pop("digest")
    with pytest.raises(CacheError, match="digest"):
        StoredImage.from_json(value)


def test_an_image_without_a_config_says_so(storage: Storage) -> None:
    with pytest.raises(CacheError, match="no readable config"):
        _ = storage.image(OTHER_ID).config


def test_file_names_of_big_data_are_those_of_the_storage() -> None:
    assert big_data_file("manifest") == "manifest"
    assert big_data_file("sha256:ab") == "=" + base64.b64encode(b"sha256:ab").decode()
    assert big_data_file("Signature") == "=U2lnbmF0dXJl"
    assert big_data_file("é") == "=w6k="


@pytest.mark.parametrize(
    ("file", "text", "more"),
    [
        ("overlay-containers/containers.json", '[{"id": "1"}]', True),
        ("overlay-containers/containers.json", "[]", False),
        ("overlay-containers/volatile-containers.json", '[{"id": "1"}]', True),
        ("overlay-containers/containers.json", "[", True),
        ("volumes/mine/_data", "", True),
        ("volumes/backingFsBlockDev", "", False),
        ("secrets/secrets.json", '{"secrets": {"1": {"name": "mine"}}}', True),
        ("secrets/secrets.json", '{"secrets": {}, "nameToID": {}}', False),
        ("secrets/secrets.json", "[]", True),
        ("networks/mine.json", "{}", True),
        ("networks/netavark.lock", "", False),
        ("overlay-images/images.json", '[{"id": "1"}]', False),
    ],
)
def test_a_storage_may_hold_more_than_images(tmp_path: Path, file: str, text: str, *, more: bool) -> None:
    """Unless it can be told that it does not, it does."""
    assert not holds_more_than_images(tmp_path / "graph")
    path = tmp_path / "graph" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert holds_more_than_images(tmp_path / "graph") is more
