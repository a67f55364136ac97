"""A layer's tar becomes an overlayfs directory: needs root, GNU tar, and a file system with extended attributes."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from layercache_ci.errors import BlobDamaged, CacheError
from layercache_ci.layers.extract import CannotExtract, Owners, extract

TIME = 1_600_000_000.25


def entry(name: str, content: bytes = b"", /, **more: object) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(content), TIME, 0o644
    for key, value in more.items():
        setattr(member, key, value)
    return member, content


def directory(name: str, *, mode: int = 0o755, **more: object) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, b"", type=tarfile.DIRTYPE, mode=mode, **more)


def tar_of(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as archive:
        for member, content in entries:
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def unpack(tar: bytes, folder: Path, *, rootless: bool = False, pieces: Iterable[bytes] | None = None) -> Owners:
    digest = f"sha256:{hashlib.sha256(tar).hexdigest()}"
    folder.mkdir(exist_ok=True)
    return extract(pieces or [tar[i : i + 1000] for i in range(0, len(tar), 1000)], digest, folder, rootless=rootless)


def test_owners_modes_times_links_devices_and_attributes(tmp_path: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    owners = unpack(
        tar_of(
            directory("d", mode=0o2751, uid=7, gid=8),
            entry("d/setuid", b"x", mode=0o4755, uid=100_000, gid=9),
            entry("d/same", type=tarfile.LNKTYPE, linkname="d/setuid"),
            entry("d/absolute", type=tarfile.SYMTYPE, linkname="/etc/passwd", uid=5),
            entry("d/up", type=tarfile.SYMTYPE, linkname="../../x"),
            entry("d/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
            entry("d/fifo", type=tarfile.FIFOTYPE),
            entry("d/absolute-too", type=tarfile.LNKTYPE, linkname="d/absolute", uid=5),
            entry(
                "d/attributes",
                uid=5,
                pax_headers={
                    "SCHILY.xattr.user.mine": "value=\n",
                    "SCHILY.xattr.security.capability": capability.decode("utf-8"),
                },
            ),
        ),
        tmp_path / "x",
    )
    root = tmp_path / "x" / "d"
    status = (root / "setuid").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o4755, 100_000, 9)
    assert (root / "same").stat().st_ino == status.st_ino
    assert (stat.S_IMODE(root.stat().st_mode), root.stat().st_uid, root.stat().st_gid) == (0o2751, 7, 8)
    assert (root / "absolute").readlink() == Path("/etc/passwd")
    assert (root / "absolute-too").lstat().st_ino == (root / "absolute").lstat().st_ino
    assert (root / "up").readlink() == Path("../../x")
    assert (root / "null").stat().st_rdev == os.makedev(1, 3)
    assert stat.S_ISFIFO((root / "fifo").stat().st_mode)
    assert os.getxattr(root / "attributes", "user.mine") == b"value=\n"
    assert os.getxattr(root / "attributes", "security.capability") == capability
    assert {path.lstat().st_mtime for path in [root, *root.iterdir()]} == {TIME}
    assert owners == Owners(frozenset({0, 5, 7, 100_000}), frozenset({0, 8, 9}))


def test_whiteouts_become_overlayfs_ones_and_directories_keep_their_times(tmp_path: Path) -> None:
    unpack(
        tar_of(
            directory("d"),
            entry("d/.wh.gone"),
            directory("d/opaque"),
            entry("d/opaque/.wh..wh..opq"),
            entry("d/opaque/new", b"n"),
            entry(".wh.at-the-root"),
            directory("d/again"),
            entry("d/.wh.again"),
            entry("d/file-again", b"f"),
            entry("d/.wh.file-again"),
            entry("d/.wh..wh.plnk"),
        ),
        tmp_path / "x",
    )
    root = tmp_path / "x"
    for name in ("d/gone", "at-the-root"):
        status = (root / name).stat()
        assert stat.S_ISCHR(status.st_mode)
        assert status.st_rdev == 0
    assert os.getxattr(root / "d/opaque", "trusted.overlay.opaque") == b"y"
    assert os.getxattr(root / "d/again", "trusted.overlay.opaque") == b"y"
    assert (root / "d/file-again").read_bytes() == b"f"
    assert not os.listxattr(root / "d")
    assert sorted(path.name for path in root.rglob("*")) == [
        "again", "at-the-root", "d", "file-again", "gone", "new", "opaque",
    ]  # fmt: skip
    assert {path.stat().st_mtime for path in (root / "d", root / "d/opaque", root / "d/again")} == {TIME}


def test_a_directory_keeps_its_time_when_the_tar_comes_back_to_it(tmp_path: Path) -> None:
    unpack(tar_of(directory("a"), directory("b", mode=0o555), entry("a/late", b"1"), entry("b/late", b"2")), tmp_path)
    assert [(tmp_path / name).stat().st_mtime for name in "ab"] == [TIME, TIME]
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o555


NAMES = [
    "new\nline",
    "ünï",
    os.fsdecode(b"latin\xe9"),
    "back\\slash",
    "-dash",
    " ",
    "a" * 200,
    "*.[x]",
    "tab\t",
    "日" * 60,
]


def test_names_are_bytes(tmp_path: Path) -> None:
    unpack(tar_of(*(entry(f"d/{name}", name.encode(errors="surrogateescape")) for name in NAMES)), tmp_path / "x")
    found = {path.name: path.read_bytes() for path in (tmp_path / "x/d").iterdir()}
    assert found == {name: name.encode(errors="surrogateescape") for name in NAMES}


def test_thousands_of_hard_links_to_one_file(tmp_path: Path) -> None:
    links = (entry(f"link{i}", type=tarfile.LNKTYPE, linkname="file") for i in range(3000))
    unpack(tar_of(entry("file", b"content"), *links), tmp_path / "x")
    assert (tmp_path / "x/link2999").stat().st_nlink == 3001
    assert (tmp_path / "x/link7").read_bytes() == b"content"


@pytest.mark.parametrize("tail", [b"", bytes(300 << 10)], ids=["no end blocks", "much padding"])
def test_the_end_of_an_archive_may_be_missing_or_long(tmp_path: Path, tail: bytes) -> None:
    tar = tar_of(entry("f", b"x"))[: 4 * 512] + tail
    unpack(tar, tmp_path / "x")
    assert (tmp_path / "x/f").read_bytes() == b"x"


def test_an_empty_layer_is_an_empty_directory(tmp_path: Path) -> None:
    assert unpack(bytes(1024), tmp_path / "x") == Owners(frozenset(), frozenset())
    assert list((tmp_path / "x").iterdir()) == []


def test_nothing_is_written_outside(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("safe")
    bad = [
        tar_of(entry("../victim", b"bad")),
        tar_of(entry("out", type=tarfile.SYMTYPE, linkname=str(tmp_path)), entry("out/victim", b"bad")),
        tar_of(entry("up", type=tarfile.SYMTYPE, linkname=".."), entry("up/victim", b"bad")),
    ]
    for number, tar in enumerate(bad):
        with pytest.raises(CacheError, match="tar failed"):
            unpack(tar, tmp_path / str(number))
    unpack(tar_of(entry(str(tmp_path / "victim"), b"inside")), tmp_path / "absolute")
    assert (tmp_path / "victim").read_text() == "safe"


def test_a_tar_that_is_another_is_damaged(tmp_path: Path) -> None:
    tar = tar_of(entry("f", b"x" * 5000))
    for pieces in ([tar[:-3]], [tar[:600]], [tar, b"x"], [b"no tar " * 1000]):
        folder = tmp_path / str(len(pieces[0]) + len(pieces))
        with pytest.raises(BlobDamaged):
            unpack(tar, folder, pieces=pieces)


def test_what_no_tar_can_read_is_an_error_even_where_the_digest_fits(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="tar failed with 2: tar: This does not look like a tar archive"):
        unpack(b"no tar at all " * 5000, tmp_path / "x")


def test_an_error_of_the_source_comes_through_and_leaves_no_process(tmp_path: Path) -> None:
    def source() -> Iterable[bytes]:
        yield tar_of(entry("f", b"x"))[:512]
        raise BlobDamaged("cut")

    with pytest.raises(BlobDamaged, match="cut"):
        unpack(b"", tmp_path / "x", pieces=source())


def test_a_full_disk_is_told_from_a_bad_layer(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], check=True)
    try:
        with pytest.raises(CannotExtract, match=r"Wrote only|No space left on device"):
            unpack(tar_of(entry("f", bytes(200_000))), tmp_path / "x")
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("tar", ["/bin/busybox", "/bin/false", None], ids=["another tar", "no message", "none"])
def test_without_gnu_tar_no_layer_is_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tar: str | None
) -> None:
    (tmp_path / "env").symlink_to("/usr/bin/env")
    if tar:
        (tmp_path / "tar").symlink_to(tar)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotExtract, match="GNU tar is needed"):
        unpack(tar_of(entry("f", bytes(200_000))), tmp_path / "x")
