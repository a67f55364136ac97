"""What BuildKit takes out of a context: which trees are equal to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from layercache_ci.dockerfile.buildkit_content import Selector, content_ingredients, has_wildcards
from layercache_ci.dockerfile.content import Content
from layercache_ci.dockerfile.context import Context, walk
from layercache_ci.errors import InputError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.txt", "b.txt", "sub/c.txt", "sub/deep/d.txt", "copy/c.txt", "copy/deep/d.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(Path(name).name)
    (tmp_path / "link").symlink_to("sub")
    (tmp_path / "sub" / "inner").symlink_to("c.txt")
    (tmp_path / "copy" / "inner").symlink_to("c.txt")
    return tmp_path


def tree(root: Path, *selectors: Selector) -> str:
    content = Content(Context(root, None, tuple(walk(root, None))), None, 1)
    return content_ingredients(content, selectors)["tree"]


def explained(root: Path, selector: Selector) -> list[str]:
    content = Content(Context(root, None, tuple(walk(root, None))), None, 1)
    return sorted(name for name in content_ingredients(content, [selector]) if name != "tree")


def test_the_name_of_what_is_taken_does_not_count(root: Path) -> None:
    assert tree(root, Selector("/sub")) == tree(root, Selector("/copy"))
    assert tree(root, Selector("/sub/c.txt")) == tree(root, Selector("/copy/c.txt"))
    assert tree(root, Selector("/a.txt")) != tree(root, Selector("/b.txt"))


def test_a_link_that_is_asked_for_is_followed_and_one_within_is_not(root: Path) -> None:
    assert tree(root, Selector("/link")) == tree(root, Selector("/sub"))
    before = tree(root, Selector("/sub"))
    (root / "sub" / "inner").unlink()
    (root / "sub" / "inner").symlink_to("deep")
    assert tree(root, Selector("/sub")) != before


def test_the_mode_of_a_directory_counts_but_that_of_the_context(root: Path) -> None:
    sub, whole = tree(root, Selector("/sub")), tree(root, Selector("/"))
    root.chmod(0o700)
    assert tree(root, Selector("/")) == whole
    (root / "sub").chmod(0o700)
    assert tree(root, Selector("/sub")) != sub


def test_times_do_not_count_and_hard_links_are_files(root: Path) -> None:
    before = tree(root, Selector("/sub"))
    os.utime(root / "sub" / "c.txt", (1, 1))
    (root / "sub" / "deep" / "d.txt").unlink()
    (root / "elsewhere").write_text("d.txt")
    (root / "sub" / "deep" / "d.txt").hardlink_to(root / "elsewhere")
    assert tree(root, Selector("/sub")) == before


def test_extended_attributes_count(root: Path) -> None:
    before = tree(root, Selector("/sub"))
    os.setxattr(root / "sub" / "c.txt", "user.note", b"1")
    noted = tree(root, Selector("/sub"))
    os.setxattr(root / "sub" / "c.txt", "user.note", b"2")
    assert len({before, noted, tree(root, Selector("/sub"))}) == 3


def test_wildcards_stay_within_a_directory_and_count_names(root: Path) -> None:
    assert explained(root, Selector("/*.txt", wildcard=True)) == ["file:a.txt", "file:b.txt"]
    assert explained(root, Selector("/*/c.txt", wildcard=True)) == ["file:copy/c.txt", "file:sub/c.txt"]
    assert explained(root, Selector("/su*", wildcard=True))[0] == "file:sub"
    before = tree(root, Selector("/*.txt", wildcard=True))
    (root / "b.txt").rename(root / "z.txt")
    assert tree(root, Selector("/*.txt", wildcard=True)) != before
    assert explained(root, Selector("/nothing*", wildcard=True)) == []


def test_what_is_excluded_does_not_count(root: Path) -> None:
    selector = Selector("/sub", exclude=("deep",))
    before = tree(root, selector)
    (root / "sub" / "deep" / "d.txt").write_text("changed")
    assert tree(root, selector) == before
    (root / "sub" / "c.txt").write_text("changed")
    assert tree(root, selector) != before


def test_patterns_bring_the_directories_above_what_they_match(root: Path) -> None:
    selector = Selector("/", include=("sub/deep/d.txt",))

    assert explained(root, selector) == ["file:sub", "file:sub/deep", "file:sub/deep/d.txt"]


def test_with_patterns_a_link_at_the_top_counts_as_what_it_leads_to(root: Path) -> None:
    selector = Selector("/", exclude=("nothing",))
    before = tree(root, selector)
    (root / "link").unlink()
    (root / "link").symlink_to("copy")
    assert tree(root, selector) == before


def test_what_is_missing_is_the_engines_affair(root: Path) -> None:
    assert tree(root, Selector("/nowhere")) != tree(root, Selector("/a.txt"))
    (root / "dangling").symlink_to("nowhere")
    assert tree(root, Selector("/dangling")) == tree(root, Selector("/nowhere"))


def test_a_bad_pattern_is_named(root: Path) -> None:
    with pytest.raises(InputError, match=r'source "/\[": '):
        tree(root, Selector("/[", wildcard=True))


def test_a_backslash_makes_a_wildcard_a_name() -> None:
    assert [has_wildcards(text) for text in ("a*", "a\\*", "a\\\\*", "[", "a?", "a")] == [
        True,
        False,
        True,
        True,
        True,
        False,
    ]
