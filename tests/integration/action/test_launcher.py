"""The launcher as the runner starts it: real node, real pip, a package index."""

from __future__ import annotations

import csv
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from layercache_ci.action.inputs import INPUTS, LISTS
from tests.lab.paths import CHECKOUT, LabPaths
from tests.lab.programs import find_program

SECONDS: Final = 300
NOWHERE: Final = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_FIND_LINKS": "", "PIP_RETRIES": "0"}
"""No package can come from there."""
VERSION: Final = platform.python_version()
ENTRYPOINT: Final = """\
import json, os, signal, sys, time
import requests, cheroot, yaml, actions_toolkit.core
told = {"stage": sys.argv[1], "python": sys.executable, "from": requests.__file__, "environment": dict(os.environ)}
with open(os.environ["TOLD"], "w") as file:
    json.dump(told, file)
def leave(number, frame):
    sys.exit(40 + number)
if "WAIT" in os.environ:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    print("ready", flush=True)
    time.sleep(120)
sys.exit(int(os.environ.get("CODE", "0")))
"""


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    log: str


@dataclass(frozen=True, slots=True)
class Site:
    """A runner with a tool cache, and a checkout of an action that has our launcher and says how it was started."""

    folder: Path
    node: str

    @property
    def action(self) -> Path:
        return self.folder / "action"

    @property
    def checkout(self) -> Path:
        """The job's, where steps are started: of a stranger's pull request maybe."""
        return self.folder / "checkout"

    @property
    def kept(self) -> Path:
        """Where the launcher keeps packages."""
        return self.folder / "tools/layercache-action"

    @property
    def told(self) -> dict[str, Any]:
        """What the entrypoint saw."""
        found: dict[str, Any] = json.loads((self.folder / "told").read_text())
        return found

    @property
    def state(self) -> dict[str, str]:
        """What the main step saved, as the post step gets it."""
        lines = (self.folder / "state").read_text().splitlines()
        return {f"STATE_{name}": value for name, _, value in (line.partition("=") for line in lines)}

    def start(self, script: str = "main.js", /, **environment: str) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PYTHON"))}
        given = {
            **kept, "PATH": str(self.folder / "bin"), "RUNNER_TOOL_CACHE": str(self.folder / "tools"),
            "GITHUB_STATE": str(self.folder / "state"), "TOLD": str(self.folder / "told"), **environment,
        }  # fmt: skip
        return subprocess.Popen(
            [self.node, self.action / "launcher" / script],
            cwd=self.checkout, env=given, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, script: str = "main.js", /, **environment: str) -> Ran:
        return ended(self.start(script, **environment))

    def installed(self) -> list[str]:
        """The names of the packages that are kept."""
        return sorted(found.name.partition("-")[0] for found in self.kept.glob("*/packages/*.dist-info"))

    def bring(self) -> None:
        """Play what a release brings along."""
        kind = (sys.implementation.cache_tag, sys.implementation._multiarch)
        folder = self.action / "packages" / "-".join(kind)
        for module in ("requests", "cheroot", "yaml", "actions_toolkit/core"):
            path = folder / f"{module}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")


def ended(process: subprocess.Popen[str]) -> Ran:
    log, _ = process.communicate(timeout=SECONDS)
    print(log)
    return Ran(process.returncode, log)


def warnings(ran: Ran) -> list[str]:
    return [line for line in ran.log.splitlines() if line.startswith("::warning::")]


def put_python(path: Path, python: Path) -> None:
    """A program at `path` that is this Python: a link would not find its own folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
    path.chmod(0o755)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with pip, and no package of ours."""
    folder = tmp_path_factory.mktemp("python")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder / "bin/python"


@pytest.fixture(scope="module")
def pipless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python without pip, as Ubuntu's is where nobody added it."""
    folder = tmp_path_factory.mktemp("pipless")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder / "bin/python"


@pytest.fixture
def bare(tmp_path: Path) -> Site:
    """A runner whose PATH is empty."""
    node = find_program("node", LabPaths.here())
    if node is None:
        raise RuntimeError("node is not in the lab: make lab sets it up")
    site = Site(tmp_path, str(node))
    for name in ("launcher", "requirements"):
        shutil.copytree(CHECKOUT / name, site.action / name)
    (site.action / "entrypoint.py").write_text(ENTRYPOINT)
    (tmp_path / "bin").mkdir()
    # nothing of it may decide what is installed, or run
    for module in ("pip/__init__.py", "json.py", "importlib/__init__.py", "requests.py"):
        path = site.checkout / module
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("raise SystemExit('a file of the checkout was run')\n")
    (site.checkout / "pyproject.toml").write_text('[tool.uv]\nrequired-version = "==0.0.1"\n')
    return site


@pytest.fixture
def site(bare: Site, python: Path) -> Site:
    """A runner that has a Python with pip on its PATH."""
    put_python(bare.folder / "bin/python3", python)
    return bare


def test_the_first_time_installs_and_the_second_does_nothing(site: Site, python: Path) -> None:
    assert site.run(**NOWHERE).code == 1  # so that the second time proves something
    assert list(site.kept.iterdir()) == []
    cold = site.run(**{"INPUT_S3-REGION": "x"})
    assert cold.code == 0
    assert f"layercache: Python {VERSION}, 11 packages installed in " in cold.log
    assert cold.log.count("\n") == 1
    told = site.told
    assert (told["stage"], told["python"]) == ("main", str(python))
    assert told["environment"]["INPUT_S3-REGION"] == "x"
    assert Path(told["from"]).is_relative_to(site.kept)
    assert site.run(**NOWHERE) == Ran(0, f"layercache: Python {VERSION}, its packages were there\n")


def test_what_a_release_brings_along_is_not_fetched(site: Site, python: Path) -> None:
    (site.action / "layercache_ci").mkdir()
    (site.action / "layercache_ci/one.py").write_text("")
    machines = ("x86_64", "aarch64")
    subprocess.run([site.node, site.action / "launcher/ship.js", python, *machines], check=True)
    brought = site.action / "packages"
    tag = sys.implementation.cache_tag
    assert {folder.name for folder in brought.iterdir()} == {f"{tag}-{machine}-linux-gnu" for machine in machines}
    assert all(len(list(folder.glob("*.dist-info"))) == 11 for folder in brought.iterdir())
    assert (site.action / f"layercache_ci/__pycache__/one.{tag}.pyc").is_file()
    assert site.run(**NOWHERE) == Ran(0, f"layercache: Python {VERSION}, its packages were there\n")
    assert Path(site.told["from"]).is_relative_to(brought)
    assert not site.kept.exists()

    assert site.run(INPUT_COMMENT="true").code == 0  # of which it brings nothing
    assert {"cryptography", "pygithub"} <= {name.lower() for name in site.installed()}
    assert "requests" not in site.installed()
    assert Path(site.told["from"]).is_relative_to(brought)


@pytest.mark.parametrize("given", [{"INPUT_STORE": "s3://b"}, {"INPUT_S3-BUCKET": "b"}, {"LAYERCACHE_S3_BUCKET": "b"}])
def test_only_what_the_store_needs_is_installed(site: Site, given: Mapping[str, str]) -> None:
    assert site.run(**given).code == 0
    found = site.installed()
    assert {"boto3", "botocore", "s3transfer", "requests"} <= set(found)
    assert not {"cryptography", "pygithub", "PyGithub"} & set(found)


@pytest.mark.parametrize("given", [{"GITHUB_TOKEN": "t"}, {"INPUT_COMMENT": "true"}])
def test_what_asks_github_can_be_missing(site: Site, given: Mapping[str, str]) -> None:
    site.bring()
    ran = site.run(**NOWHERE, **given)
    assert ran.code == 0
    (warning,) = warnings(ran)
    assert warning.startswith(
        "::warning::layercache: GitHub is not asked for the size of its cache, and there is no comment on a pull "
        "request: its Python packages can't be installed: ERROR: "
    )
    assert warning.endswith("(docs/ci/github.md)")
    assert ran.log.splitlines()[-1] == f"layercache: Python {VERSION}, its other packages were there"
    assert site.told["environment"]["INPUT_COMMENT"] == "false"  # or the post step would say it once more
    assert list(site.kept.iterdir()) == []


def test_what_s3_needs_can_be_missing(site: Site) -> None:
    site.bring()
    ran = site.run(**NOWHERE, INPUT_STORE="s3://bucket", GITHUB_TOKEN="t", INPUT_COMMENT="true")
    assert ran.code == 0
    about_s3, about_github = warnings(ran)
    assert about_s3.startswith("::warning::layercache: S3 is not used, and what is built is built without a cache: ")
    assert about_github.startswith("::warning::layercache: GitHub is not asked")
    environment = site.told["environment"]
    assert (environment["INPUT_STORE"], environment["INPUT_MODE"]) == ("local", "off")


def test_one_set_that_is_missing_takes_no_other_with_it(site: Site) -> None:
    lock = site.action / "requirements/runtime.txt"
    before, name, after = lock.read_text().partition("pygithub==")
    entry, end, others = after.partition("# via")
    lock.write_text(before + name + "".join(map(_wrong, entry.splitlines(keepends=True))) + end + others)
    ran = site.run(INPUT_COMMENT="true")
    assert ran.code == 0
    (warning,) = warnings(ran)
    assert "can't be installed: ERROR: THESE PACKAGES DO NOT MATCH THE HASHES" in warning
    assert f"layercache: Python {VERSION}, 11 packages installed in " in ran.log
    assert len(site.installed()) == 11


def test_an_index_that_does_not_answer_is_not_waited_for(site: Site) -> None:
    """The time is played: what is tested is that pip ends, and leaves nothing."""
    site.bring()
    (site.folder / "soon.js").write_text(
        "const { timeout } = AbortSignal; AbortSignal.timeout = (milliseconds) => timeout(milliseconds / 20);"
    )
    with socket.create_server(("127.0.0.1", 0)) as index:
        address = {**NOWHERE, "PIP_INDEX_URL": f"http://127.0.0.1:{index.getsockname()[1]}/"}
        ran = site.run(**address, NODE_OPTIONS=f"--require={site.folder / 'soon.js'}", GITHUB_TOKEN="t")
    assert ran.code == 0
    (warning,) = warnings(ran)
    assert "can't be installed: they were not there after 60 s; " in warning
    assert list(site.kept.iterdir()) == []


@pytest.mark.parametrize(
    "given",
    [
        {"INPUT_STORE": "local:/of/s3"},
        {"INPUT_STORE": "local", "LAYERCACHE_S3_BUCKET": "b", "GITHUB_TOKEN": "t"},
        {"INPUT_STORE": "github", "INPUT_S3-BUCKET": "b"},
    ],
)
def test_other_stores_need_nothing_of_s3(site: Site, given: Mapping[str, str]) -> None:
    site.bring()
    assert site.run(**NOWHERE, **given) == Ran(0, f"layercache: Python {VERSION}, its packages were there\n")


def test_a_folder_of_wheels_is_enough(site: Site, python: Path) -> None:
    """As docs/ci/github.md says."""
    download = ("-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes")
    lock, wheels = site.action / "requirements/runtime.txt", site.folder / "wheels"
    subprocess.run([python, *download, "-r", lock, "--dest", wheels], check=True)
    ran = site.run(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheels), INPUT_STORE="s3://b", INPUT_COMMENT="true")
    assert (ran.code, warnings(ran)) == (0, [])
    assert {"boto3", "requests", "cryptography"} <= set(site.installed())


def test_the_comment_has_its_own(site: Site) -> None:
    assert site.run(INPUT_COMMENT="true").code == 0
    assert "cryptography" in site.installed()
    assert "boto3" not in site.installed()


def test_a_file_of_inputs_may_ask_for_them(site: Site) -> None:
    (site.folder / "cache.yml").write_text("comment: true\n")
    assert site.run(INPUT_CONFIG="cache.yml", GITHUB_WORKSPACE=str(site.folder)).code == 0
    assert "cryptography" in site.installed()


def test_two_jobs_at_once(site: Site) -> None:
    jobs = [site.start(TOLD=str(site.folder / name)) for name in ("one", "two")]
    assert [ended(job).code for job in jobs] == [0, 0]
    assert len(site.installed()) == 11
    assert site.run(**NOWHERE).code == 0


def test_what_is_half_made_is_made_anew(site: Site) -> None:
    assert site.run().code == 0
    (kept,) = site.kept.iterdir()
    shutil.rmtree(kept / "packages")  # a cleaner's work
    half = site.kept / f"{kept.name}.part-killed"
    (half / "packages/requests").mkdir(parents=True)
    assert site.run().code == 0
    assert (kept / "packages/requests/__init__.py").is_file()
    month = time.time() - 31 * 24 * 3600
    os.utime(half, (month, month))
    assert site.run(INPUT_COMMENT="true").code == 0
    assert not half.exists()
    assert kept.exists()


def test_the_tool_cache_has_a_python_too(bare: Site, python: Path) -> None:
    machine = {"x86_64": "x64", "aarch64": "arm64"}[os.uname().machine]
    put_python(bare.folder / f"tools/Python/3.9.1/{machine}/bin/python3", Path("/bin/false"))
    put_python(bare.folder / f"tools/Python/3.12.1/{machine}/bin/python3", python)
    put_python(bare.folder / f"tools/Python/3.15.0-alpha.1/{machine}/bin/python3", Path("/of/no/use"))
    assert bare.run().code == 0
    assert bare.told["python"] == str(python)


def test_a_python_that_is_newer_than_the_lock_comes_last(site: Site) -> None:
    """Played by a program that answers as one."""
    old = site.folder / "bin/python3.12"
    (site.folder / "bin/python3").rename(old)
    answer = {"program": "/of/no/use", "version": "3.99.0", "number": [3, 99], "kind": [], "pip": True}
    (site.folder / "bin/python3").write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    (site.folder / "bin/python3").chmod(0o755)
    assert site.run().code == 0
    old.unlink()
    ran = site.run()
    assert ran.code == 1
    assert "::error::layercache: its Python packages can't be installed" in ran.log
    (site.folder / "bin/python3").write_text(f"#!/bin/sh\necho '{json.dumps({**answer, 'minimal': True})}'\n")
    assert "::error::layercache: there is no Python 3.11 or newer" in site.run().log


def test_without_a_tool_cache_the_packages_are_kept_in_the_home(site: Site) -> None:
    home = site.folder / "home"
    assert site.run(RUNNER_TOOL_CACHE="", XDG_CACHE_HOME="", HOME=str(home)).code == 0
    assert (home / ".cache/layercache-action").is_dir()


def test_no_python_is_one_error(bare: Site) -> None:
    put_python(bare.folder / "bin/python3", Path("/bin/false"))
    ran = bare.run()
    assert ran.code == 1
    assert ran.log == (
        "::error::layercache: there is no Python 3.11 or newer on this runner; "
        "add `uses: actions/setup-python` with python-version 3.12 before this step\n"
    )
    assert bare.run("post.js") == Ran(0, "")


def test_later_steps_can_not_run_in_an_image(bare: Site) -> None:
    """Where a step that builds would."""
    put_python(bare.folder / "bin/python3", Path("/bin/false"))
    docker = bare.folder / "bin/docker"
    docker.write_text("#!/bin/sh\n")
    docker.chmod(0o755)
    shutil.copy(CHECKOUT / "Dockerfile", bare.action)
    assert "running in layercache-action:" in bare.run().log
    ran = bare.run(INPUT_SETUP="true")
    assert (ran.code, ran.log.startswith("::error::layercache: there is no Python 3.11 or newer")) == (1, True)


RUNS: Final = """\
#!/bin/sh
case $1 in
run) printf '%s\\n' "$@" >"$TOLD" ;;
info) echo "[$SECURITY]" ;;
container) [ -z "$VOLUMES" ] || printf '%s\\n' $VOLUMES; [ -n "$VOLUMES" ] ;;
esac
"""
"""A docker that says how it was to run the image, and that we are its container where there are VOLUMES."""


def without_python(site: Site) -> dict[str, str]:
    """The environment of a runner with nothing but this docker."""
    put_python(site.folder / "bin/python3", Path("/bin/false"))
    (site.folder / "bin/docker").write_text(RUNS)
    (site.folder / "bin/docker").chmod(0o755)
    shutil.copy(CHECKOUT / "Dockerfile", site.action)
    (site.folder / "inside.js").write_text(
        "require('os').hostname = () => '0123456789ab'; const fs = require('fs'), read = fs.readFileSync;"
        "fs.readFileSync = (...given) => (given[0] === '/proc/self/mountinfo' ? '' : read(...given));"
    )
    return {
        "NODE_OPTIONS": f"--require={site.folder / 'inside.js'}", "DOCKER_HOST": "tcp://x",
        "HOME": str(site.folder / "home"), "XDG_CACHE_HOME": "", "RUNNER_TEMP": str(site.folder / "temp"),
        "GITHUB_WORKSPACE": str(site.checkout),
    }  # fmt: skip


def options(site: Site, name: str) -> set[str]:
    words = (site.folder / "told").read_text().splitlines()
    return {word.removeprefix(f"--{name}=") for word in words if word.startswith(f"--{name}=")}


def volumes(site: Site) -> dict[str, bool]:
    """By the path of each that the container has at the same path, whether it can be written there."""
    found = {}
    for (*fields,) in csv.reader(options(site, "mount")):
        kind, source, target, *readonly = fields
        assert (kind, source.removeprefix("source="), readonly) in (
            ("type=bind", target.removeprefix("target="), []),
            ("type=bind", target.removeprefix("target="), ["readonly"]),
        )
        found[target.removeprefix("target=")] = not readonly
    return found


def test_what_is_saved_in_the_image_stays_on_the_machine(bare: Site) -> None:
    given = without_python(bare)
    (bare.folder / "temp").mkdir()
    for more, kept in (
        ({}, {"home/.cache/layercache"}),
        ({"INPUT_STORE": "local", "XDG_CACHE_HOME": str(bare.folder / "xdg")}, {"xdg/layercache"}),
        ({"INPUT_STORE": "local:~/store"}, {"home/store"}),
        ({"INPUT_STORE": "s3://b", "INPUT_TIER": f"{bare.folder}/a:b:1.5 GiB"}, {"a:b"}),
        ({"INPUT_STORE": "github", "LAYERCACHE_TIER": f"{bare.folder}/tier"}, {"tier"}),
    ):
        assert bare.run(**{**given, **more}).code == 0
        places = {str(bare.folder / name) for name in (*kept, "temp", "checkout", ".")}
        assert volumes(bare) == {str(bare.action): False, **dict.fromkeys(places, True)}
        assert all((bare.folder / name).is_dir() for name in kept)


def test_in_the_image_all_is_of_the_actions_version(bare: Site) -> None:
    """The image may have been built with an older one: its name says what packages it has, and no more."""
    assert bare.run(**without_python(bare)).code == 0
    assert f"PYTHONPATH={bare.action}:/opt/layercache/packages" in options(bare, "env")


def test_inputs_come_into_the_image_by_a_docker_that_is_a_script(bare: Site) -> None:
    """A shell may hand on no name that it could not have itself."""
    assert bare.run(**without_python(bare), **{"INPUT_BUILD-ARGS": "A=1"}).code == 0
    assert {"INPUT_BUILD-ARGS", "INPUT_BUILD_ARGS"} <= options(bare, "env")


def test_an_action_that_is_the_checkout_is_one_volume(bare: Site) -> None:
    assert bare.run(**{**without_python(bare), "GITHUB_WORKSPACE": str(bare.action)}).code == 0
    assert volumes(bare)[str(bare.action)]


def test_a_container_job_hands_on_its_volumes_or_asks_for_a_python(bare: Site) -> None:
    """Its paths are not the daemon's."""
    given = without_python(bare)
    assert bare.run(**given, VOLUMES=str(bare.folder)).code == 0
    assert (options(bare, "volumes-from"), volumes(bare)) == ({"0123456789ab"}, {})
    (bare.folder / "told").unlink()
    ran = bare.run(**given, VOLUMES=f"{bare.action} {bare.checkout}")  # not where a local store is
    assert (ran.code, ran.log.count("\n")) == (1, 1)
    assert "there is no Python 3.11 or newer on this runner; add `uses: actions/setup-python`" in ran.log
    assert not (bare.folder / "told").exists()


def test_what_inputs_name_elsewhere_is_in_the_image_too(bare: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is read can't be written. What is not there is not given: the engine says so."""
    given = {**without_python(bare), "GITHUB_STATE": ""}
    there = tmp_path_factory.mktemp("there")
    for name in ("out", "context", "certificates", 'a,"b":c'):
        (there / name).mkdir()
    for name in ("Dockerfile", "Dockerfile.dockerignore", "key", "other", 'a,"b":c/secret', "inputs.yml"):
        (there / name).write_text("")
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(str(there / "agent"))
    of_agent = {"SSH_AUTH_SOCK": str(there / "agent")}
    cases: list[tuple[dict[str, str], dict[str, bool]]] = [
        ({"OUTPUTS": f"type=docker,dest={there}/out/app.tar"}, {"out": True}),
        ({"OUTPUTS": f"type=local,dest={there}/out"}, {"out": True}),
        ({"OUTPUTS": f"type=image\n{there}/out/new/er"}, {"out": True}),
        ({"OUTPUTS": f'type=oci,"dest={there}/a,""b"":c/app.tar"'}, {'a,"b":c': True}),
        ({"OUTPUTS": "type=tar,dest=-\ntype=tar,dest=/dev/null\ntype=local,dest=here\ntype=registry"}, {}),
        ({"CACHE-TO": f"type=local,dest={there}/out/new", "CACHE-FROM": f"type=local,src={there}/context"},
         {"out": True, "context": False}),
        ({"CACHE-TO": f"type=local,dest={there}/out", "CACHE-FROM": f"type=local,src={there}/out"}, {"out": True}),
        ({"CONTEXT": f"{there}/context", "FILE": f"{there}/Dockerfile"},
         {"context": False, "Dockerfile": False, "Dockerfile.dockerignore": False}),
        ({"CONTEXT": f"{there}/none", "FILE": f"{there}/none"}, {}),
        ({"CONTEXT": ".", "FILE": "Dockerfile"}, {}),
        ({"CONTEXT": os.path.relpath(there / "context", bare.checkout)}, {"context": False}),
        ({"CONTEXT": "https://github.com/o/r.git"}, {}),
        ({"CONTEXT": str(there), "FILE": f"{there}/Dockerfile"}, {".": False}),
        ({"BUILD-CONTEXTS": f"a={there}/context\nb=docker-image://x\nc=oci-layout://{there}/out@sha256:1"},
         {"context": False, "out": False}),
        ({"SECRET-FILES": f'a={there}/key\n"b={there}/a,""b"":c/secret"'}, {"key": False, 'a,"b":c/secret': False}),
        ({"SSH": f"a={there}/key", **of_agent}, {"key": False}),
        ({"SSH": "default", **of_agent}, {"agent": False}),
        ({"CONTEXT": "git@example.com:o/r", **of_agent}, {"agent": False}),
        ({**of_agent}, {}),
        ({"CONFIG": f"{there}/inputs.yml", "DOCKER_CERT_PATH": f"{there}/certificates"},
         {"inputs.yml": False, "certificates": False}),
    ]  # fmt: skip
    assert bare.run(**given).code == 0
    always = volumes(bare)
    for more, expected in cases:
        named = ("SSH_", "DOCKER_")
        inputs = {name if name.startswith(named) else f"INPUT_{name}": value for name, value in more.items()}
        assert bare.run(**given, **inputs).code == 0
        assert volumes(bare) == {**always, **{str(there / name): written for name, written in expected.items()}}
    agent.close()
    # what is temporary is written in the image, too
    assert bare.run(**given, INPUT_CONTEXT="/var/tmp").code == 0
    assert volumes(bare) == {**always, "/var/tmp": True}


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("outputs", "type=docker,dest=/app.tar", "/"),
        ("outputs", "type=local,dest=/no/such/folder", "/"),
        ("outputs", "type=oci,dest=/etc/app.tar", "/etc"),
        ("outputs", "type=oci,dest=/opt/no-such/app.tar", "/opt"),
        ("cache-to", "type=local,dest=/usr/no-such", "/usr"),
        ("context", "/", "/"),
        ("context", "/var", "/var"),
        ("context", "/usr/bin/", "/usr/bin"),
        ("build-contexts", "a=/lib/", "/lib"),
        ("secret-files", "a=/bin/sh", "/bin/sh"),
    ],
)
def test_what_would_hide_what_is_in_the_image_is_one_error(bare: Site, name: str, value: str, place: str) -> None:
    ran = bare.run(**without_python(bare), **{f"INPUT_{name.upper()}": value})
    assert ran == Ran(
        1,
        f"::error::layercache: {name}: {place} can't be given to the container that the step runs in, as this runner "
        "has no Python; name another place, or add `uses: actions/setup-python` before this step\n",
    )
    assert not (bare.folder / "told").exists()


def test_a_file_of_the_machines_settings_is_in_the_image(bare: Site) -> None:
    assert bare.run(**without_python(bare), **{"INPUT_SECRET-FILES": "a=/etc/passwd"}).code == 0
    assert not volumes(bare)["/etc/passwd"]


def test_a_container_job_has_no_more_than_its_volumes(bare: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    there = tmp_path_factory.mktemp("there")
    given = {**without_python(bare), "VOLUMES": str(bare.folder)}
    assert bare.run(**given, INPUT_OUTPUTS=f"type=oci,dest={bare.folder}/temp/a.tar").code == 0
    ran = bare.run(**given, INPUT_OUTPUTS=f"type=oci,dest={there}/a.tar")
    assert (ran.code, "there is no Python 3.11 or newer on this runner" in ran.log) == (1, True)


@pytest.mark.parametrize(("security", "expected"), [("", True), ("name=seccomp,profile=builtin name=rootless", False)])
def test_in_the_image_an_ordinary_user_stays_one(bare: Site, security: str, expected: bool) -> None:
    """But for a rootless daemon, whose root is that user."""
    given = without_python(bare)
    with (bare.folder / "inside.js").open("a") as script:
        script.write("process.getuid = () => 1001; process.getgid = () => 121; process.getgroups = () => [121, 4];")
    with socket.socket(socket.AF_UNIX) as daemon:
        path = bare.folder / "s"
        daemon.bind(str(path))
        group = str(path.stat().st_gid)
        ran = bare.run(**{**given, "DOCKER_HOST": f"unix://{path}", "SECURITY": security, "INPUT_STORE": "github"})
    assert ran.code == 0
    assert options(bare, "user") == ({"1001:121"} if expected else set())
    assert options(bare, "group-add") == ({"121", "4", group} if expected else set())
    made = ("home/.docker", "home/.cache/layercache")  # which only root could make inside
    assert {str(bare.folder / name) for name in made} <= {name for name, written in volumes(bare).items() if written}
    assert all((bare.folder / name).is_dir() for name in made)


def test_a_python_without_pip_is_one_error(bare: Site, pipless: Path) -> None:
    put_python(bare.folder / "bin/python3", pipless)
    ran = bare.run()
    assert ran.code == 1
    assert "has no pip on this runner; add `uses: actions/setup-python`" in ran.log
    assert ran.log.count("\n") == 1


def test_a_python_without_pip_does_with_what_a_release_brings_along(bare: Site, pipless: Path) -> None:
    put_python(bare.folder / "bin/python3", pipless)
    bare.bring()
    assert bare.run() == Ran(0, f"layercache: Python {VERSION}, its packages were there\n")
    for given, lack in (({"GITHUB_TOKEN": "t"}, "GitHub is not asked"), ({"INPUT_STORE": "s3://b"}, "S3 is not used")):
        ran = bare.run(**given)
        assert ran.code == 0
        (warning,) = warnings(ran)
        assert warning.startswith(f"::warning::layercache: {lack}")
        assert f"can't be installed: Python {VERSION} has no pip, " in warning


def test_where_s3_is_wanted_a_python_with_pip_comes_first_and_then_the_image(
    bare: Site, pipless: Path, python: Path
) -> None:
    bare.bring()
    given = {**without_python(bare), "INPUT_STORE": "s3://b"}
    put_python(bare.folder / "bin/python3", pipless)
    put_python(bare.folder / "bin/python3.12", python)
    assert bare.run(**given).code == 0
    assert (bare.told["python"], warnings(bare.run(**given))) == (str(python), [])
    (bare.folder / "bin/python3.12").unlink()
    assert "running in layercache-action:" in bare.run(**given).log
    # the image can't be given that
    hidden = bare.run(**given, INPUT_OUTPUTS="type=oci,dest=/usr/app.tar", RUNNER_TOOL_CACHE=str(bare.folder / "new"))
    (warning,) = warnings(hidden)
    assert (hidden.code, "S3 is not used" in warning) == (0, True)
    assert bare.run(**{**given, "INPUT_STORE": "github"}).code == 0
    assert bare.told["python"] == str(pipless)


def test_a_python_without_pip_does_with_uv(bare: Site, pipless: Path) -> None:
    """uv is played by a program that hands its arguments to a pip: what is tested is what it is given."""
    put_python(bare.folder / "bin/python3", pipless)
    uv = bare.folder / "bin/uv"
    uv.write_text(f'#!/bin/bash\nexec "{sys.executable}" -m pip "$2" "${{@:5}}"\n')
    uv.chmod(0o755)
    assert bare.run().code == 0
    assert len(bare.installed()) == 11


def test_a_uv_that_fails_is_followed_by_pip(site: Site) -> None:
    put_python(site.folder / "bin/uv", Path("/bin/false"))
    assert site.run().code == 0
    assert len(site.installed()) == 11


def test_what_the_job_sets_for_its_own_packages_does_no_harm(site: Site) -> None:
    foreign = {"PIP_USER": "1", "PIP_TARGET": "/nowhere", "PIP_NO_BINARY": ":all:", "PIP_REQUIRE_VIRTUALENV": "1"}
    ran = site.run(**foreign, PYTHONPATH="/of/the/job")
    assert ran.code == 0
    assert site.told["environment"]["PIP_USER"] == "1"
    assert site.told["environment"]["PYTHONPATH"].endswith(":/of/the/job")


def test_a_file_that_is_not_the_locks_is_refused(site: Site) -> None:
    lock = site.action / "requirements/runtime.txt"
    lock.write_text("".join(map(_wrong, lock.read_text().splitlines(keepends=True))))
    ran = site.run()
    assert ran.code == 1
    assert "::error::layercache: its Python packages can't be installed: " in ran.log
    assert list(site.kept.iterdir()) == []


def _wrong(line: str) -> str:
    """A line of a lock with another hash."""
    before, mark, after = line.partition("--hash=sha256:")
    return f"{before}{mark}{'0' * 64}{after[64:]}" if mark else line


def test_the_exit_code_is_the_entrypoints(site: Site) -> None:
    assert site.run(CODE="125").code == 125


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_runners_signals_reach_it(site: Site, number: signal.Signals) -> None:
    process = site.start(WAIT="1")
    assert process.stdout is not None
    while (line := process.stdout.readline()) != "ready\n":
        assert line != ""
    process.send_signal(number)
    assert ended(process).code == 40 + number


def test_the_post_step_has_the_main_steps_python(site: Site, python: Path) -> None:
    assert site.run().code == 0
    state = site.state
    (site.folder / "bin/python3").unlink()
    assert site.run("post.js", **state, CODE="3") == Ran(3, "")
    assert (site.told["stage"], site.told["python"]) == ("post", str(python))


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


def test_the_action_itself_starts(site: Site) -> None:
    """With no more packages than it is given."""
    shutil.rmtree(site.action)
    site.action.mkdir()
    for name in ("launcher", "requirements", "layercache_ci", "entrypoint.py"):
        (site.action / name).symlink_to(CHECKOUT / name)
    ran = site.run(INPUT_ENGINE="none such")
    assert ran.code == 2
    assert ran.log.splitlines()[-1].startswith("::error::engine: 'none such' is none of its values")
