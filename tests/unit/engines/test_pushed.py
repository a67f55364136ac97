"""The engine's own database of compressed forms, and the record that the store keeps of it."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from layercache_ci.engines.containers.pushed import Database, Form, Pushed
from layercache_ci.errors import CacheError
from layercache_ci.settings import Machine
from layercache_ci.store import StoreChoice, open_store
from layercache_ci.store.model import Step, StepRecord, Store

LAYERS = tuple(f"sha256:{number:064x}" for number in range(3))
BLOBS = tuple(f"sha256:{number + 100:064x}" for number in range(3))
HOST = "registry.example:5000"
APP = f"{HOST}/team/app"
FORMS = frozenset(Form(layer, blob, "gzip", HOST, APP) for layer, blob in zip(LAYERS, BLOBS, strict=True))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "containers/cache/blob-info-cache-v1.sqlite")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(StoreChoice(f"local:{tmp_path / 'store'}", tmp_path, ("main",), "main"))


APP_IMAGE = Pushed("containers-1.43", "image", (f"{APP}:1", "localhost/app"))


@pytest.mark.parametrize(
    ("uid", "environment", "folder"),
    [
        (0, {}, "/var/lib/containers/cache"),
        (0, {"XDG_DATA_HOME": "/data", "HOME": "/root"}, "/var/lib/containers/cache"),
        (1000, {"HOME": "/home/me"}, "/home/me/.local/share/containers/cache"),
        (1000, {"HOME": "/home/me", "XDG_DATA_HOME": "/data"}, "/data/containers/cache"),
        (0, {"HOME": "/home/me", "_CONTAINERS_USERNS_CONFIGURED": "done"}, "/home/me/.local/share/containers/cache"),
    ],
)
def test_it_is_where_the_engine_has_it(uid: int, environment: dict[str, str], folder: str) -> None:
    found = Database.of(Machine(environment, uid, 1, terminal=False))
    assert found.path.parent == Path(folder)


def test_what_one_machine_has_pushed_another_is_told(store: Store, database: Database, tmp_path: Path) -> None:
    other = Database(tmp_path / "other/db.sqlite")
    database.add(FORMS)
    assert APP_IMAGE.save(database, store, LAYERS) == 1
    assert APP_IMAGE.restore(other, store) == FORMS
    assert other.forms(LAYERS, {APP}) == FORMS


def test_nothing_is_known_of_another_image(store: Store, database: Database) -> None:
    database.add(FORMS)
    APP_IMAGE.save(database, store, LAYERS)
    assert replace(APP_IMAGE, image="another").restore(database, store) == frozenset()


def test_only_the_images_own_layers_and_repositories_are_kept(store: Store, database: Database, tmp_path: Path) -> None:
    """Of a machine that others use too."""
    own = next(iter(FORMS))
    elsewhere = replace(own, scope="other.example", location="other.example/secret")
    chunked = replace(own, digest=f"sha256:{'c' * 64}", compressor="zstd:chunked")
    database.add({*FORMS, elsewhere, chunked})
    APP_IMAGE.save(database, store, (own.diff_id,))
    assert APP_IMAGE.restore(Database(tmp_path / "other/db.sqlite"), store) == {own}


def test_what_the_store_knows_already_is_not_saved_again(store: Store, database: Database) -> None:
    database.add(FORMS)
    assert APP_IMAGE.save(database, store, LAYERS, FORMS) == 0
    assert APP_IMAGE.save(database, store, LAYERS[:2], FORMS) == 0
    assert APP_IMAGE.save(database, store, LAYERS, FORMS - {next(iter(FORMS))}) == 1


def test_without_a_database_there_is_nothing_to_save(store: Store, database: Database) -> None:
    assert APP_IMAGE.save(database, store, LAYERS) == 0
    assert not database.path.exists()


def test_what_the_engine_knows_itself_stays(database: Database) -> None:
    """Its own tables have more columns than ours need, or others may come."""
    database.add(FORMS)
    first = next(iter(FORMS))
    database.add({replace(first, compressor="zstd", diff_id=f"sha256:{'d' * 64}")})
    assert database.forms(LAYERS, {APP}) == FORMS


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        [None],
        [{"diff_id": LAYERS[0]}],
        [{**asdict(Form(LAYERS[0], BLOBS[0], "gzip", HOST, APP)), "more": 1}],
        [asdict(Form(LAYERS[0], "sha256:short", "gzip", HOST, APP))],
        [asdict(Form(LAYERS[0], BLOBS[0], "rot13", HOST, APP))],
        [{**asdict(Form(LAYERS[0], BLOBS[0], "gzip", HOST, APP)), "location": 7}],
    ],
)
def test_a_record_that_is_not_what_it_should_be_tells_nothing(store: Store, database: Database, value: object) -> None:
    step = Step("key", "push", "", {}, engine={"forms": value})
    store.put_record(StepRecord(APP_IMAGE.namespace, APP_IMAGE.stage, (step,), "2026-01-01T00:00:00+00:00", "test"))
    assert APP_IMAGE.restore(database, store) == frozenset()
    assert database.forms(LAYERS, {APP}) == frozenset()


def test_a_database_that_is_none_or_has_other_tables_is_a_fault_of_the_cache(database: Database) -> None:
    database.path.parent.mkdir(parents=True)
    database.path.write_text("this is no database, and it is longer than the header of one: " + "." * 200)
    with pytest.raises(CacheError, match="blob-info-cache"):
        database.forms(LAYERS, {APP})
    with pytest.raises(CacheError, match="blob-info-cache"):
        database.add(FORMS)
    database.path.unlink()
    with sqlite3.connect(database.path) as connection:
        connection.execute("CREATE TABLE DigestCompressors(something TEXT)")
    with pytest.raises(CacheError, match="blob-info-cache"):
        database.add(FORMS)


def test_a_folder_that_cant_be_made_is_one_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="file"):
        Database(tmp_path / "file/db.sqlite").add(FORMS)
