"""The step as the runner runs it: a process with INPUT_ variables and the runner's files, on real engines."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.conftest import MakeEngine
from tests.lab.engines import BUILDKIT, Engine
from tests.lab.git import commit_all
from tests.lab.lab import Lab
from tests.lab.paths import CHECKOUT
from tests.waiting import has_ended, until

KINDS = ("buildah-1.28", "buildah-rootless", "remote")
DOCKERFILE = """\
FROM {base} AS build
COPY app.txt /app.txt
RUN --mount=type=secret,id=token tr a-z A-Z </run/secrets/token >/secret && wc -c </secret
FROM {base}
ARG WHO
COPY --from=build /app.txt /app.txt
RUN echo "::error::from $WHO" && cat /app.txt >/copy.txt
"""
SECONDS = 120
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
FILES = ("OUTPUT", "STATE", "ENV", "STEP_SUMMARY")
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Step:
    """A step that ended, and what it told the runner."""

    code: int
    log: str
    outputs: Mapping[str, str]
    state: Mapping[str, str]
    exported: Mapping[str, str]
    summary: str
    commands: list[str] = field(default_factory=list)
    """The commands in the log that a runner obeys."""

    @property
    def report(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(Path(self.outputs["report"]).read_text())
        return found

    def wait(self) -> None:
        """For the process that saves."""
        until(lambda: has_ended(int(self.state["pid"])), told=Path(self.state["log"]).read_text)


@dataclass(slots=True)
class Site:
    """A job: its workspace, its cache and the runner's files."""

    lab: Lab
    folder: Path
    kind: str

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def run(self, engine: Engine, environment: Mapping[str, str] = NOTHING, /, **inputs: str) -> Step:
        """The main step, with `_` for the hyphens of input names, and what its environment has beside them."""
        return self.end(self.start(engine, environment, **inputs))

    def start(
        self, engine: Engine, environment: Mapping[str, str] = NOTHING, /, **inputs: str
    ) -> subprocess.Popen[str]:
        """The same, still running."""
        for name in FILES:
            (self.folder / name).write_text("")
        temp = self.folder / "temp"
        temp.mkdir(exist_ok=True)
        named = {} if self.kind in BUILDKIT else {"engine": engine.program}  # there may be a Podman as well
        given = {"store": f"local:{self.folder / 'store'}", "network": "host", **named, **inputs}
        surroundings = {
            **engine.environment,
            **environment,
            **{f"INPUT_{name.replace('_', '-').upper()}": value for name, value in given.items()},
            **{f"GITHUB_{name}": str(self.folder / name) for name in FILES},
            "RUNNER_TEMP": str(temp),
        }
        python: tuple[str, ...] = (*engine.layercache[:-1], sys.executable)
        entrypoint = CHECKOUT / "entrypoint.py"
        if engine.prefix:
            # the lab's ordinary user has a Python and a copy of the package of its own
            python = engine.layercache[:-2]
            entrypoint = Path(shutil.copy(entrypoint, engine.folder / "python"))
        subprocess.run(["chmod", "-R", "a+rwX", "--", self.folder], check=True)  # an ordinary user works here too
        with (self.folder / "log").open("w") as log:
            return subprocess.Popen(
                [*python, entrypoint, "main"],
                env=surroundings, cwd=self.workspace, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.PIPE,
                text=True,
            )  # fmt: skip

    def end(self, running: subprocess.Popen[str]) -> Step:
        """When it ended."""
        _, said = running.communicate(timeout=SECONDS)
        log = (self.folder / "log").read_text()
        print(log)
        assert said == ""
        output, state, exported, summary = (self.folder / name for name in FILES)
        return Step(
            running.returncode, log, pairs(output), pairs(state), pairs(exported), summary.read_text(), obeyed(log)
        )


def pairs(file: Path) -> dict[str, str]:
    """A file of `name<<delimiter` entries."""
    found = re.findall(r"^(\S+?)<<(\S+)\n(.*?)\n\2$", file.read_text(), re.MULTILINE | re.DOTALL)
    return {name: value for name, _, value in found}


def obeyed(log: str) -> list[str]:
    """The commands in a log as the runner reads it: between `stop-commands` and its token there are none."""
    found, token = [], None
    for line in log.splitlines():
        if token is not None:
            token = None if line == f"::{token}::" else token
        elif line.startswith("::stop-commands::"):
            token = line.removeprefix("::stop-commands::")
        elif line.lstrip().startswith("::"):
            found.append(line)
    assert token is None
    return found


@pytest.fixture
def site(lab: Lab, request: pytest.FixtureRequest) -> Site:
    kind: str = request.param
    found = Site(lab, lab.scratch("site-"), kind)
    found.workspace.mkdir()
    (found.workspace / "Dockerfile").write_text(DOCKERFILE.format(base=lab.busybox))
    (found.workspace / "app.txt").write_text("one\n")
    return found


def git(*words: str | Path, folder: Path) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The URL at which a folder is, as git's dumb protocol needs no more."""
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


HOSTED = {"RUNNER_ENVIRONMENT": "github-hosted"}
on_engines = pytest.mark.parametrize("site", KINDS, indirect=True)


def result(site: Site) -> dict[str, str]:
    """Inputs that leave an image where there is no daemon."""
    if site.kind in BUILDKIT:
        return {"outputs": f"type=oci,dest={site.folder / 'image.tar'}"}
    return {}


@on_engines
def test_what_a_first_job_saved_all_hits_in_a_second_on_an_emptied_engine(site: Site, make_engine: MakeEngine) -> None:
    inputs = {
        "tags": f"{site.lab.registry}/app:1", "build_args": "WHO=me", "secrets": "token=hushhush", **result(site),
    }  # fmt: skip
    steps = "4" if site.kind in BUILDKIT else "5"  # Buildah makes one of ARG
    cold = site.run(make_engine(site.kind), **inputs)
    assert cold.code == 0
    assert (cold.outputs["cache-hit"], cold.outputs["hit-steps"], cold.outputs["total-steps"]) == ("false", "0", steps)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", cold.outputs["imageid"])
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", cold.outputs["digest"])
    assert json.loads(cold.outputs["metadata"])["containerimage.digest"] == cold.outputs["digest"]
    assert cold.commands == ["::add-mask::hushhush"]
    cold.wait()
    assert cold.report["saved"] is True
    assert list(Path(cold.outputs["report"]).parent.glob("secrets")) == []

    warm = site.run(make_engine(site.kind), **inputs)
    assert warm.code == 0
    assert (warm.outputs["cache-hit"], warm.outputs["hit-steps"]) == ("true", steps)
    assert int(warm.outputs["bytes-restored"]) > 0
    assert float(warm.outputs["seconds-saved"]) >= 0
    assert f"{steps} of {steps} steps hit" in warm.summary
    warm.wait()


@on_engines
def test_a_failing_build_fails_the_step_with_the_engines_code(site: Site, make_engine: MakeEngine) -> None:
    dockerfile = site.workspace / "Dockerfile"
    dockerfile.write_text(f"FROM {site.lab.busybox}\nRUN echo ok >/ok\nRUN echo '::error::mine'; exit 7\n")
    step = site.run(make_engine(site.kind), **result(site))
    assert step.code == (1 if site.kind in BUILDKIT else 7)
    assert [command.partition(" ended")[0] for command in step.commands] == [
        f"::error::the build failed: {'buildkit' if site.kind in BUILDKIT else 'buildah'}"
    ]
    assert (step.outputs["imageid"], step.outputs["cache-hit"]) == ("", "false")
    step.wait()
    assert step.report["saved"] is True


@on_engines
def test_a_cancelled_step_ends_with_its_engine_and_what_was_finished_is_saved(
    site: Site, make_engine: MakeEngine
) -> None:
    dockerfile = site.workspace / "Dockerfile"
    dockerfile.write_text(f"FROM {site.lab.busybox}\nRUN echo ok >/ok\nRUN echo so${{NOTHING}}on; exec sleep 100\n")
    running = site.start(make_engine(site.kind), secrets="token=hushhush", **result(site))
    until(lambda: "soon" in (site.folder / "log").read_text())
    running.terminate()
    step = site.end(running)
    assert step.code not in {0, 100}
    step.wait()
    assert step.report["saved"] is True
    assert list(Path(step.outputs["report"]).parent.glob("secrets")) == []


@on_engines
def test_fail_on_miss_names_the_steps(site: Site, make_engine: MakeEngine) -> None:
    (site.workspace / "Dockerfile").write_text(f"FROM {site.lab.busybox}\nCOPY app.txt /\nRUN cp app.txt b.txt\n")
    engine = make_engine(site.kind)
    inputs = {"fail_on_miss": "true", "wait": "true", "summary": "off", **result(site)}
    cold = site.run(engine, **inputs)
    assert cold.code == 1
    assert cold.commands == [
        "::error::fail-on-miss: 2 steps missed: line 2 (COPY app.txt /); line 3 (RUN cp app.txt b.txt)"
    ]
    assert (cold.state["pid"], cold.summary) == ("", "")
    assert int(cold.outputs["bytes-saved"]) > 0
    assert site.run(engine, **inputs).code == 0


@on_engines
def test_without_a_cache_it_is_the_plain_build(site: Site, make_engine: MakeEngine) -> None:
    (site.workspace / "Dockerfile").write_text(f"FROM {site.lab.busybox}\nCOPY app.txt /\n")
    for _ in range(2):
        step = site.run(make_engine(site.kind), mode="off", wait="true", **result(site))
        assert (step.code, step.outputs["cache-hit"], step.outputs["bytes-saved"]) == (0, "false", "0")
        assert step.commands == []


@pytest.mark.parametrize("site", ["docker-classic", "docker-containerd"], indirect=True)
def test_the_daemons_own_builder_has_the_image(site: Site, make_engine: MakeEngine) -> None:
    engine = make_engine(site.kind)
    (site.workspace / "Dockerfile").write_text(f"FROM {site.lab.busybox}\nCOPY app.txt /\nRUN cp app.txt b.txt\n")
    step = site.run(engine, tags="app:1", load="true", provenance="false", sbom="false", wait="true")
    assert (step.code, step.commands) == (0, [])
    assert step.outputs["image-with-tag"] == "app:1"
    found = engine.run("image", "inspect", "--format", "{{.Id}}", "app:1").stdout.strip()
    # containerd's image store names an image by its manifest, buildx by its config
    assert found == step.outputs["digest" if site.kind == "docker-containerd" else "imageid"]


@pytest.mark.parametrize("site", ["remote"], indirect=True)
def test_the_git_context_where_there_is_no_checkout(site: Site, make_engine: MakeEngine) -> None:
    repository = site.folder / "octo/app.git"
    git("init", "-q", "-b", "main", folder=site.workspace)
    (site.workspace / "Dockerfile").write_text(f"FROM {site.lab.busybox}\nCOPY app.txt /\n")
    git("add", ".", folder=site.workspace)
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one", folder=site.workspace)
    git("clone", "-q", "--bare", ".", repository, folder=site.workspace)
    git("update-server-info", folder=repository)
    with serving(site.folder) as server:
        shutil.rmtree(site.workspace)
        site.workspace.mkdir()
        job = {"GITHUB_SERVER_URL": server, "GITHUB_REPOSITORY": "octo/app", "GITHUB_REF": "refs/heads/main"}
        step = site.run(make_engine(site.kind), job, github_token="tok", wait="true", **result(site))
    assert step.code == 0
    assert step.outputs["cache-hit"] == "false"
    assert step.commands == ["::add-mask::tok"]
    assert "which the engine fetches, and not cached: the run does not say which commit it is for" in step.log


@pytest.mark.parametrize("site", ["buildah-rootless", "podman-4.3", "remote"], indirect=True)
def test_a_second_checkout_of_the_commit_hits_whatever_else_is_in_it(site: Site, make_engine: MakeEngine) -> None:
    (site.workspace / "Dockerfile").write_text(f"FROM {site.lab.busybox}\nCOPY . /src\nRUN ls -A /src | tee /list\n")
    commit = commit_all(site.workspace, origin="https://github.com/octo/app.git")
    job = {"GITHUB_REPOSITORY": "octo/app", "GITHUB_REF": "refs/heads/main", "GITHUB_SHA": commit}
    other = site.folder / "clone"
    git("clone", "-q", site.workspace, other, folder=site.folder)
    for left in (site.workspace, other):
        (left / f"left-in-{left.name}").write_text("by an earlier job")
        (left / "app.txt").write_text("changed by an earlier step")
    step = site.run(make_engine(site.kind), job, github_token="tok", **result(site))
    assert (step.code, step.outputs["cache-hit"], step.commands) == (0, "false", ["::add-mask::tok"])
    step.wait()
    assert step.report["saved"] is True
    assert sorted(found.name for found in Path(step.state["folder"]).iterdir() if found.is_dir()) == []

    shutil.rmtree(site.workspace)
    other.rename(site.workspace)
    second = site.run(make_engine(site.kind), job, github_token="another", **result(site))
    assert (second.code, second.outputs["cache-hit"]) == (0, "true")
    second.wait()


@pytest.mark.parametrize("site", ["remote"], indirect=True)
def test_the_token_of_githubs_cache_is_told_to_buildx_alone(site: Site, make_engine: MakeEngine) -> None:
    (site.workspace / "Dockerfile").write_text(f"FROM {site.lab.busybox}\nCOPY app.txt /\n")
    job = {"GITHUB_REPOSITORY": "octo/app"}
    step = site.run(
        make_engine(site.kind), job, cache_to="type=gha,mode=max", github_token="hush", summary="full", wait="true"
    )
    assert (step.code, step.commands) == (0, ["::add-mask::hush"])
    assert "type=gha,mode=max" in step.summary
    shown = [step.summary, Path(step.outputs["report"]).read_text(), step.log.replace("::add-mask::hush", "")]
    assert [text for text in shown if "hush" in text] == []


@pytest.mark.parametrize("site", ["buildah-1.28", "remote"], indirect=True)
def test_a_folder_called_like_an_option_is_built_as_a_folder(site: Site, make_engine: MakeEngine) -> None:
    name = "--build-arg=WHO=somebody else"
    (site.workspace / name).mkdir()
    (site.workspace / name / "Dockerfile").write_text(
        f'FROM {site.lab.busybox}\nARG WHO=nobody\nCOPY file /\nRUN [ "$WHO" = nobody ]\n'
    )
    (site.workspace / name / "file").write_text("x")
    step = site.run(make_engine(site.kind), context=name, wait="true", **result(site))
    assert (step.code, step.outputs["hit-steps"]) == (0, "0")
    assert step.outputs["total-steps"] != "0"


@pytest.mark.parametrize("site", ["remote"], indirect=True)
def test_what_the_checks_find_is_annotated_at_its_line(site: Site, make_engine: MakeEngine) -> None:
    (site.workspace / "sub").mkdir()
    (site.workspace / "sub/Dockerfile").write_text(f"FROM {site.lab.busybox}\nMAINTAINER me\nRUN date\n")
    engine = make_engine(site.kind)
    first = site.run(engine, context="sub", wait="true")
    again = site.run(engine, {"DOCKER_BUILD_CHECKS_ANNOTATIONS": "0"}, context="sub", wait="true")
    for step, count in ((first, 1), (again, 0)):
        assert step.code == 0
        assert "buildx.build.warnings" in json.loads(step.outputs["metadata"])
        assert len([line for line in step.commands if line.startswith("::warning title=")]) == count
    told = "file=sub/Dockerfile,line=2::MaintainerDeprecated: Maintainer instruction is deprecated"
    assert told in " ".join(first.commands)


@pytest.mark.parametrize("site", ["remote"], indirect=True)
def test_a_check_warns_of_nothing_and_several_platforms_are_cached(site: Site, make_engine: MakeEngine) -> None:
    (site.workspace / "Dockerfile").write_text(f"FROM {site.lab.busybox}\nCOPY app.txt /\n")
    engine = make_engine(site.kind)
    both = "linux/amd64,linux/arm64"
    for more in ({}, {"platforms": both}):
        assert site.run(engine, call="check", wait="true", **more).commands == []
    archive = f"type=oci,dest={site.folder / 'both.tar'}"
    steps = [site.run(make_engine(site.kind), platforms=both, wait="true", outputs=archive) for _ in range(2)]
    assert [step.commands for step in steps] == [[], []]
    counted = ("cache-hit", "hit-steps", "total-steps")
    assert [[step.outputs[name] for name in counted] for step in steps] == [["false", "0", "2"], ["true", "2", "2"]]


@pytest.mark.parametrize("site", ["remote"], indirect=True)
def test_what_only_buildx_takes(site: Site, make_engine: MakeEngine) -> None:
    """A name to push to that only an output has, and a Dockerfile in lower case."""
    (site.workspace / "Dockerfile").unlink()
    (site.workspace / "dockerfile").write_text(f"FROM {site.lab.busybox}\nCOPY app.txt /\n")
    output = f"type=image,name={site.lab.registry}/by/digest,push-by-digest=true,name-canonical=true"
    step = site.run(make_engine(site.kind), push="true", outputs=output, wait="true")
    assert (step.code, step.commands) == (0, [])
    url = f"http://{site.lab.registry}/v2/by/digest/manifests/{step.outputs['digest']}"
    asked = urllib.request.Request(url, headers={"Accept": ", ".join(MANIFESTS)})
    with urllib.request.urlopen(asked, timeout=SECONDS) as answer:  # noqa: S310 - the lab's registry
        assert answer.status == 200


@pytest.mark.parametrize("site", ["buildah-1.28"], indirect=True)
def test_the_inputs_of_buildah_build(site: Site, make_engine: MakeEngine) -> None:
    engine = make_engine(site.kind)
    (site.workspace / "Containerfile").write_text(f"FROM {site.lab.busybox}\nCOPY app.txt /\n")
    step = site.run(engine, image="App", tags="v1 latest", containerfiles="./Containerfile", engine="auto", wait="true")
    assert step.code == 0
    assert (step.outputs["image"], step.outputs["tags"], step.outputs["image-with-tag"]) == (
        "app",
        "v1 latest",
        "app:v1",
    )
    names = engine.run("images", "--format", "{{.Name}}:{{.Tag}}").stdout.split()
    assert {"localhost/app:v1", "localhost/app:latest"} <= set(names)


@pytest.mark.parametrize("site", ["buildah-1.28", "podman-4.3", "remote"], indirect=True)
def test_what_is_pushed_has_the_digest_that_the_outputs_say(site: Site, make_engine: MakeEngine) -> None:
    (site.workspace / "Dockerfile").write_text(f"FROM {site.lab.busybox}\nCOPY app.txt /\n")
    for _ in range(2):
        engine = make_engine(site.kind)
        name = f"{engine.registry}/pushed:1"
        step = site.run(engine, engine=engine.program, tags=name, push="true", wait="true")
        assert step.code == 0
        repository, _, tag = name.removeprefix(f"{engine.registry}/").partition(":")
        url = f"http://{engine.registry}/v2/{repository}/manifests/{tag}"
        asked = urllib.request.Request(url, headers={"Accept": ", ".join(MANIFESTS)})
        with urllib.request.urlopen(asked, timeout=SECONDS) as answer:  # noqa: S310 - the lab's registry
            assert f"sha256:{hashlib.sha256(answer.read()).hexdigest()}" == step.outputs["digest"]


@pytest.mark.parametrize("site", ["buildah-1.28", "podman-4.3"], indirect=True)
def test_several_platforms_are_a_list_that_is_pushed(site: Site, make_engine: MakeEngine) -> None:
    engine = make_engine(site.kind)
    (site.workspace / "Dockerfile").write_text("FROM scratch\nCOPY app.txt /\n")
    name = f"{engine.registry}/app"
    for _ in range(2):
        step = site.run(engine, engine=engine.program, tags=f"{name}:1,{name}:2", tls_verify="false",
                        platforms="linux/amd64,linux/arm64", push="true", wait="true")  # fmt: skip
        assert (step.code, step.outputs["image-with-tag"]) == (0, f"{name}:1")
        for tag in ("1", "2"):
            found = json.loads(
                engine.run("inspect", "--raw", "--tls-verify=false", f"docker://{name}:{tag}", program="skopeo").stdout
            )
            platforms = [entry["platform"]["architecture"] for entry in found["manifests"]]
            assert sorted(platforms) == ["amd64", "arm64"]


@pytest.mark.parametrize("site", ["buildah-1.28", "podman-sid"], indirect=True)
def test_later_steps_find_an_image_that_stays_on_the_restored_layers(site: Site, make_engine: MakeEngine) -> None:
    """Those that build, too: what is built on it is saved, and is found again by the next job."""
    (site.workspace / "Dockerfile").write_text(f"FROM {site.lab.busybox}\nCOPY app.txt /\n")
    (site.workspace / "Second").write_text("FROM localhost/app:1\nRUN cat app.txt >copy\n")
    hits = []
    for _ in range(3):
        engine = make_engine(site.kind)
        first = site.run(engine, HOSTED, tags="localhost/app:1", wait="true")
        later = replace(engine, environment={**engine.environment, **first.exported})
        second = site.run(later, HOSTED, tags="localhost/second:1", file="Second", wait="true")
        last = replace(later, environment={**later.environment, **second.exported})
        found = last.run("images", "--format", "{{.Digest}}", "localhost/second:1").stdout
        assert second.outputs["digest"] in found
        assert [step.code for step in (first, second)] == [0, 0]
        assert [step.commands for step in (first, second)] == [[], []]
        hits.append([step.outputs["cache-hit"] for step in (first, second)])
        exported = [list(step.exported) for step in (first, second)]
    assert hits == [["false", "false"], ["true", "true"], ["true", "true"]]
    assert exported == [["CONTAINERS_STORAGE_CONF"]] * 2


@pytest.mark.parametrize(
    ("site", "given"),
    [
        ("buildah-1.28", "from --name mine {base}"),
        ("buildah-rootless", "from --name mine {base}"),
        ("podman-4.3", "create --name mine {base} true"),
        ("podman-sid", "volume create mine"),
        ("podman-rootless", "secret create mine {folder}/secret"),
        ("podman-rootless", "network create mine"),
    ],
    indirect=["site"],
)
def test_later_steps_find_what_earlier_ones_have_in_the_engines_storage(
    site: Site, make_engine: MakeEngine, given: str
) -> None:
    """Which no storage of the image's own would show."""
    (site.workspace / "Dockerfile").write_text(f"FROM {site.lab.busybox}\nCOPY app.txt /\n")
    (site.folder / "secret").write_text("hushhush")
    kind = given.partition(" ")[0]
    look = ["inspect"] if kind in {"from", "create"} else [kind, "inspect"]
    hits = []
    for _ in range(2):
        engine = make_engine(site.kind)
        site.folder.chmod(0o755)
        (site.folder / "secret").chmod(0o644)
        engine.run(*given.format(base=site.lab.busybox, folder=site.folder).split())
        step = site.run(engine, tags="localhost/app:1", keep_store="true", wait="true")
        later = replace(engine, environment={**engine.environment, **step.exported})
        later.run(*look, "mine")
        later.run("inspect", "--type=image", "localhost/app:1")
        hits.append((step.code, step.outputs["cache-hit"], step.commands))
    assert hits == [(0, "false", []), (0, "true", [])]


@pytest.mark.parametrize("site", ["buildah-1.28"], indirect=True)
@pytest.mark.parametrize("runner", ["self-hosted", "github-hosted, told so"])
def test_or_in_the_engines_own_storage(site: Site, make_engine: MakeEngine, runner: str) -> None:
    """Where the next job may look for it, or what does not have the job's environment."""
    (site.workspace / "Dockerfile").write_text(f"FROM {site.lab.busybox}\nCOPY app.txt /\n")
    inputs = {"tags": "localhost/app:1", "wait": "true"}
    environment = {"RUNNER_ENVIRONMENT": runner.partition(",")[0]}
    if "told" in runner:
        inputs["keep_store"] = "false"
    for hit in ("false", "true"):
        engine = make_engine(site.kind)
        step = site.run(engine, environment, **inputs)
        assert (step.code, step.outputs["cache-hit"], step.exported) == (0, hit, {})
        assert "localhost/app" in engine.run("images", "--format", "{{.Name}}").stdout.split()


@pytest.mark.parametrize("site", ["buildah-1.28"], indirect=True)
@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"max_size": "a lot"}, "max-size: 'a lot' is no size; write a number with a unit, like 500MB or 10GB"),
        ({"summary": "long"}, "summary: 'long' is none of its values; write off, short, full"),
        ({"comment": "yes"}, "comment: 'yes' is neither true nor false; write true or false"),
        (
            {"secrets": 'a=b\n"c=hushhush'},
            'secrets: the double quote in line 2 is not closed; close it; within quotes a quote is written ""',
        ),
        ({"context": "none"}, "context: 'none' is no folder; name the folder that holds what COPY copies"),
    ],
)
def test_a_wrong_input_is_one_error_that_names_it(
    site: Site, make_engine: MakeEngine, given: dict[str, str], error: str
) -> None:
    step = site.run(make_engine(site.kind), **given)
    assert step.code == 2
    assert step.log == f"::error::{error}\n"
    assert step.outputs == {}
    assert list((site.folder / "temp").iterdir()) == []
