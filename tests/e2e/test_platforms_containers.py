"""Builds for several platforms with Podman and Buildah: a manifest list, and what each platform has of its own."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeEngine
from tests.e2e.harness import Bench, Said
from tests.e2e.images import entries
from tests.e2e.stories import check_each_platform, context, kinds, warnings
from tests.lab.engine import Engine
from tests.lab.lab import Lab

ARCHITECTURES = ("amd64", "arm64")
PLATFORMS = "--platform=linux/amd64,linux/arm64"
BASE = "FROM {busybox} AS files\nFROM scratch\nCOPY --from=files / /\nCOPY architecture /architecture\nENV PATH=/bin\n"
DOCKERFILE = """FROM {base} AS builder
ARG TARGETARCH
COPY common /common
RUN echo $TARGETARCH, based on $(cat /architecture) > /out
COPY source /source
RUN cat /source >> /out
FROM {base}
COPY common /common
COPY --from=builder /out /out
"""
ON_SCRATCH = DOCKERFILE.replace("FROM {base}\n", "FROM scratch\n")
FAILING = ON_SCRATCH.replace("RUN cat", "RUN test $TARGETARCH != arm64\nRUN cat")


@pytest.fixture(
    params=kinds(
        ("buildah-1.28", "podman-4.3", "buildah-sid", "podman-sid"), in_every_run={"buildah-1.28", "podman-sid"}
    )
)
def bench(lab: Lab, make_engine: MakeEngine, tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    return Bench(lab, make_engine, request.param, tmp_path)


@pytest.fixture
def base(bench: Bench) -> str:
    """An image for each architecture, of which the machine can run both."""
    engine = bench.engine()
    name = f"{engine.registry}/base-{bench.folder.name}:latest"
    engine.run("manifest", "create", name)
    for architecture in ARCHITECTURES:
        folder = context(bench, BASE.format(busybox=bench.lab.busybox), architecture=architecture)
        engine.plain(f"--platform=linux/{architecture}", "-t", architecture, folder)
        engine.run("manifest", "add", name, f"containers-storage:localhost/{architecture}:latest")
    engine.run("manifest", "push", "--all", "--tls-verify=false", name, f"docker://{name}")
    return name


def build(bench: Bench, engine: Engine, folder: Path, *options: str, code: int = 0) -> Said:
    return bench.build(engine, PLATFORMS, *options, folder, "--", "--manifest=all", code=code)


def left_by(engine: Engine) -> dict[str, str]:
    """By architecture, what the images of the list have in /out."""
    return {architecture: read(engine, digest) for architecture, digest in listed(engine).items()}


def listed(engine: Engine) -> dict[str, str]:
    found: dict[str, Any] = json.loads(engine.run("manifest", "inspect", "localhost/all:latest").stdout)
    digests = {entry["platform"]["architecture"]: entry["digest"] for entry in found["manifests"]}
    assert len(digests) == len(found["manifests"])
    return digests


def read(engine: Engine, digest: str) -> str:
    root = engine.folder / "graph"
    image = next(image for image in entries(root, "images") if image["digest"] == digest)
    layers = {layer["id"]: layer for layer in entries(root, "layers")}
    at = str(image["layer"])
    while at:
        path = root / "overlay" / at / "diff" / "out"
        if path.exists() and stat.S_ISREG(os.lstat(path).st_mode):
            return path.read_text()
        at = str(layers[at].get("parent") or "")
    raise AssertionError(f"no /out in {digest}")


def out(source: str) -> dict[str, str]:
    return {architecture: f"{architecture}, based on {architecture}\n{source}" for architecture in ARCHITECTURES}


@pytest.mark.parametrize("dockerfile", [DOCKERFILE, ON_SCRATCH], ids=["on its own base", "on scratch"])
def test_each_platform_hits_for_itself(bench: Bench, base: str, dockerfile: str) -> None:
    """Cold, all hit on an emptied engine, and with a source changed, exactly what depends on it."""
    one = context(bench, dockerfile.replace("{base}", base), common="1", source="one")
    two = context(bench, dockerfile.replace("{base}", base), common="1", source="two")

    cold = check_each_platform(
        bench,
        lambda engine, folder: build(bench, engine, folder),
        left_by,
        one=(one, out("one")),
        two=(two, out("two")),
        each=["mmmmm mm", "hhhhh hh", "hhhmm hM", "hhhhh hh"],
    )

    names = [stage["name"] for stage in cold.report["stages"]]
    assert names == [f"linux/{architecture} {name}" for architecture in ARCHITECTURES for name in ("builder", "1")]


@pytest.mark.parametrize("start", ["scratch", "{busybox}"], ids=["on scratch", "on another's base"])
def test_the_list_has_the_platforms_that_were_asked_for(bench: Bench, start: str) -> None:
    """Whatever an old engine has left in the images, and also where the parts bring the same layers."""
    asked = ["linux/arm/v6", "linux/arm/v7", "linux/amd64"]
    folder = context(bench, f"FROM {start}\nCOPY common /common\n".format(busybox=bench.lab.busybox), common="1")
    for outcome in "mh":
        engine = bench.engine()
        said = bench.build(engine, f"--platform={','.join(asked)}", folder, "--", "--manifest=all")
        found = json.loads(engine.run("manifest", "inspect", "localhost/all:latest").stdout)["manifests"]
        parts = [[entry["platform"].get(name, "") for name in ("os", "architecture", "variant")] for entry in found]
        assert ["/".join(filter(None, part)) for part in parts] == asked
        assert (said.outcomes, said.report["warnings"]) == (" ".join(outcome * 3), [])


def test_a_job_for_one_of_them_shares_its_cache(bench: Bench, base: str) -> None:
    folder = context(bench, ON_SCRATCH.replace("{base}", base), common="1", source="one")

    build(bench, bench.engine(), folder)
    alone = bench.build(bench.engine(), "--platform=linux/arm64", folder)

    assert (alone.outcomes, alone.disagreements) == ("hhhhh hh", [])


def test_platforms_may_be_given_one_by_one_and_twice(bench: Bench) -> None:
    folder = context(bench, "FROM scratch\nCOPY common /common\n", common="1")
    engine = bench.engine()
    options = [f"--platform=linux/{name}" for name in ("aarch64,linux/x86_64", "amd64", "arm64")]
    said = bench.build(engine, *options, folder, "--", "--manifest=all")
    assert (said.outcomes, sorted(listed(engine))) == ("m m", list(ARCHITECTURES))


def test_base_images_of_one_name_keep_it(bench: Bench, base: str, tmp_path: Path) -> None:
    """Where nothing was restored the second takes the name over from the first, in the engine's storage. It is needed
    where the registry can't be reached."""
    folder = context(bench, DOCKERFILE.replace("{base}", base), common="1", source="one")
    build(bench, bench.engine(), folder)
    engine = bench.engine()
    registries = tmp_path / "registries.conf"
    places = (engine.registry, bench.lab.registry)
    registries.write_text("".join(f'[[registry]]\nlocation = "{place}"\nblocked = true\n' for place in places))
    cut_off = replace(engine, environment={**engine.environment, "CONTAINERS_REGISTRIES_CONF": str(registries)})

    warm = build(bench, cut_off, folder)

    assert warm.outcomes == "hhhhh hh hhhhh hh"
    assert left_by(engine) == out("one")
    assert [text for text in warm.report["warnings"] if "the image of the newest build is assumed" not in text] == []


def test_what_fails_for_one_is_kept_of_both(bench: Bench, base: str) -> None:
    broken = context(bench, FAILING.replace("{base}", base), common="1", source="one")
    mended = context(bench, ON_SCRATCH.replace("{base}", base), common="1", source="one")

    failed = build(bench, bench.engine(), broken, code=1)
    engine = bench.engine()
    fixed = build(bench, engine, mended)

    assert failed.outcomes == "mmmmmm mm mmmmm- --"
    assert fixed.outcomes == "hhhhm hH hhhhm mm"
    assert fixed.disagreements == []
    assert left_by(engine) == out("one")


def test_on_the_image_stores_the_list_can_be_pushed(bench: Bench, base: str) -> None:
    """Later commands of the job see the images of all platforms, wherever each was built."""
    for source in ("one", "two"):
        folder = context(bench, ON_SCRATCH.replace("{base}", base), common="1", source=source)
        engine = bench.engine()
        said = build(bench, engine, folder, "--keep-store")
        kept = dict(engine.environment)
        for line in said.shown.splitlines():
            if "need CONTAINERS_STORAGE_CONF=" in line:
                kept["CONTAINERS_STORAGE_CONF"] = line.split("CONTAINERS_STORAGE_CONF=")[1]
        name = f"{engine.registry}/kept-{bench.folder.name}:{source}"
        later = Engine(
            engine.name, engine.program, engine.folder, kept, engine.registry, engine.prefix, engine.layercache
        )
        later.run("manifest", "push", "--all", "--tls-verify=false", "localhost/all:latest", f"docker://{name}")
        raw = later.run("inspect", "--raw", "--tls-verify=false", f"docker://{name}", program="skopeo").stdout
        found = [entry["platform"]["architecture"] for entry in json.loads(raw)["manifests"]]
        assert found == list(ARCHITECTURES)
        assert warnings(said.report) == ""


@pytest.mark.parametrize("bench", ["buildah-1.28", "podman-sid"], indirect=True)
def test_what_an_earlier_build_made_for_another_platform_is_not_saved(bench: Bench) -> None:
    """An old engine takes it, on scratch; no other machine is to have it by us."""
    folder = context(bench, "FROM scratch\nCOPY file /file\n", file="1")
    engine, emptied = bench.engine(), bench.engine()
    bench.build(engine, "--platform=linux/amd64", folder)
    bench.build(engine, "--platform=linux/arm64", folder)
    said = bench.build(emptied, "--platform=linux/arm64", folder)
    words = ("inspect", "--type=image") if engine.program == "buildah" else ("image", "inspect")
    told = json.loads(emptied.run(*words, "app").stdout)
    architecture = told["OCIv1"]["architecture"] if isinstance(told, dict) else told[0]["Architecture"]
    assert (architecture, said.outcomes) == ("arm64", "m" if bench.kind == "buildah-1.28" else "h")
