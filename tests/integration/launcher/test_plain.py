"""The launcher on macOS and Windows: node says that it runs there, and docker is played."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Mapping
from typing import Any, Final

import pytest

from layercache_ci.action.inputs import INPUTS, LISTS
from tests.integration.launcher.sites import Ran, Site, ended
from tests.lab.paths import CHECKOUT

DOCKER: Final = """\
#!/bin/sh
printf '%s\\0' "$@" "$LAYERCACHE_SECRET_0" "$LAYERCACHE_SECRET_1" >"$TOLD"
for word; do
    case $word in
        --iidfile=*) printf sha256:1 >"${word#*=}" ;;
        --metadata-file=*) printf '{\\n"containerimage.digest": "sha256:2"}' >"${word#*=}" ;;
    esac
done
printf '%s' "$SAYS"
printf '%s' "$COMPLAINS" >&2
[ -z "$WAIT" ] || { echo ready; while :; do sleep 0.1; done; }
exit "${CODE:-0}"
"""
REGISTERED: Final = {"add-mask", "debug", "error", "notice", "set-output", "stop-commands", "warning"}


def obeyed(log: str) -> list[tuple[str, str]]:
    """The commands in a log that the runner obeys, by its ActionCommandManager and both parsers of ActionCommand."""
    found, known = [], set(REGISTERED)
    token = None
    for line in re.split(r"\r\n|\r|\n", log):
        match = re.match(r"\s*::([^ :]+)(?: .*?)?::(.*)", line)
        if match is None or match[1] not in known:
            match = re.search(r"##\[([^ \]]+)[^\]]*\](.*)", line)
        if match is None or match[1] not in known:
            continue
        if token is not None:
            if match[1] == token:
                known.remove(token)
                token = None
        elif match[1] == "stop-commands":
            token = match[2]
            known.add(token)
        else:
            found.append((match[1], match[2]))
    assert token is None, "the step's own commands would not be obeyed"
    return found


OF_HEAD: Final = {"DOCKER_DEFAULT_GIT_CONTEXT_PR_HEAD_REF": "true", "GITHUB_EVENT_PATH": "event.json"}


def elsewhere(site: Site, system: str = "darwin") -> dict[str, str]:
    """The environment of a node that says that it runs there, with a docker that says how it was called."""
    other = site.folder / "other.js"
    other.write_text(f"Object.defineProperty(process, 'platform', {{value: '{system}'}});\n")
    docker = site.folder / "bin" / ("docker.exe" if system == "win32" else "docker")
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    return {
        "NODE_OPTIONS": f"--require={other}", "GITHUB_OUTPUT": str(site.folder / "output"),
        "RUNNER_TEMP": str(site.folder),
    }  # fmt: skip


def called(site: Site) -> list[str]:
    """What docker was given, and then the two secrets."""
    words = (site.folder / "told").read_text().split("\0")[:-1]
    return [word for word in words if not word.startswith(("--iidfile=", "--metadata-file="))]


@pytest.mark.parametrize(("system", "name"), [("darwin", "macOS"), ("win32", "Windows")])
def test_elsewhere_docker_builds_without_a_cache(bare: Site, system: str, name: str) -> None:
    given = {
        **elsewhere(bare, system),
        "INPUT_TAGS": "a:1,b:2\nc:3", "INPUT_BUILD-ARGS": "A=1,2\nB=x y", "INPUT_PUSH": "true", "INPUT_LOAD": "false",
        "INPUT_FILE": "sub/Dockerfile", "INPUT_SECRETS": "token=hush=hush",
    }  # fmt: skip
    ran = bare.run(**given)
    assert ran.code == 0
    assert re.sub(r"[0-9a-f]{32}", "TOKEN", ran.log) == (
        f"layercache: {name}: the image is built without a cache, which there is on Linux runners only\n"
        "::add-mask::hush=hush\n"
        "::stop-commands::TOKEN\n::TOKEN::\n"
    )
    assert called(bare) == [
        "buildx", "build", "--file=sub/Dockerfile", "--push", "--build-arg=A=1,2", "--build-arg=B=x y",
        "--tag=a:1", "--tag=b:2", "--tag=c:3", "--secret=id=token,env=LAYERCACHE_SECRET_0", ".", "hush=hush", "",
    ]  # fmt: skip
    outputs = (bare.folder / "output").read_text()
    assert re.findall(r"^(\S+)<<(\S+)\n(.*?)\n\2$", outputs, re.MULTILINE | re.DOTALL)[0][::2] == (
        "imageid",
        "sha256:1",
    )
    assert "\nsha256:2\n" in outputs
    assert bare.run(**given, CODE="3").code == 3
    assert bare.run(**given, INPUT_CONTAINERFILES="x").code == 1
    assert bare.run("post.js", **given) == Ran(0, "")


@pytest.mark.parametrize("stream", ["SAYS", "COMPLAINS"])
@pytest.mark.parametrize("says", ["::error::a\n", "#9 0.1 ##[error]a\n", "::set-output name=imageid::a"])
def test_elsewhere_the_runner_obeys_nothing_that_a_build_prints(bare: Site, stream: str, says: str) -> None:
    """But what we say afterwards, of a build that failed too, whose last line may be no whole one."""
    given = elsewhere(bare)
    assert len(obeyed(says)) == 1  # so that the others prove something
    ran = bare.run(**given, **{stream: says})
    assert (ran.code, obeyed(ran.log)) == (0, [])
    assert says in ran.log
    assert obeyed(bare.run(**given, **{stream: says}, CODE="3").log) == [
        ("error", "layercache: the build failed: docker ended with exit code 3; its output is above")
    ]
    tokens = {re.findall(r"[0-9a-f]{32}", bare.run(**given).log)[0] for _ in range(2)}
    assert len(tokens) == 2


def test_elsewhere_a_build_that_is_cancelled_or_can_not_start_is_told_of(bare: Site) -> None:
    given = elsewhere(bare)
    process = bare.start(**given, WAIT="1", SAYS="::error::a\n")
    assert process.stdout is not None
    before = ""
    while not before.endswith("ready\n"):
        line = process.stdout.readline()
        assert line != ""
        before += line
    process.send_signal(signal.SIGINT)
    ran = ended(process)
    assert [name for name, _ in obeyed(before + ran.log)] == ["error"]
    assert (ran.code, "docker ended with exit code 130" in ran.log) == (130, True)
    (bare.folder / "bin/docker").write_text("#!/nowhere\n")
    ((name, text),) = obeyed(bare.run(**given).log)
    assert (name, "ENOENT" in text) == ("error", True)


def test_elsewhere_a_secret_of_several_lines_is_on_no_command_line(bare: Site) -> None:
    key = '-----BEGIN KEY-----\nMIIEp,"AIBA\nzz9=\n-----END KEY-----'
    quoted = key.replace('"', '""')
    lines = "-----BEGIN KEY-----\nMIIEpAIBA\nzz9=\nzz8==\n-----END KEY-----"
    ran = bare.run(**elsewhere(bare), INPUT_SECRETS=f'"key={quoted}"\nid=a\n{lines}')
    assert ran.code == 0
    *words, first, second = called(bare)
    assert (first, second) == (key, "a")
    assert words == [
        "buildx", "build", "--secret=id=key,env=LAYERCACHE_SECRET_0", "--secret=id=id,env=LAYERCACHE_SECRET_1", ".",
    ]  # fmt: skip
    said = ran.log.splitlines()
    assert [line for line in said if line.startswith("::warning::")] == [
        f"::warning::layercache: secrets: the secret {which} is left out: it is not of the form id=value"
        for which in ("number 3", "number 4", "number 5", "number 6", "number 7")
    ]
    assert "::add-mask::" + key.replace("\n", "%0A") in said


@pytest.mark.parametrize(
    ("of_repository", "written", "expected"),
    [
        (False, {}, ["."]),
        (False, {"CONTEXT": "{{defaultContext}}"}, ["."]),
        (False, {"CONTEXT": "{{ defaultContext }}:sub", "FILE": "D"}, ["--file=sub/D", "sub"]),
        (False, {"CONTEXT": "sub", "FILE": "D"}, ["--file=D", "sub"]),
        (False, {"CONTEXT": "--push"}, ["./--push"]),
        (False, {"CONTEXT": "-"}, ["-"]),
        (False, {"BUILD-CONTEXTS": "a={{defaultContext}}:b"}, ["--build-context=a=b", "."]),
        (True, {}, ["https://github.com/o/r.git#f00"]),
        (True, {"CONTEXT": "."}, ["."]),
        (
            True,
            {"CONTEXT": "{{defaultContext}}:sub", "FILE": "D", "GITHUB-TOKEN": "t"},
            [
                "--file=D",
                "--secret=id=GIT_AUTH_TOKEN.github.com,env=LAYERCACHE_SECRET_0",
                "https://github.com/o/r.git#f00:sub",
            ],
        ),
        (True, {"CONTEXT": "sub", "GITHUB-TOKEN": "t"}, ["sub"]),
        (True, {"GITHUB_REF": "refs/pull/5/merge"}, ["https://github.com/o/r.git#f00"]),
        (True, {"GITHUB_REF": "main", "GITHUB_SHA": ""}, ["https://github.com/o/r.git#refs/heads/main"]),
        (True, {"GITHUB_REF": "refs/pull/5/merge", **OF_HEAD}, ["https://github.com/o/r.git#bead"]),
        (True, {**OF_HEAD}, ["https://github.com/o/r.git#f00"]),
        (
            True,
            {"GITHUB_REF": "refs/pull/5/merge", **OF_HEAD, "GITHUB_EVENT_PATH": "none"},
            ["https://github.com/o/r.git#refs/pull/5/head"],
        ),
    ],
)
def test_elsewhere_the_context_is_the_same(
    bare: Site, of_repository: bool, written: Mapping[str, str], expected: list[str]
) -> None:
    """It is the commit even where there is a checkout of it: nothing is to be cached."""
    (bare.checkout / "Dockerfile").write_text("FROM scratch\n")
    (bare.checkout / "event.json").write_text('{"pull_request": {"head": {"sha": "bead"}}}')
    named = ("GITHUB_", "DOCKER_")
    inputs = {name if name.startswith(named) else f"INPUT_{name}": value for name, value in written.items()}
    run = {
        "GITHUB_REPOSITORY": "o/r" if of_repository else "",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_SHA": "f00",
        **inputs,
    }
    assert bare.run(**elsewhere(bare), **run).code == 0
    assert called(bare)[2:-2] == expected


@pytest.mark.parametrize(
    ("server", "host"),
    [
        ("", "github.com"),
        ("https://github.com", "github.com"),
        ("https://GHE.example", "GHE.example"),
        ("https://ghe.example:8443", "ghe.example:8443"),
    ],
)
def test_elsewhere_the_jobs_token_is_for_the_jobs_server_alone(bare: Site, server: str, host: str) -> None:
    """As build-push-action has it since 6.19: a Dockerfile may fetch from other git hosts."""
    run = {
        **elsewhere(bare), "GITHUB_SERVER_URL": server, "GITHUB_REPOSITORY": "o/r", "GITHUB_REF": "refs/heads/main",
        "GITHUB_SHA": "f00", "INPUT_GITHUB-TOKEN": "tok",
    }  # fmt: skip
    repository = f"{server or 'https://github.com'}/o/r.git#f00"
    assert bare.run(**run).code == 0
    assert called(bare)[2:] == [
        f"--secret=id=GIT_AUTH_TOKEN.{host},env=LAYERCACHE_SECRET_0", repository, "tok", "",
    ]  # fmt: skip
    for own in ("GIT_AUTH_TOKEN", f"GIT_AUTH_TOKEN.{host}", "GIT_AUTH_HEADER"):
        for name, word in (("SECRETS", "env=LAYERCACHE_SECRET_0"), ("SECRET-ENVS", "env=x"), ("SECRET-FILES", "src=x")):
            assert bare.run(**run, **{f"INPUT_{name}": f"{own}=x"}).code == 0
            assert called(bare)[2:-2] == [f"--secret=id={own},{word}", repository]


def test_elsewhere_what_would_be_left_out_without_a_word_is_an_error(bare: Site) -> None:
    given = elsewhere(bare)
    assert bare.run(**given, INPUT_CONFIG="cache.yml").log.splitlines()[-1] == (
        "::error::layercache: config: on macOS no file of inputs is read; "
        "write them in the workflow, or use a Linux runner"
    )
    harmless = {"layers", "oci", "squash", "tls-verify"}
    for name in [entry.name for entry in INPUTS if entry.origin == "buildah-build" and entry.name not in harmless]:
        said = f"::error::layercache: {name}: on macOS only docker builds; use a Linux runner"
        assert bare.run(**given, **{f"INPUT_{name.upper()}": "x"}).log.splitlines()[-1] == said
    for name in [entry.name for entry in INPUTS if entry.kind == "flag"]:
        assert bare.run(**given, **{f"INPUT_{name.upper()}": "yes"}) == Ran(
            1, f"::error::layercache: {name}: 'yes' is neither true nor false; write true or false\n"
        )
    assert not (bare.folder / "told").exists()
    assert bare.run(**given, INPUT_PUSH="TRUE", INPUT_LOAD="False", INPUT_PULL=" true ").code == 0
    assert called(bare)[2:-2] == ["--pull", "--push", "."]


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ("", True),
        ("type=docker,dest=a.tar", True),
        ("type=image,push=true\ntype=oci,dest=a.tar", True),
        ("type=local,dest=out", False),
        ("type=image\ntype=tar,dest=out", False),
        ("type=cacheonly", False),
        ("out", False),
    ],
)
def test_elsewhere_an_image_id_is_asked_for_where_there_is_one(bare: Site, outputs: str, expected: bool) -> None:
    assert bare.run(**elsewhere(bare), INPUT_OUTPUTS=outputs).code == 0
    assert ("--iidfile=" in (bare.folder / "told").read_text()) == expected
    assert ("sha256:1" in (bare.folder / "output").read_text()) == expected


def test_elsewhere_githubs_cache_gets_what_build_push_action_gives_it(bare: Site) -> None:
    given = {"INPUT_CONTEXT": ".", "INPUT_GITHUB-TOKEN": "tok", "GITHUB_REPOSITORY": "o/r"}
    ran = bare.run(**elsewhere(bare), **given, **{"INPUT_CACHE-TO": "type=gha,mode=max\ntype=inline"})
    assert "::add-mask::tok" in ran.log.splitlines()
    assert called(bare)[2:-2] == [
        "--cache-to=type=gha,mode=max,repository=o/r,ghtoken=tok", "--cache-to=type=inline", ".",
    ]  # fmt: skip
    bare.run(**elsewhere(bare), **given, **{"INPUT_CACHE-TO": "type=gha,repository=x/y,ghtoken=mine"})
    assert called(bare)[2:-2] == ["--cache-to=type=gha,repository=x/y,ghtoken=mine", "."]


def test_lists_are_read_as_the_table_has_them(bare: Site) -> None:
    """Each input by its kind, and each as docker's toolkit reads that kind (tests/data)."""
    lists = [entry for entry in INPUTS if entry.kind in LISTS and entry.origin == "build-push-action"]
    cases: list[dict[str, Any]] = json.loads((CHECKOUT / "tests/data/lists.json").read_text())["cases"]
    script = """
        const { values } = require(process.argv[1]);
        const [names, texts] = process.argv.slice(2).map(JSON.parse);
        const read = (text, name) => {
            try { return values(text, name); } catch { return null; }
        };
        console.log(JSON.stringify(names.map((name) => texts.map((text) => read(text, name)))));
    """
    names, texts = json.dumps([entry.name for entry in lists]), json.dumps([case["text"] for case in cases])
    command = [bare.node, "-e", script, f"{bare.action}/launcher/lists.js", names, texts]
    read = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    for entry, found in zip(lists, read, strict=True):
        assert (entry.name, found) == (entry.name, [case[entry.kind] for case in cases])


def test_elsewhere_a_quote_that_nobody_closes_is_an_error_without_the_text(bare: Site) -> None:
    ran = bare.run(**elsewhere(bare), INPUT_SECRETS='a=1\n"b=hush\nc=2')
    assert ran.code == 1
    assert ran.log.splitlines()[-1] == (
        "::error::layercache: secrets: the double quote in line 2 is not closed; "
        'close it; within quotes a quote is written ""'
    )
    assert not (bare.folder / "told").exists()


def test_elsewhere_later_steps_build_without_a_cache(bare: Site) -> None:
    other = bare.folder / "other.js"
    other.write_text("Object.defineProperty(process, 'platform', {value: 'darwin'});\n")
    assert bare.run(NODE_OPTIONS=f"--require={other}", INPUT_SETUP="true") == Ran(
        0, "layercache: macOS: later steps build without a cache, which there is on Linux runners only\n"
    )
