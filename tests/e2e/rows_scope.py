"""ARG and ENV: which value reaches which step."""

from __future__ import annotations

from tests.e2e.row import BASE, Row

OLD = ("--build-arg=A=old",)
NEW = ("--build-arg=A=new",)
STALE = "the engine does not count what a variable stands for here, and would reuse what it stood for before"


def argument(name: str, body: str, expect: str, *, head: str = "", more: tuple[str, ...] = (), **result: str) -> Row:
    """The build argument A is given another value."""
    return Row(
        name=name, dockerfile=f"{head}FROM {BASE}\n{body}\n", options=(*OLD, *more), then_options=(*NEW, *more),
        expect=expect, result={f"/{path}": content for path, content in result.items()},
    )  # fmt: skip


def stale(name: str, body: str, expect: str, kept: str, **result: str) -> Row:
    """The same where the engine itself would reuse a stale image, which is never restored."""
    return Row(
        name=name, dockerfile=f"FROM {BASE}\nARG A\n{body}\n", options=OLD, then_options=NEW, expect=expect, kept=kept,
        kept_newer=kept, kept_differs=STALE, result={f"/{path}": content for path, content in result.items()},
    )  # fmt: skip


ROWS = (
    argument("ARG", "RUN echo 0 > /0\nARG A\nRUN echo $A > /a\nRUN true", "hhmm", a="new\n"),
    argument("an ARG that no step names", "ARG A\nRUN true\nLABEL one=1", "hmm"),
    argument("an ARG that is not declared", "ARG B=1\nRUN echo $B > /b", "hh"),
    argument("an ARG behind the steps", "RUN true\nCMD true\nARG A", "hhh"),
    argument("an ARG with a default", "ARG A=default\nRUN echo $A > /a", "hm", a="new\n"),
    argument("an ARG before FROM, not declared in the stage", "RUN echo $A > /a", "h", head="ARG A=0\n", a="\n"),
    argument("an ARG before FROM, declared again", "ARG A\nRUN echo $A > /a", "hm", head="ARG A=0\n", a="new\n"),
    argument("a default that names another ARG", "ARG A\nARG B=x$A\nRUN echo $B > /b", "hhm", b="xnew\n"),
    argument("an ENV of the same name hides an ARG", "ARG A\nENV A=mine\nRUN echo $A > /a", "hhh", a="mine\n"),
    argument("an ARG in the scope of one stage only", f"ARG A\nRUN echo $A > /a\nFROM {BASE}\nRUN true", "-- h"),
    argument("two ARG in one line", "ARG A B=1\nRUN echo $A$B > /a", "hm", a="new1\n"),
    argument("an ARG declared twice", "ARG A\nRUN true\nARG A=again\nRUN echo $A > /a", "hmmm", a="new\n"),
    argument("a RUN in exec form", 'ARG A\nRUN ["touch", "/a"]', "hm"),
    stale("an ARG in ENV", "ENV B=$A\nRUN echo $B > /b", "hmm", "hhm", b="new\n"),
    stale("an ARG in WORKDIR", "WORKDIR /$A\nRUN pwd > /out", "hmm", "hhm", out="/new\n"),
    stale("an ARG in LABEL", "LABEL b=$A\nCMD true", "hmm", "hhh"),
    stale("an ARG in USER", "USER $A\nCMD true", "hmm", "hhh"),
    stale("an ARG in a COPY destination", "COPY Dockerfile /$A/\nCMD true", "hmm", "hhh"),
    Row(
        name="an argument that is not given any more",
        dockerfile=f"FROM {BASE}\nARG A=default\nRUN echo $A > /a\n",
        options=OLD,
        then_options=(),
        expect="hm",
        result={"/a": "default\n"},
    ),
    Row(
        name="a default changes",
        dockerfile=f"FROM {BASE}\nARG A=1\nRUN echo $A > /a\n",
        then_dockerfile=f"FROM {BASE}\nARG A=2\nRUN echo $A > /a\n",
        expect="hm",
        result={"/a": "2\n"},
    ),
    Row(
        name="a default that is overridden changes",
        dockerfile=f"FROM {BASE}\nARG A=1\nRUN echo $A > /a\n",
        options=OLD,
        then_dockerfile=f"FROM {BASE}\nARG A=2\nRUN echo $A > /a\n",
        expect="hh",
        result={"/a": "old\n"},
    ),
    Row(
        name="the default of an ARG before FROM changes",
        dockerfile=f"ARG A=1\nFROM {BASE}\nARG A\nRUN echo $A > /a\n",
        then_dockerfile=f"ARG A=2\nFROM {BASE}\nARG A\nRUN echo $A > /a\n",
        expect="hm",
        result={"/a": "2\n"},
    ),
    Row(
        name="an ARG without any value gets one",
        dockerfile=f"FROM {BASE}\nARG A\nRUN echo $A > /a\n",
        then_options=NEW,
        expect="mm",
        result={"/a": "new\n"},
    ),
    Row(
        name="an empty value is a value",
        dockerfile=f"FROM {BASE}\nARG A\nRUN echo ${{A-none}} > /a\n",
        options=("--build-arg=A=",),
        then_options=(),
        expect="mm",
        result={"/a": "none\n"},
    ),
    Row(
        name="a default that names an ENV",
        dockerfile=f"FROM {BASE}\nENV E=1\nARG A=$E\nRUN echo $A > /a\nCOPY file /file\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="hhhm",
        result={"/a": "1\n"},
    ),
    Row(
        name="an ENV of the stage below does not hide an ARG",
        dockerfile=f"FROM {BASE} AS a\nENV A=mine\nFROM a\nARG A\nRUN echo $A > /a\n",
        options=OLD,
        then_options=NEW,
        expect="h hm",
    ),
    Row(
        name="an ARG is declared that nobody uses",
        dockerfile=f"FROM {BASE}\nRUN true\nCMD true\n",
        then_dockerfile=f"FROM {BASE}\nARG B\nRUN true\nCMD true\n",
        expect="mmm",
    ),
    Row(
        name="a value with a blank",
        dockerfile=f"FROM {BASE}\nARG A\nRUN echo $A > /a\n",
        options=("--build-arg=A=x y",),
        then_options=("--build-arg=A=x  y",),
        expect="hm",
        result={"/a": "x y\n"},
    ),
    Row(
        name="a proxy argument that is not declared",
        dockerfile=f"FROM {BASE}\nRUN true\nARG B=1\nRUN echo $B > /b\n",
        options=("--build-arg=no_proxy=a",),
        then_options=("--build-arg=no_proxy=b",),
        expect="hhh",
    ),
    Row(
        name="a proxy argument that is declared",
        dockerfile=f"FROM {BASE}\nARG no_proxy\nRUN true\n",
        options=("--build-arg=no_proxy=a",),
        then_options=("--build-arg=no_proxy=b",),
        expect="hm",
    ),
    Row(
        name="a platform argument",
        dockerfile=f"FROM {BASE}\nARG TARGETARCH\nRUN echo $TARGETARCH > /a\n",
        then_dockerfile=f"FROM {BASE}\nARG TARGETARCH\nRUN echo $TARGETARCH > /a\nCMD true\n",
        expect="hhm",
        result={"/a": "amd64\n"},
    ),
    Row(
        name="ENV that a later step uses",
        dockerfile=f"FROM {BASE}\nENV A=1\nRUN echo $A > /a\nCOPY file /file\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="hhm",
        result={"/a": "1\n"},
    ),
    Row(
        name="an ENV in a COPY source",
        dockerfile=f"FROM {BASE}\nENV A=file\nCOPY $A /a\nCMD true\n",
        files={"file": "1"},
        then_files={"file": "2"},
        expect="hmm",
        result={"/a": "2"},
    ),
)
