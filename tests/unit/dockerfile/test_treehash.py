from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from layercache_ci.dockerfile import treehash
from layercache_ci.dockerfile.context import Entry, Fingerprint, walk
from layercache_ci.dockerfile.treehash import StatCache, hash_files
from layercache_ci.errors import InputError


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "a").write_bytes(b"text")
    (root / "d/empty").write_bytes(b"")
    (root / "d/large").write_bytes(b"0123456789" * 300_000)
    (root / "link").symlink_to("a")
    os.mkfifo(root / "fifo")
    return root


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were read, as they are."""
    seen: list[str] = []
    hash_file = treehash._hash_file

    def watched(base: Path, entry: Entry) -> tuple[str, Fingerprint]:
        seen.append(entry.path)
        return hash_file(base, entry)

    monkeypatch.setattr(treehash, "_hash_file", watched)
    return seen


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is a minute ahead of the files."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 60 * 10**9)


def hashed(root: Path, cache: StatCache | None = None) -> dict[str, str]:
    return hash_files(root, walk(root, None), cache=cache, workers=2)


def test_content_decides(root: Path) -> None:
    assert hashed(root) == {
        "a": sha256(b"text"),
        "d/empty": sha256(b""),
        "d/large": sha256(b"0123456789" * 300_000),
        "fifo": sha256(b"fifo"),
    }


def test_many_files_in_order(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:03}").write_text(str(number))
    assert list(hashed(tmp_path).items()) == [(f"{number:03}", sha256(str(number).encode())) for number in range(300)]


@pytest.mark.usefixtures("later")
def test_what_is_known_is_not_read_again(root: Path, tmp_path: Path, reads: list[str]) -> None:
    cache = StatCache(tmp_path / "cache")
    first = hashed(root, cache)
    assert sorted(reads) == ["a", "d/empty", "d/large"]
    reads.clear()
    assert hashed(root, StatCache(tmp_path / "cache")) == first
    assert reads == []


@pytest.mark.usefixtures("later")
def test_a_file_that_changed_is_read_again(root: Path, tmp_path: Path, reads: list[str]) -> None:
    cache = StatCache(tmp_path / "cache")
    hashed(root, cache)
    before = (root / "a").stat()
    reads.clear()
    (root / "a").write_bytes(b"TEXT")
    os.utime(root / "a", ns=(before.st_atime_ns, before.st_mtime_ns))  # as some tools do: only the ctime tells
    assert hashed(root, cache)["a"] == sha256(b"TEXT")
    assert reads == ["a"]


def test_a_file_that_was_just_touched_is_not_trusted(root: Path, tmp_path: Path, reads: list[str]) -> None:
    cache = StatCache(tmp_path / "cache")
    hashed(root, cache)
    reads.clear()
    hashed(root, cache)
    assert sorted(reads) == ["a", "d/empty", "d/large"]


@pytest.mark.usefixtures("later")
def test_a_file_that_changes_between_walk_and_reading_is_not_cached(root: Path, tmp_path: Path) -> None:
    cache = StatCache(tmp_path / "cache")
    entries = walk(root, None)
    (root / "a").write_bytes(b"longer text")
    assert hash_files(root, entries, cache=cache, workers=1)["a"] == sha256(b"longer text")
    assert sorted(StatCache(tmp_path / "cache").load(root)) == ["d/empty", "d/large"]


@pytest.mark.usefixtures("later")
def test_steps_of_one_build_read_the_cache_once(root: Path, tmp_path: Path, reads: list[str]) -> None:
    cache = StatCache(tmp_path / "cache")
    entries = walk(root, None)
    for entry in entries:
        hash_files(root, [entry], cache=cache, workers=1)
    for path in (tmp_path / "cache").iterdir():
        path.unlink()
    reads.clear()
    hash_files(root, entries, cache=cache, workers=1)
    assert reads == []


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("damage", [b"", b"nonsense", b"flip", b"truncate", b"not json"])
def test_a_damaged_cache_is_an_empty_one(root: Path, tmp_path: Path, reads: list[str], damage: bytes) -> None:
    cache = StatCache(tmp_path / "cache")
    first = hashed(root, cache)
    (file,) = (tmp_path / "cache").iterdir()
    data = file.read_bytes()
    at = data.index(first["a"].encode())
    flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    written = {b"flip": flipped, b"truncate": data[:-3], b"not json": sha256(b"{").encode() + b"\n{"}
    file.write_bytes(written.get(damage, damage))
    reads.clear()
    assert hashed(root, StatCache(tmp_path / "cache")) == first
    assert len(reads) == 3
    reads.clear()
    assert hashed(root, StatCache(tmp_path / "cache")) == first
    assert reads == []


@pytest.mark.usefixtures("later")
def test_a_cache_that_cannot_be_written_is_none(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert hashed(root, StatCache(tmp_path / "file/cache")) == hashed(root)


@pytest.mark.usefixtures("later")
def test_what_nobody_asks_for_is_forgotten(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed(root, StatCache(tmp_path / "cache"))
    (root / "d/large").unlink()
    other_context = tmp_path / "cache/other"
    other_context.touch()
    os.utime(other_context, (time.time() - 40 * 86400,) * 2)
    now = time.time()
    for days, left in ((20, ["a", "d/empty", "d/large"]), (40, ["a", "d/empty"])):
        monkeypatch.setattr(time, "time", lambda days=days: now + days * 86400)
        hashed(root, StatCache(tmp_path / "cache"))
        assert sorted(StatCache(tmp_path / "cache").load(root)) == left
    assert not other_context.exists()


@pytest.mark.usefixtures("later")
def test_several_may_share_it(root: Path, tmp_path: Path) -> None:
    wrong: list[object] = []

    def build() -> None:
        for _ in range(5):
            result = hashed(root, StatCache(tmp_path / "cache"))
            wrong.extend([result] if result["a"] != sha256(b"text") else [])

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("replacement", ["nothing", "link", "directory"])
def test_a_file_that_is_gone_is_named(root: Path, replacement: str) -> None:
    entries = walk(root, None)
    (root / "d/empty").unlink()
    if replacement == "link":
        (root / "d/empty").symlink_to("/etc/passwd")
    elif replacement == "directory":
        (root / "d/empty").mkdir()
    with pytest.raises(InputError, match=r'file "d/empty" of the build context: .*; make it readable'):
        hash_files(root, entries, cache=None, workers=2)
