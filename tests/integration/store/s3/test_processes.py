"""S3 with many writers at once, and with killed ones."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

from layercache_ci.layers.model import ZSTD_LAYER
from layercache_ci.store.model import Match
from layercache_ci.store.s3 import S3Store
from layercache_ci.store.s3_connection import Connection
from layercache_ci.store.s3_settings import S3Settings
from tests.contract.s3 import OWN, client, options
from tests.contract.samples import NAMESPACE, put_blob, record, save, step
from tests.integration.store.s3.conftest import Place
from tests.integration.store.test_processes import chain_of, check_all_is_held, run_all
from tests.lab.s3 import BUCKET

REPOSITORY = Path(__file__).parents[4]
PROCESSES = 10
TURNS = 2
MIB = 1 << 20


def save_many(url: str, prefix: str, folder: Path, number: int) -> None:
    connection = Connection(S3Settings(BUCKET, prefix, options(url)))
    store = S3Store(connection, folder=folder, scopes=OWN)
    for turn in range(TURNS):
        save(store, chain_of(number, turn), created=f"2026-01-01T00:{number:02}:{turn:02}Z")


def test_ten_processes_save_overlapping_chains_at_once(place: Place) -> None:
    spawn = multiprocessing.get_context("spawn")
    prefix = place.settings.prefix
    run_all(
        *(spawn.Process(target=save_many, args=(place.url, prefix, place.folder, each)) for each in range(PROCESSES))
    )
    check_all_is_held(place.open(), PROCESSES, TURNS)


ENDLESS = """
import os, pathlib, sys
from layercache_ci.store.s3 import S3Store
from layercache_ci.store.s3_connection import Connection
from layercache_ci.store.s3_settings import S3Settings
from tests.contract.s3 import OWN, options
url, bucket, prefix, folder, calls = sys.argv[1:]
connection = Connection(S3Settings(bucket, prefix, options(url)))
left = int(calls)
def kill(**_):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
connection.client.meta.events.register("before-send.s3", kill)
with S3Store(connection, folder=pathlib.Path(folder), scopes=OWN).new_blob("x") as writer:
    for turn in range(20):
        writer.write(bytes([turn]) * (1 << 20))
    writer.commit()
print("committed")
"""


def kill_an_upload(place: Place, calls: int) -> bool:
    """Whether a process that uploads 20 MiB in three parts was killed after so many requests."""
    spool = place.folder / "spool"
    arguments = (place.url, BUCKET, place.settings.prefix, str(spool), str(calls))
    done = subprocess.run([sys.executable, "-c", ENDLESS, *arguments], cwd=REPOSITORY, capture_output=True, check=False)
    assert done.returncode in (0, -9), done.stderr.decode()
    assert not any(spool.iterdir()), "what is on its way goes with its process"
    return done.returncode == -9


def test_killed_in_the_middle_of_an_upload(place: Place) -> None:
    """Before the multipart upload begins, before each of its parts, and before it is completed."""
    store = place.open()
    saved = save(store, [("a", b"1"), ("b", b"2")])
    for calls in range(5):
        assert kill_an_upload(place, calls)
        assert store.stats().blobs == 2
        assert store.lookup(NAMESPACE, ["a", "b"]) == Match(saved, 2)
    assert not kill_an_upload(place, 5)
    assert store.stats().blobs == 3


def test_killed_between_the_record_and_what_leads_to_it(place: Place) -> None:
    store = place.open()
    saved = save(store, [("a", b"1")])
    other = record(step("a", [put_blob(store, b"1")]), step("c", [put_blob(store, b"3")]), stage="app")
    code = (
        ENDLESS.partition("with S3Store")[0]
        + "from tests.contract.samples import put_blob, record, step\n"
        + "store = S3Store(connection, folder=pathlib.Path(folder), scopes=OWN)\n"
        + "a, c = put_blob(store, b'1'), put_blob(store, b'3')\n"
        + "store.put_record(record(step('a', [a]), step('c', [c]), stage='app'))\n"
    )
    killed = 0
    for calls in range(20):
        arguments = (place.url, BUCKET, place.settings.prefix, str(place.folder), str(calls))
        done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=REPOSITORY, check=False)
        match = store.lookup(NAMESPACE, ["a", "c"])
        assert match in (Match(saved, 1), Match(other, 2))
        if done.returncode == 0:
            break
        killed += 1
    assert killed > 5
    assert store.lookup(NAMESPACE, ["a", "c"]) == Match(other, 2)
    assert store.newest(NAMESPACE, "app") == other


def test_a_large_blob_goes_and_comes_in_parts(place: Place) -> None:
    store = place.open()
    with store.new_blob(ZSTD_LAYER) as writer:
        for turn in range(70):
            writer.write(bytes([turn]) * MIB + b"x")
        blob = writer.commit()
    assert store.calls["UploadPart"] == 9
    with store.open_blob(blob) as stream:
        for turn in range(70):
            assert stream.read(MIB + 1) == bytes([turn]) * MIB + b"x"
        assert stream.read() == b""
    assert store.calls["GetObject"] == 5
    expected = b"".join(bytes([turn]) * MIB + b"x" for turn in range(70))[33 * MIB : 33 * MIB + 40]
    assert store.read_range(blob, 33 * MIB, 40) == expected
    uploads = client("minio").list_multipart_uploads(Bucket=BUCKET, Prefix=place.settings.prefix)
    assert "Uploads" not in uploads
