"""COPY and ADD: what counts of the files that they take, and of their flags."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
from collections.abc import Callable

from tests.e2e.row import BASE, File, Folder, HardLink, Link, Node, Row


def archive(content: str, *, time: int = 0, compress: Callable[[bytes], bytes] = gzip.compress) -> bytes:
    """A compressed tar of one file, `packed`."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as writer:
        member = tarfile.TarInfo("packed")
        member.size, member.mtime = len(content), time
        writer.addfile(member, io.BytesIO(content.encode()))
    return compress(tar.getvalue())


TREE: dict[str, Node] = {"src/a": "a", "src/b": "b", "src/sub/c": "c"}


def copy(name: str, line: str, files: dict[str, Node], then: dict[str, Node | None], expect: str, **result: str) -> Row:
    """One COPY or ADD between two RUN."""
    text = f"FROM {BASE}\nRUN echo before > /before\n{line}\nRUN echo after > /after\n"
    return Row(
        name=name, dockerfile=text, files=files, then_files=then, expect=expect,
        result={f"/{path.replace('_', '/')}": content for path, content in result.items()},
    )  # fmt: skip


ROWS = (
    copy("a file changes", "COPY src/a /dst/", TREE, {"src/a": "A"}, "hmm", dst_a="A"),
    copy("another file changes", "COPY src/a /dst/", TREE, {"src/b": "B"}, "hhh", dst_a="a"),
    copy("a file in a folder changes", "COPY src /dst", TREE, {"src/sub/c": "C"}, "hmm", dst_sub_c="C"),
    copy("a file is written anew with the same content", "COPY src /dst", TREE, {"src/a": "a"}, "hhh"),
    copy("a file becomes executable", "COPY src /dst", TREE, {"src/a": File("a", 0o755)}, "hmm"),
    copy("a file in a folder is renamed", "COPY src /dst", TREE, {"src/a": None, "src/z": "a"}, "hmm", dst_z="a"),
    copy("a file moves in a tree", "COPY src /dst", TREE, {"src/a": None, "src/sub/a": "a"}, "hmm", dst_sub_a="a"),
    copy("an empty folder comes", "COPY src /dst", TREE, {"src/new": Folder()}, "hmm"),
    copy("a file comes", "COPY src /dst", TREE, {"src/new": "new"}, "hmm", dst_new="new"),
    copy("a file goes", "COPY src /dst", TREE, {"src/b": None}, "hmm", dst_a="a"),
    copy("the mode of the copied folder itself", "COPY src /dst", TREE, {"src": Folder(0o700)}, "hhh"),
    copy("the mode of a folder inside", "COPY src /dst", TREE, {"src/sub": Folder(0o700)}, "hmm"),
    copy("the whole context", "COPY . /dst", TREE, {"new": "new"}, "hmm", dst_new="new"),
    copy("setuid, which is not taken over", "COPY src /dst", TREE, {"src/a": File("a", 0o4644)}, "hhh"),
    copy("the sticky bit", "COPY src /dst", TREE, {"src/a": File("a", 0o1644)}, "hmm"),
    copy("ADD of a file", "ADD src/a /dst/", TREE, {"src/a": "A"}, "hmm", dst_a="A"),
    copy("ADD of a folder", "ADD src /dst", TREE, {"src/a": "A"}, "hmm", dst_a="A"),
    copy(
        "a wildcard, a file that matches comes",
        "COPY src/*.txt /dst/",
        {"src/a.txt": "a", "src/b": "b"},
        {"src/c.txt": "c"},
        "hmm",
        **{"dst_c.txt": "c"},
    ),
    copy(
        "a wildcard, a file that does not match comes",
        "COPY src/*.txt /dst/",
        {"src/a.txt": "a", "src/b": "b"},
        {"src/c": "c"},
        "hhh",
    ),
    copy("a wildcard over folders", "COPY src/*/c /dst/", TREE, {"src/sub/c": "C"}, "hmm", dst_c="C"),
    copy("several sources", "COPY src/a src/b /dst/", TREE, {"src/b": "B"}, "hmm", dst_b="B"),
    copy(
        "the source is a link whose target changes",
        "COPY link /dst",
        {"link": Link("real"), "real": "1"},
        {"real": "2"},
        "hmm",
        dst="2",
    ),
    copy(
        "the source is a link to another file of the same content",
        "COPY link /dst",
        {"link": Link("one"), "one": "1", "two": "1"},
        {"link": Link("two")},
        "hhh",
        dst="1",
    ),
    copy(
        "the source is a link to a folder",
        "COPY link /dst",
        {"link": Link("src"), **TREE},
        {"src/a": "A"},
        "hmm",
        dst_a="A",
    ),
    copy(
        "a link inside a tree points elsewhere",
        "COPY src /dst",
        {**TREE, "src/link": Link("a")},
        {"src/link": Link("b")},
        "hmm",
    ),
    copy(
        "a link inside a tree stays, its target changes",
        "COPY src/sub /dst",
        {**TREE, "src/sub/link": Link("../a")},
        {"src/a": "A"},
        "hhh",
    ),
    copy("a link that points nowhere", "COPY src /dst", {**TREE, "src/link": Link("nowhere")}, {"src/a": "A"}, "hmm"),
    copy(
        "a hard link inside a tree",
        "COPY src /dst",
        {"src/a": "a", "src/b": HardLink("src/a")},
        {"src/b": "a"},
        "hmm",
        dst_b="a",
    ),
    copy(
        "a hard link to what is not copied",
        "COPY src /dst",
        {"a": "a", "src/b": HardLink("a")},
        {"src/b": "a"},
        "hhh",
        dst_b="a",
    ),
    copy(
        "ADD of an archive with another content",
        "ADD a.tgz /dst/",
        {"a.tgz": archive("1")},
        {"a.tgz": archive("2")},
        "hMM",
        dst_packed="2",
    ),
    copy(
        "ADD of an archive that is packed again",
        "ADD a.tgz /dst/",
        {"a.tgz": archive("1")},
        {"a.tgz": archive("1", time=9, compress=bz2.compress)},
        "hHH",
        dst_packed="1",
    ),
    copy(
        "COPY of an archive that is packed again",
        "COPY a.tgz /dst/",
        {"a.tgz": archive("1")},
        {"a.tgz": archive("1", time=9)},
        "hmm",
    ),
    copy(
        "ADD of compressed data that is no archive",
        "ADD a.gz /dst/",
        {"a.gz": gzip.compress(b"1", mtime=0)},
        {"a.gz": gzip.compress(b"2", mtime=0)},
        "hMM",
    ),
    copy("--chown", "COPY --chown=5:6 src /dst", TREE, {"src/a": "A"}, "hmm", dst_a="A"),
    copy("--chmod hides a mode", "COPY --chmod=640 src/a /dst/", TREE, {"src/a": File("a", 0o755)}, "hhh"),
    Row(
        name="--chown changes",
        dockerfile=f"FROM {BASE}\nCOPY --chown=5:6 src /dst\nRUN echo after > /after\n",
        files=TREE,
        then_dockerfile=f"FROM {BASE}\nCOPY --chown=5:7 src /dst\nRUN echo after > /after\n",
        expect="MM",
    ),
    Row(
        name="--chown by another name for the same user",
        dockerfile=f"FROM {BASE}\nCOPY --chown=root:0 src /dst\nRUN echo after > /after\n",
        files=TREE,
        then_dockerfile=f"FROM {BASE}\nCOPY --chown=0:0 src /dst\nRUN echo after > /after\n",
        expect="HH",
    ),
    Row(
        name="--chmod changes",
        dockerfile=f"FROM {BASE}\nCOPY --chmod=640 src /dst\nRUN echo after > /after\n",
        files=TREE,
        then_dockerfile=f"FROM {BASE}\nCOPY --chmod=600 src /dst\nRUN echo after > /after\n",
        expect="mm",
    ),
    Row(
        name="a source is renamed, the destination names a file",
        dockerfile=f"FROM {BASE}\nCOPY one /dst\nRUN echo after > /after\n",
        files={"one": "same"},
        then_files={"one": None, "two": "same"},
        then_dockerfile=f"FROM {BASE}\nCOPY two /dst\nRUN echo after > /after\n",
        expect="HH",
        result={"/dst": "same"},
    ),
    Row(
        name="a source is renamed, the destination is a folder",
        dockerfile=f"FROM {BASE}\nCOPY one /dst/\nRUN echo after > /after\n",
        files={"one": "same"},
        then_files={"one": None, "two": "same"},
        then_dockerfile=f"FROM {BASE}\nCOPY two /dst/\nRUN echo after > /after\n",
        expect="mm",
        result={"/dst/two": "same"},
    ),
    Row(
        name="a source is renamed, the destination is a folder that a step before made",
        dockerfile=f"FROM {BASE}\nRUN mkdir /made\nCOPY one /made\nRUN echo after > /after\n",
        files={"one": "same"},
        then_files={"one": None, "two": "same"},
        then_dockerfile=f"FROM {BASE}\nRUN mkdir /made\nCOPY two /made\nRUN echo after > /after\n",
        expect="hMM",
        result={"/made/two": "same"},
    ),
    Row(
        name="a folder is named in another way",
        dockerfile=f"FROM {BASE}\nCOPY src /dst\nRUN echo after > /after\n",
        files=TREE,
        then_dockerfile=f"FROM {BASE}\nCOPY ./src/. /dst\nRUN echo after > /after\n",
        expect="hh",
    ),
    Row(
        name="the destination changes",
        dockerfile=f"FROM {BASE}\nCOPY src /dst\nRUN echo after > /after\n",
        files=TREE,
        then_dockerfile=f"FROM {BASE}\nCOPY src /other\nRUN echo after > /after\n",
        expect="mm",
        result={"/other/a": "a"},
    ),
    Row(
        name="another owner on the host",
        dockerfile=f"FROM {BASE}\nCOPY src /dst\nCMD true\n",
        files=TREE,
        then_files={"src/a": File("a", owner=1000)},
        expect="mm",
        newer="hh",
    ),
    Row(
        name="another owner on the host, but --chown",
        dockerfile=f"FROM {BASE}\nCOPY --chown=5:6 src/a /dst/\nCMD true\n",
        files=TREE,
        then_files={"src/a": File("a", owner=1000)},
        expect="mm",
        newer="hh",
    ),
    Row(
        name="--exclude",
        dockerfile=f"FROM {BASE}\nCOPY --exclude=b src /dst\nRUN find /dst -type f | sort > /list\n",
        files=TREE,
        then_files={"src/a": "A"},
        expect="mm",
        only="new",
    ),
    Row(
        name="--parents",
        dockerfile=f"FROM {BASE}\nCOPY --parents src/sub/c /dst/\nRUN true\n",
        files=TREE,
        then_files={"src/sub/c": "C"},
        expect="mm",
        result={"/dst/src/sub/c": "C"},
        only="new",
    ),
    Row(
        name="--link",
        dockerfile=f"FROM {BASE}\nRUN true\nCOPY --link src /dst\nRUN true\n",
        files=TREE,
        then_files={"src/a": "A"},
        expect="hmm",
        result={"/dst/a": "A"},
        only="new",
    ),
    Row(
        name="COPY in JSON form",
        dockerfile=f'FROM {BASE}\nCOPY ["src/a", "src/b", "/dst/"]\nRUN echo after > /after\n',
        files=TREE,
        then_dockerfile=f"FROM {BASE}\nCOPY src/a src/b /dst/\nRUN echo after > /after\n",
        expect="hh",
    ),
)
