from __future__ import annotations

import gzip
from pathlib import Path

from layercache_ci.dockerfile.content import MOST_EXPLAINED, Content, single
from layercache_ci.dockerfile.context import Context, walk


def content(root: Path) -> Content:
    return Content(Context(root, None, tuple(walk(root, None))), None, 1)


def ingredients(root: Path, source: str = ".", *, mode: str | None = None) -> dict[str, str]:
    found = content(root)
    return found.ingredients(found.items(source), mode=mode)


def explained(found: dict[str, str]) -> list[str]:
    return sorted(name for name in found if name != "tree")


def test_each_file_explains_a_change(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("a", "folder/b"):
        (tmp_path / name).write_text(name)
    before = ingredients(tmp_path)
    (tmp_path / "a").write_text("changed")
    after = ingredients(tmp_path)

    assert explained(before) == ["file:a", "file:folder", "file:folder/b"]
    assert {name for name in before if before[name] != after[name]} == {"tree", "file:a"}


def test_many_files_are_explained_by_their_folders(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for number in range(MOST_EXPLAINED // 2):
            (tmp_path / folder / str(number)).write_text("")
    before = ingredients(tmp_path)
    (tmp_path / "one" / "1").write_text("changed")
    after = ingredients(tmp_path)

    assert explained(before) == ["file:./", "file:one/", "file:two/"]
    assert {name for name in before if before[name] != after[name]} == {"tree", "file:one/"}


def test_a_mode_from_outside_replaces_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    found = []
    for mode in (0o644, 0o755):
        (tmp_path / "a").chmod(mode)
        found += [ingredients(tmp_path)["tree"], ingredients(tmp_path, mode="600")["tree"]]

    assert found[0] != found[2]
    assert found[1] == found[3]


def test_what_add_would_unpack_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "data.gz").write_bytes(gzip.compress(b"data"))
    (tmp_path / "old.tar").write_bytes(bytes(257) + b"ustar\x0000")
    (tmp_path / "named.tar.gz").write_text("no archive")
    (tmp_path / "empty").write_bytes(b"")
    found = content(tmp_path)

    names = ("data.gz", "old.tar", "named.tar.gz", "empty")
    assert [found.is_archive(found.items(name)[0]) for name in names] == [True, True, False, False]


def test_a_source_that_is_absent_is_the_engines_affair(tmp_path: Path) -> None:
    assert content(tmp_path).items("nowhere") == []
    assert single(tmp_path / "nowhere").entries == ()
