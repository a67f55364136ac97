"""Ignore files: what they hide does not count, and they themselves only by what they hide."""

from __future__ import annotations

from tests.e2e.row import BASE, Node, Row

DOCKERFILE = f"FROM {BASE}\nCOPY . /dst\nRUN find /dst -type f | sort > /list\n"
TREE: dict[str, Node] = {"app/main": "1", "app/log": "1", "docs/a": "1", "docs/b": "1", "deep/docs/a": "1"}


def ignore(
    name: str, rules: str, then: dict[str, Node | None], expect: str, *, file: str = ".dockerignore", listed: str = ""
) -> Row:
    files: dict[str, Node] = {**TREE, file: f"{rules}\nDockerfile*\n.*ignore\n"}
    shown = "".join(f"/dst/{path}\n" for path in listed.split())
    return Row(
        name=name,
        dockerfile=DOCKERFILE,
        files=files,
        then_files=then,
        expect=expect,
        result={"/list": shown} if shown else {},
    )


ROWS = (
    ignore("an ignored file changes", "docs", {"docs/a": "2"}, "hh", listed="app/log app/main deep/docs/a"),
    ignore("an ignored file comes", "docs", {"docs/new": "2"}, "hh"),
    ignore("a file that is not ignored changes", "docs", {"app/main": "2"}, "mm"),
    ignore(
        "a file that a ! takes back changes",
        "docs\n!docs/a",
        {"docs/a": "2"},
        "mm",
        listed="app/log app/main deep/docs/a docs/a",
    ),
    ignore("a file beside one that a ! takes back", "docs\n!docs/a", {"docs/b": "2"}, "hh"),
    ignore("the last rule wins", "docs\n!docs/a\ndocs", {"docs/a": "2"}, "hh"),
    ignore("** at any depth", "**/docs", {"deep/docs/a": "2", "docs/a": "2"}, "hh", listed="app/log app/main"),
    ignore("a wildcard within a name", "app/l*g", {"app/log": "2"}, "hh"),
    ignore("a question mark", "app/lo?", {"app/log": "2"}, "hh"),
    ignore("a rule that only the top level matches", "a", {"docs/a": "2"}, "mm"),
    ignore("comments and blank lines in the ignore file", "# docs\n\n  docs", {"docs/a": "2"}, "hh"),
    ignore(
        ".containerignore wins",
        "docs",
        {".dockerignore": "app\n.*ignore\nDockerfile\n", "docs/a": "2"},
        "hh",
        file=".containerignore",
    ),
    ignore(
        "an ignore file of the Dockerfile's own",
        "docs",
        {"docs/a": "2"},
        "hh",
        file="Dockerfile.dockerignore",
        listed="app/log app/main deep/docs/a",
    ),
    ignore(
        "the ignore file changes and hides the same",
        "docs",
        {".dockerignore": "docs/*\ndocs\n.*ignore\nDockerfile\n"},
        "hh",
    ),
    ignore(
        "the ignore file changes and hides more",
        "docs",
        {".dockerignore": "docs\ndeep\n.*ignore\nDockerfile\n"},
        "mm",
        listed="app/log app/main",
    ),
    Row(
        name="a Containerfile, and an ignored file that a COPY does not reach",
        dockerfile="",
        files={"Containerfile": f"FROM {BASE}\nCOPY app /dst\n", ".containerignore": "app/log\n", **TREE},
        then_files={"app/log": "2", "docs/a": "2"},
        expect="h",
    ),
    Row(
        name="the Dockerfile itself is copied",
        dockerfile=DOCKERFILE,
        files=TREE,
        then_dockerfile=f"# new\n{DOCKERFILE}",
        expect="mm",
    ),
    Row(
        name="another Dockerfile, by -f",
        dockerfile="",
        files={"build/Other": f"FROM {BASE}\nCOPY app /dst\n", "build/Other.dockerignore": "app/log\n", **TREE},
        options=("-f", "/SITE/context/build/Other"),
        then_files={"app/log": "2"},
        expect="h",
    ),
)
