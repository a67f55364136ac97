"""The resolver, with stand-ins for skopeo and the engine that answer what a test lays down for them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from layercache_ci.dockerfile.plan import BaseImage
from layercache_ci.engines.containers.images import Resolver

CONFIG = {"config": {"Env": ["PATH=/bin", "A=b=c"], "WorkingDir": "/w", "OnBuild": ["RUN x"]}}
MANIFEST = {"config": {"digest": "sha256:" + "1" * 64}, "layers": []}
INDEX = {
    "mediaType": "application/vnd.oci.image.index.v1+json",
    "manifests": [
        {"digest": "sha256:arm", "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
        {"digest": "sha256:amd", "platform": {"os": "linux", "architecture": "amd64"}},
    ],
}


class Stand:
    """Programs that print what a test has laid down for their last argument, and fail without."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("skopeo", "engine"):
            program = folder / name
            program.write_text(
                '#!/bin/sh\nfor last; do :; done\nname=$(printf %s "$last" | tr / _)\n'
                f'case " $* " in *" --config "*) name="$name.config";; esac\n'
                f'[ -f "{folder}/$name" ] || {{ echo "cannot reach $last" >&2; exit 1; }}\n'
                f'cat "{folder}/$name"\n'
            )
            program.chmod(0o755)

    def answer(self, name: str, value: Any) -> None:
        (self.folder / name.replace("/", "_")).write_text(json.dumps(value))

    def resolver(self, policy: str, remembered: BaseImage | None = None) -> Resolver:
        environment = {"PATH": f"{self.folder}:/usr/bin:/bin"}
        return Resolver((str(self.folder / "engine"),), environment, policy, lambda _: remembered)


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path)


def test_a_remote_image_is_known_by_its_config(stand: Stand) -> None:
    stand.answer("docker://r.example/a:1", MANIFEST)
    stand.answer("docker://r.example/a:1.config", CONFIG)
    image = stand.resolver("missing").resolve("r.example/a:1", "linux/amd64")
    assert image == BaseImage("r.example/a:1", "1" * 64, environment={"PATH": "/bin", "A": "b=c"}, triggers=("RUN x",))


@pytest.mark.parametrize(("platform", "digest"), [("linux/amd64", "sha256:amd"), ("linux/arm64/v8", "sha256:arm")])
def test_an_index_is_asked_for_the_platform(stand: Stand, platform: str, digest: str) -> None:
    stand.answer("docker://r.example:5000/a:1", INDEX)
    stand.answer(f"docker://r.example:5000/a@{digest}", MANIFEST)
    stand.answer(f"docker://r.example:5000/a@{digest}.config", CONFIG)
    assert stand.resolver("missing").resolve("r.example:5000/a:1", platform).identity == "1" * 64


def test_missing_takes_the_local_image_without_asking_the_registry(stand: Stand) -> None:
    stand.answer("a", {"FromImageID": "2" * 64, "Config": json.dumps(CONFIG)})
    assert stand.resolver("missing").resolve("a", "linux/amd64").identity == "2" * 64


@pytest.mark.parametrize("program", ["buildah", "podman"])
def test_a_local_image_for_another_platform_is_none(stand: Stand, program: str) -> None:
    """But where no platform was asked for any does."""
    buildah = {"FromImageID": "2" * 64, "Config": json.dumps({**CONFIG, "os": "linux", "architecture": "arm64"})}
    podman = [{"Id": "2" * 64, "Config": CONFIG["config"], "Os": "linux", "Architecture": "arm64"}]
    stand.answer("a", buildah if program == "buildah" else podman)
    stand.answer("docker://a", MANIFEST)
    stand.answer("docker://a.config", CONFIG)
    asked = stand.resolver("missing")
    found = [asked.resolve("a", f"linux/{architecture}").identity for architecture in ("arm64", "amd64")]
    assert found == ["2" * 64, "1" * 64]
    assert replace(asked, unasked="linux/amd64").resolve("a", "linux/amd64").identity == "2" * 64


def test_newer_takes_the_registrys_where_it_differs(stand: Stand) -> None:
    stand.answer("a", [{"Id": "2" * 64, "Config": CONFIG["config"]}])
    stand.answer("docker://a", MANIFEST)
    stand.answer("docker://a.config", CONFIG)
    assert stand.resolver("newer").resolve("a", "linux/amd64").identity == "1" * 64


def test_an_unreachable_registry_leaves_what_is_known_and_says_so(stand: Stand) -> None:
    stand.answer("a", {"FromImageID": "2" * 64, "Config": json.dumps(CONFIG)})
    local = stand.resolver("newer").resolve("a", "linux/amd64")
    assert local.identity == "2" * 64
    assert "cannot reach" in local.note
    assumed = stand.resolver("missing", BaseImage("b", "3" * 64)).resolve("b", "linux/amd64")
    assert assumed.identity == "3" * 64
    assert "newest build" in assumed.note


def test_without_skopeo_the_remedy_is_said(stand: Stand) -> None:
    resolver = stand.resolver("missing", BaseImage("b", "3" * 64))
    image = replace(resolver, environment={"PATH": str(stand.folder / "nowhere")}).resolve("b", "linux/amd64")
    assert image.identity == "3" * 64
    assert "skopeo, which asks it, is not on PATH; install it" in image.note


def test_an_image_that_nobody_knows_has_no_identity(stand: Stand) -> None:
    image = stand.resolver("missing").resolve("b", "linux/amd64")
    assert image.identity == ""
    assert "can't be found" in image.note


def test_a_platform_that_the_index_lacks_is_an_unknown_image(stand: Stand) -> None:
    stand.answer("docker://a", INDEX)
    assert "no image for linux/riscv64" in stand.resolver("missing").resolve("a", "linux/riscv64").note
