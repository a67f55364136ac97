"""With BuildKit the image ends where the replaced command would leave it, and the user's own configuration holds."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.conftest import MakeEngine
from tests.e2e.archives import read_archive
from tests.e2e.harness import Bench
from tests.e2e.image import Image
from tests.e2e.store_sites import GithubSite
from tests.e2e.stories import STEPS, context
from tests.lab.engine import Engine
from tests.lab.lab import Lab
from tests.lab.registry import copy_data, serve

USER, PASSWORD = "lab", "open-sesame"
HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuutXu9KzOt.1yBoZUeFWoT/914/JfszCO\n"
"""bcrypt of the password: what docker-registry takes."""


@dataclass(frozen=True, slots=True)
class Left:
    """All that a build leaves for its user, without what differs in each: times, and the names of engines."""

    in_daemon: frozenset[str]
    image: tuple[object, ...] | None
    files: frozenset[str]


def left_by(engine: Engine, lab: Lab, pushed: str, out: Path) -> Left:
    listed = engine.run("images", "--format", "{{.Repository}}:{{.Tag}}", check=False).stdout.split()
    names = frozenset(name for name in listed if not name.startswith("moby/"))
    files = frozenset(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    return Left(names, image_of(engine, lab, pushed, names), files)


def image_of(engine: Engine, lab: Lab, pushed: str, names: frozenset[str]) -> tuple[object, ...] | None:
    """What was pushed, or what is in the daemon."""
    archive = engine.folder / "left.tar"
    source = f"docker://{lab.registry}/{pushed}"
    copy = ["skopeo", "copy", "--src-tls-verify=false", source, f"oci-archive:{archive}"]
    if subprocess.run(copy, capture_output=True, check=False).returncode == 0:
        return told(read_archive(archive))
    if "app:latest" in names:
        engine.run("save", "--output", archive, "app")
        return told(read_archive(archive))
    return None


def told(image: Image) -> tuple[object, ...]:
    return (image.config, image.history, image.files)


EVERY_RUN = {("docker-containerd", "-t"), ("docker-classic", "-t"), ("container-bridge", "--load"), ("remote", "push")}
WAYS = {
    "-t": ("-t", "app"),
    "--load": ("-t", "app", "--load"),
    "push": ("-t", "{pushed}", "--push"),
    "local": ("--output", "type=local,dest={out}"),
    "cacheonly": ("--output", "type=cacheonly"),
}


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        pytest.param(kind, way, id=f"{kind} {way}", marks=() if (kind, way) in EVERY_RUN else pytest.mark.all_rows)
        for kind, ways in {
            "docker-containerd": ("-t", "push", "local"),
            "docker-classic": ("-t", "--load", "push", "local", "cacheonly"),
            "container-bridge": ("-t", "--load", "push"),
            "container-host": ("-t", "--load"),
            "remote": ("-t", "push", "local"),
            "unreachable": ("-t", "push"),
        }.items()
        for way in ways
    ],
)
def test_the_image_is_where_plain_buildx_leaves_it(
    lab: Lab, make_engine: MakeEngine, tmp_path: Path, kind: str, way: str
) -> None:
    bench = Bench(lab, make_engine, kind, tmp_path)
    folder = context(bench, STEPS, file="1")
    found = []
    for name in ("plain", "cold", "warm"):
        engine, out, pushed = bench.engine(), tmp_path / name, f"{kind}-{way.strip('-')}-{name}"
        out.mkdir()
        options = [word.format(pushed=f"{engine.registry}/{pushed}", out=out) for word in WAYS[way]]
        if name == "plain":
            engine.plain("--network", "host", *options, folder)
        else:
            engine.build("--store", f"local:{bench.store}", "--network", "host", *options, folder)
        found.append(without(left_by(engine, lab, pushed, out), f"{engine.registry}/{pushed}"))
        engine.remove()

    assert found[1] == found[0]
    assert found[2] == found[0]


def without(left: Left, pushed: str) -> Left:
    """Names of what was pushed differ by engine; whether the daemon has it does not."""
    return replace(left, in_daemon=frozenset(name.replace(pushed, "PUSHED") for name in left.in_daemon))


def test_what_the_client_is_asked_to_write_down(lab: Lab, make_engine: MakeEngine, tmp_path: Path) -> None:
    """--iidfile and --metadata-file, and --quiet: nothing but the ID on the standard output."""
    bench = Bench(lab, make_engine, "docker-containerd", tmp_path)
    folder = context(bench, STEPS, file="1")
    for engine in (bench.engine(), bench.engine()):
        files = {name: engine.folder / name for name in ("iid", "metadata")}
        done = engine.build(
            "--store", f"local:{bench.store}", "--network", "host", "-t", "app", "--quiet",
            "--iidfile", files["iid"], "--metadata-file", files["metadata"], folder,
        )  # fmt: skip
        identity = engine.run("image", "inspect", "--format", "{{.Id}}", "app").stdout.strip()

        assert done.stdout.strip() == files["iid"].read_text() == identity
        assert json.loads(files["metadata"].read_text())["containerimage.digest"] == identity


@contextlib.contextmanager
def private_registry(lab: Lab, folder: Path) -> Iterator[str]:
    """The base images behind a password."""
    folder.mkdir()
    copy_data(lab.paths.registry, folder / "data")
    (folder / "htpasswd").write_text(HTPASSWD)
    with serve(folder / "data", folder, users=folder / "htpasswd") as address:
        yield address


def give_helper(engine: Engine, address: str) -> None:
    """A credential helper of the user's own, on the PATH, for this registry alone."""
    helper = engine.folder / "bin/docker-credential-own"
    answer = json.dumps({"ServerURL": address, "Username": USER, "Secret": PASSWORD})
    helper.write_text(f"#!/bin/sh\necho '{answer}'\n")
    helper.chmod(0o755)
    file = Path(engine.environment["DOCKER_CONFIG"]) / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "credHelpers": {address: "own"}}))


def test_the_users_credential_helpers_go_on_working(lab: Lab, make_engine: MakeEngine, tmp_path: Path) -> None:
    bench = Bench(lab, make_engine, "remote", tmp_path)
    with private_registry(lab, tmp_path / "private") as address:
        folder = context(bench, STEPS.replace("{base}", f"{address}/busybox"), file="1")
        engines = [bench.engine() for _ in range(3)]
        refused = engines[0].plain("--network", "host", folder, check=False)
        before = []
        for engine in engines:
            give_helper(engine, address)
            before.append((Path(engine.environment["DOCKER_CONFIG"]) / "config.json").read_text())
        said = [bench.build(engine, folder) for engine in engines[1:]]

    assert refused.returncode != 0
    assert [each.outcomes for each in said] == ["mmm", "hhh"]
    after = [(Path(engine.environment["DOCKER_CONFIG"]) / "config.json").read_text() for engine in engines]
    assert after == before


def test_the_users_docker_contexts_go_on_working(lab: Lab, make_engine: MakeEngine, tmp_path: Path) -> None:
    """The daemon is known by the current context alone."""
    bench = Bench(lab, make_engine, "docker-containerd", tmp_path)
    folder = context(bench, STEPS, file="1")
    outcomes = []
    for made in (bench.engine(), bench.engine()):
        host = made.environment["DOCKER_HOST"]
        kept = {name: value for name, value in made.environment.items() if name != "DOCKER_HOST"}
        engine = replace(made, environment=kept)
        engine.run("context", "create", "mine", "--docker", f"host={host}")
        engine.run("context", "use", "mine")
        outcomes.append(bench.build(engine, folder).outcomes)
        assert "app:latest" in engine.run("images", "--format", "{{.Repository}}:{{.Tag}}").stdout

    assert outcomes == ["mmm", "hhh"]


RECORD = 2
"""Reads of a record by one build: its own, and that of the process that serves the engine."""
SMALLEST = 100_000
"""Bytes: more than BuildKit's cache config, less than the base image's layer."""


def test_a_push_reads_no_layer_that_the_registry_has(lab: Lab, make_engine: MakeEngine, tmp_path: Path) -> None:
    """Neither the engine nor what fetches ahead for it; and the layers stay what was pushed before."""
    site = GithubSite(tmp_path)
    bench = Bench(lab, make_engine, "remote", tmp_path, site)
    folder = context(bench, STEPS + "COPY last /last\n", file="1", last="1")
    name = f"{lab.registry}/{tmp_path.name}"
    pushed, restored, read = [], [], []
    for last in ("1", "1", "2"):
        (folder / "last").write_text(last)
        made = bench.engine()
        report = made.folder / "report.json"
        before = site.server.counts()
        replace(made, environment={**made.environment, **site.environment}).build(
            *site.options, "--report", report, "--network", "host", "-t", name, "--push", folder
        )
        read.append((site.server.counts() - before)["get blob"])
        pushed.append(layers_of(name))
        restored.append(json.loads(report.read_text())["totals"]["bytes_restored"])

    assert pushed[1] == pushed[0]
    assert read[1] == RECORD
    assert restored[1] < SMALLEST < restored[2]
    assert pushed[2][:-1] == pushed[0][:-1]


def layers_of(name: str) -> list[str]:
    """Digests of the layers that a registry has of it."""
    done = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{name}"], capture_output=True, check=True
    )
    return list(json.loads(done.stdout)["Layers"])
