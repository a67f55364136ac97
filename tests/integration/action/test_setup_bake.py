"""`setup: true`: what `docker buildx bake` and `docker compose build` build is cached too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from layercache_ci.dockerfile.platform import host_platform
from tests.conftest import MakeEngine
from tests.integration.action.test_main import Site, site
from tests.integration.action.test_setup import Job, set_up
from tests.lab.engines import Engine
from tests.lab.install_buildkit import COMPOSE

__all__ = ["site"]
IN_NO_FILE = r"""RUN test '${A} %{' = "$(printf %b '\044{A} \045{')"
"""
on_docker = pytest.mark.parametrize("site", ["docker-containerd"], indirect=True)


def bake(site: Site) -> str:
    """A bake file of two targets; the command."""
    target = {"network": "host", "entitlements": ["network.host"]}
    targets = {"web": {**target, "tags": ["web:1"]}, "api": {**target, "context": "api", "tags": ["api:1"]}}
    (site.workspace / "docker-bake.json").write_text(json.dumps({"target": targets}))
    return "docker buildx bake --allow network.host web api"


def compose(site: Site) -> str:
    """The same of compose's."""
    build = {"network": "host"}
    services = {
        "web": {"image": "web:1", "build": {**build, "context": "."}},
        "api": {"image": "api:1", "build": {**build, "context": "api"}},
    }
    (site.workspace / "compose.yaml").write_text(json.dumps({"services": services}))
    return "docker compose build"


def job(site: Site, engine: Engine, **inputs: str) -> Job:
    """With compose, and a second thing to build."""
    plugins = engine.folder / "plugins"
    plugins.mkdir()
    (plugins / "docker-compose").symlink_to(site.lab.paths.docker / COMPOSE)
    file = engine.folder / "docker/config.json"
    config = json.loads(file.read_text())
    config["cliPluginsExtraDirs"].append(str(plugins))
    file.write_text(json.dumps(config))
    (site.workspace / "api").mkdir(exist_ok=True)
    (site.workspace / "api/Dockerfile").write_text(f"FROM {site.lab.busybox}\nRUN echo api >/api\n")
    return set_up(site, engine, **inputs)


@on_docker
@pytest.mark.parametrize("command", [bake, compose], ids=lambda command: command.__name__)
def test_each_target_is_cached(site: Site, make_engine: MakeEngine, command: Callable[[Site], str]) -> None:
    for outcome in ("🟥 miss", "🟩 hit"):
        found = job(site, make_engine(site.kind))
        assert found.run(command(site)).returncode == 0
        assert found.run("docker image inspect web:1 api:1").returncode == 0
        summary = found.post()[1]
        assert (summary.count(outcome), summary.count("steps hit")) == (3, 2)
        assert Path(found.step.state["setup"]).exists() is False


@on_docker
@pytest.mark.parametrize("command", [bake, compose], ids=lambda command: command.__name__)
def test_a_target_that_fails_fails_the_command(
    site: Site, make_engine: MakeEngine, command: Callable[[Site], str]
) -> None:
    found = job(site, make_engine(site.kind))
    (site.workspace / "api/Dockerfile").write_text(f"FROM {site.lab.busybox}\nRUN echo hello; exit 7\n")
    failed = found.run(command(site))
    assert failed.returncode == 1
    assert "hello" in failed.stderr
    assert "the build failed with exit code 1" in found.post()[1]


@on_docker
def test_what_comes_up_is_built_with_the_cache(site: Site, make_engine: MakeEngine) -> None:
    for outcome in ("🟥 miss", "🟩 hit"):
        found = job(site, make_engine(site.kind))
        web = {"image": "web:1", "build": {"context": ".", "network": "host"}, "depends_on": ["api"]}
        api = {"image": "api:1", "build": {"context": "api", "network": "host"}}
        other = {"image": "other:1", "build": {"context": "nowhere"}}
        services = {"web": web, "api": api, "other": other}
        project = {"services": {name: {**each, "network_mode": "none"} for name, each in services.items()}}
        (site.workspace / "compose.yaml").write_text(json.dumps(project))
        up = found.run("docker compose --project-name p up --no-start --build web")
        assert (up.returncode, "built without the cache" in up.stderr) == (0, False)
        made = found.run("docker container ls --all --format '{{.Names}} {{.Image}}'").stdout
        assert sorted(made.split("\n")) == ["", "p-api-1 api:1", "p-web-1 web:1"]
        summary = found.post()[1]
        assert (summary.count(outcome), summary.count("steps hit")) == (3, 2)


@on_docker
@pytest.mark.parametrize("option", ["--build ", ""])
def test_what_is_run_is_built_with_the_cache(site: Site, make_engine: MakeEngine, option: str) -> None:
    """Without `--build`, what is not there."""
    for hits in (0, 2):
        found = job(site, make_engine(site.kind))
        web = {"build": {"context": ".", "network": "host"}, "depends_on": ["api"]}
        services = {"web": web, "api": {"build": {"context": "api", "network": "host"}, "command": ["true"]}}
        project = {"services": {name: {**each, "network_mode": "none"} for name, each in services.items()}}
        (site.workspace / "compose.yaml").write_text(json.dumps(project))
        ran = found.run(f"docker compose -p p run --rm {option}web sh -c 'cat /copy.txt -; exit 3' <<<--build")
        assert (ran.returncode, ran.stdout) == (3, "one\n--build\n")
        assert "built without the cache" not in ran.stderr
        built = found.run("docker image ls --format '{{.Repository}}' 'p-*'")
        assert sorted(built.stdout.split()) == ["p-api", "p-web"]
        summary = found.post()[1]
        assert (summary.count("steps hit"), f": {hits} of 2 steps hit" in summary) == (2, True)


@on_docker
def test_what_is_there_is_not_built_again(site: Site, make_engine: MakeEngine) -> None:
    found = job(site, make_engine(site.kind))
    web = {"build": {"context": ".", "network": "host"}, "network_mode": "none"}
    (site.workspace / "compose.yaml").write_text(json.dumps({"services": {"web": web}}))
    for _ in range(2):
        up = found.run("docker compose -p p up --no-start")
        assert (up.returncode, up.stdout, "layercache: built without" in up.stderr) == (0, "", False)
    assert found.post()[1].count("steps hit") == 1


@on_docker
def test_only_dockers_own_build_goes_by_the_default_platform(site: Site, make_engine: MakeEngine) -> None:
    """Each image is for the platform that the real program makes it for."""
    text = "FROM scratch\nARG TARGETARCH\nCOPY app.txt /$TARGETARCH\n"
    targets = {name: {"tags": [f"bake:{name}"]} for name in ("ours", "real")}
    services = {name: {"image": f"compose:{name}", "build": "."} for name in ("ours", "real")}
    for misses in (2, 0):  # compose's image is docker build's
        found = job(site, make_engine(site.kind))
        (site.workspace / "Dockerfile").write_text(text)
        (site.workspace / "docker-bake.json").write_text(json.dumps({"target": targets}))
        (site.workspace / "compose.yaml").write_text(json.dumps({"services": services}))
        real = f"PATH={found.engine.environment['PATH']}"
        for path, name in (("", "ours"), (real, "real")):
            ran = found.run(
                f"export DOCKER_DEFAULT_PLATFORM=linux/s390x {path}; docker build -t build:{name} .;"
                f"docker bake {name}; docker compose build {name}"
            )
            assert (ran.returncode, "built without the cache" in ran.stderr) == (0, False)
        shown = {
            name: found.run(
                f"docker image inspect --format '{{{{.Architecture}}}}' build:{name} bake:{name} compose:{name}"
            ).stdout.split()
            for name in ("ours", "real")
        }
        assert shown["ours"] == shown["real"] == ["s390x", host_platform().split("/")[1], "s390x"]
        summary = found.post()[1]
        assert (summary.count("steps hit"), summary.count("🟥 miss")) == (3, misses)


@on_docker
def test_what_is_built_on_another_target_is_the_real_programs(site: Site, make_engine: MakeEngine) -> None:
    found = job(site, make_engine(site.kind))
    targets = {"a": {"context": "api", "network": "host"}, "b": {"contexts": {"x": "target:a"}, "network": "host"}}
    (site.workspace / "docker-bake.json").write_text(json.dumps({"target": targets}))
    built = found.run("docker buildx bake --allow network.host b")
    assert built.returncode == 0
    assert "layercache: built without the cache: the target b is built on another one\n" in built.stderr


@on_docker
def test_compose_builds_what_was_asked_for_as_it_is_written(site: Site, make_engine: MakeEngine) -> None:
    found = job(site, make_engine(site.kind))
    build = {"network": "host", "context": ".", "args": {"A": "$${X}"}}
    services = {
        "web": {"image": "web:1", "build": build, "depends_on": ["api"]},
        "api": {"image": "api:1", "build": {"context": "api"}},
    }
    (site.workspace / "compose.yaml").write_text(json.dumps({"services": services}))
    (site.workspace / "Dockerfile").write_text(f"FROM {site.lab.busybox}\nARG A\nRUN test \"$A\" = '${{X}}'\n")
    built = found.run("docker compose build web")
    assert (built.returncode, "built without the cache" in built.stderr) == (0, False)
    assert found.run("docker image inspect api:1").returncode == 1
    assert found.post()[1].count("steps hit") == 1


@on_docker
def test_a_secret_of_composes_own_file_is_given(site: Site, make_engine: MakeEngine) -> None:
    found = job(site, make_engine(site.kind))
    (site.workspace / ".env").write_text("TOK=hidden\n")
    web = {"image": "web:1", "build": {"network": "host", "context": ".", "secrets": ["tok"]}}
    project = {"services": {"web": web}, "secrets": {"tok": {"environment": "TOK"}}}
    (site.workspace / "compose.yaml").write_text(json.dumps(project))
    (site.workspace / "Dockerfile").write_text(
        f"FROM {site.lab.busybox}\nRUN --mount=type=secret,id=tok,required=true grep -q hidden /run/secrets/tok\n"
    )
    built = found.run("docker compose build web")
    assert built.returncode == 0
    assert "the target web has a secret of TOK" in built.stderr


@on_docker
@pytest.mark.parametrize("program", ["bake", "compose"])
def test_a_dockerfile_that_is_in_no_file_is_cached(site: Site, make_engine: MakeEngine, program: str) -> None:
    """As it stands in the definition, in which what is no variable of that is written twice."""
    text = f"FROM {site.lab.busybox}\nARG A=1\n" + IN_NO_FILE
    build = {"context": ".", "network": "host"}
    for outcome in ("🟥 miss", "🟩 hit"):
        found = job(site, make_engine(site.kind))
        (site.workspace / "Dockerfile").unlink(missing_ok=True)
        if program == "bake":
            target = {
                **build,
                "tags": ["web:1"],
                "entitlements": ["network.host"],
                "dockerfile-inline": text.replace("${", "$${").replace("%{", "%%{"),
            }
            (site.workspace / "docker-bake.json").write_text(json.dumps({"target": {"web": target}}))
            command = "docker buildx bake --allow network.host web"
        else:
            build = {**build, "dockerfile_inline": text.replace("$", "$$")}
            project = {"services": {"web": {"image": "web:1", "build": build}}}
            (site.workspace / "compose.yaml").write_text(json.dumps(project))
            command = "docker compose build web"
        built = found.run(command)
        assert (built.returncode, "built without the cache" in built.stderr) == (0, False)
        assert found.run("docker image inspect web:1").returncode == 0
        summary = found.post()[1]
        assert (summary.count(outcome), summary.count("steps hit")) == (1, 1)
