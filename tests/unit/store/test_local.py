"""What is the local store's own: its folder, its faults, its cheap collect."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from layercache_ci.errors import BlobNotFound, InputError, StoreUnavailable
from layercache_ci.layers.model import ZSTD_LAYER
from layercache_ci.store import StoreChoice, open_store
from layercache_ci.store import folder as folder_module
from layercache_ci.store.blocks import BLOCK, BlockHasher, sidecar_size
from layercache_ci.store.local import LocalStore
from layercache_ci.store.model import Store
from tests.contract.samples import NAMESPACE, descriptor_of, put_blob, read_blob, record, save, step


def test_a_store_is_opened_without_a_trace(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "a/b")
    assert store.lookup(NAMESPACE, ["a"]) is None
    assert store.collect() == 0
    store.touch(record(step("a")), 1)
    assert list(tmp_path.iterdir()) == []


def chosen(location: str, folder: Path = Path("d")) -> StoreChoice:
    return StoreChoice(location, folder, ("default",), "default")


def test_locations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store(chosen("local", tmp_path / "d")).location == f"local:{tmp_path}/d"
    assert open_store(chosen("local:x/y")).location == f"local:{tmp_path}/x/y"
    assert open_store(chosen("local:/x:y")).location == "local:/x:y"


@pytest.mark.parametrize("location", ["", "local:", "locale", "ftp://x", "/var/cache"])
def test_a_wrong_location_is_named_with_the_forms_that_exist(location: str) -> None:
    with pytest.raises(InputError) as caught:
        open_store(chosen(location))
    assert repr(location) in str(caught.value)
    assert "local, local:DIR" in str(caught.value)
    assert "\n" not in str(caught.value)


def calls(store: Store) -> list[object]:
    blob = descriptor_of(b"x")
    return [
        lambda: store.lookup(NAMESPACE, ["a"]),
        lambda: store.newest(NAMESPACE, "app"),
        lambda: store.put_record(record(step("a"))),
        lambda: store.contains([blob.digest]),
        lambda: store.open_blob(blob),
        lambda: store.read_range(blob, 0, 1),
        lambda: store.new_blob(ZSTD_LAYER),
        lambda: store.touch(record(step("a")), 1),
        store.stats,
        store.collect,
        lambda: list(store.records()),
    ]


@pytest.mark.parametrize("number", range(11))
@pytest.mark.parametrize("where", ["", "/lc1"])
def test_a_file_in_the_folders_place(tmp_path: Path, number: int, where: str) -> None:
    place = Path(f"{tmp_path}/store{where}")
    place.parent.mkdir(exist_ok=True)
    place.write_text("in the way")
    call = calls(LocalStore(tmp_path / "store"))[number]
    assert callable(call)
    with pytest.raises(StoreUnavailable, match="a file stands where a folder should be") as caught:
        call()
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert place.read_text() == "in the way"


def test_a_store_that_vanishes_half_way(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    saved = save(store, [("a", b"1")])
    with store.new_blob(ZSTD_LAYER) as writer:
        writer.write(b"2")
        (tmp_path / "store").rename(tmp_path / "elsewhere")
        with pytest.raises(StoreUnavailable, match="removed meanwhile"):
            writer.commit()
    assert store.lookup(NAMESPACE, ["a"]) is None
    with pytest.raises(BlobNotFound):
        store.put_record(saved)
    assert read_blob(store, put_blob(store, b"3")) == b"3"


def test_a_pointer_that_is_none(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    saved = save(store, [("a", b"1")])
    for pointer in (tmp_path / "lc1/scopes").glob("*/*"):
        pointer.unlink()
        pointer.write_text("no link")
    assert store.lookup(NAMESPACE, ["a"]) is None
    assert store.put_record(saved)
    assert store.lookup(NAMESPACE, ["a"]) is not None


def test_a_sidecar_that_is_gone_or_cut_makes_the_blob_ship_again(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for cut in (0, 7, 20, 40, 71):
        blob = put_blob(store, b"x" * (BLOCK + 1))
        sidecar = next((tmp_path / "lc1/blobs/sha256").glob("*.blocks"))
        assert sidecar.stat().st_size == sidecar_size(BLOCK + 1) == 72
        os.truncate(sidecar, cut)
        assert store.contains([blob.digest]) == frozenset()
        put_blob(store, b"x" * (BLOCK + 1))
        assert store.contains([blob.digest]) == {blob.digest}


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_a_sidecar_has_a_digest_for_each_block(size: int) -> None:
    hasher = BlockHasher()
    hasher.update(memoryview(bytes(size)))
    assert len(hasher.sidecar()) == sidecar_size(size) == 8 + 32 * ((size + BLOCK - 1) // BLOCK)


def test_leftovers_of_killed_writers_go_when_they_are_old(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    put_blob(store, b"1")
    old, fresh, link = (tmp_path / "lc1/tmp" / name for name in ("old", "fresh", "link"))
    old.write_bytes(b"x")
    fresh.write_bytes(b"x")
    link.symlink_to("nowhere")
    hours_ago = time.time() - 7200
    os.utime(old, (hours_ago, hours_ago))
    os.utime(link, (hours_ago, hours_ago), follow_symlinks=False)
    store.collect()
    assert list((tmp_path / "lc1/tmp").iterdir()) == [fresh]


def test_far_under_its_limit_a_store_is_not_counted_again(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    put_blob(store, b"1")
    store.collect()
    stranger = tmp_path / "lc1/records/stranger"
    stranger.parent.mkdir()
    stranger.write_bytes(b"a count would find and remove this")
    store.collect()
    assert stranger.exists()
    (tmp_path / "lc1/size").write_text("damaged")
    store.collect()
    assert not stranger.exists()


def test_the_counted_size_is_never_too_small(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.collect()
    put_blob(store, b"0" * 5000)
    store.collect()
    for number in range(5):
        save(store, [(str(number), bytes([number]) * 5000)])
        assert int((tmp_path / "lc1/size").read_text()) >= store.stats().size


def test_a_lock_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "LOCK_PATIENCE", 0.05)
    store = LocalStore(tmp_path)
    save(store, [("a", b"1")])
    with folder_module.Folder(tmp_path).lock():
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            store.put_record(record(step("b")))
        assert store.lookup(NAMESPACE, ["a"]) is not None
    assert store.put_record(record(step("b")))


def test_many_threads_save_at_once(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    start = threading.Barrier(8)
    faults: list[Exception] = []

    def work(number: int) -> None:
        start.wait()
        try:
            for turn in range(5):
                save(store, [("a", b"shared"), (f"b{number}", b"%d" % turn), (f"c{number}.{turn}", b"shared too")])
        except Exception as error:  # noqa: BLE001 - the test's own thread says it
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    for number in range(8):
        for turn in range(5):
            match = store.lookup(NAMESPACE, ["a", f"b{number}", f"c{number}.{turn}"])
            assert match is not None
            assert match.depth == 3
