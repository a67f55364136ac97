"""Real clients: BuildKit exports its cache to the registry and takes it from there; skopeo copies images."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from layercache_ci.registry.client import Access, Registry
from layercache_ci.registry.model import descriptor_of
from layercache_ci.store.local import LocalStore
from tests.integration.registry.conftest import StartRegistry, authorization
from tests.lab.daemon import answers, running
from tests.lab.lab import Lab
from tests.lab.removal import clear

DOCKERFILE = """FROM {base} AS builder
RUN head -c 20000000 /dev/urandom > /big
COPY Dockerfile /copied
FROM {base}
COPY --from=builder /big /big
RUN sha256sum /big > /sum
"""
STEPS = 4


@pytest.fixture
def context(tmp_path: Path, lab: Lab) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base=lab.busybox))
    return folder


@contextlib.contextmanager
def emptied(lab: Lab) -> Iterator[str]:
    """The address of a buildkitd that has never built anything."""
    folder = lab.scratch("buildkitd-")
    socket = folder / "s.sock"
    argv: list[str | Path] = [
        lab.paths.buildkit / "buildkitd", "--root", folder / "root", "--addr", f"unix://{socket}",
        "--otel-socket-path", folder / "o.sock", "--oci-worker-net=host", "--oci-worker-snapshotter=overlayfs",
    ]  # fmt: skip
    try:
        with running(argv, folder / "log", ready=answers(socket)):
            yield f"unix://{socket}"
    finally:
        clear(folder)


def build(lab: Lab, address: str, context: Path, access: Access, *options: str) -> subprocess.CompletedProcess[str]:
    """Its progress, on standard error."""
    config = context.parent / "docker"
    config.mkdir(exist_ok=True)
    login = authorization(access)["Authorization"].removeprefix("Basic ")
    (config / "config.json").write_text(json.dumps({"auths": {access.addresses[0]: {"auth": login}}}))
    argv: list[str | Path] = [
        lab.paths.buildkit / "buildctl", "--addr", address, "build", "--progress=plain", "--frontend=dockerfile.v0",
        "--local", f"context={context}", "--local", f"dockerfile={context}", *options,
    ]  # fmt: skip
    environment = {**os.environ, "DOCKER_CONFIG": str(config)}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)


def export(lab: Lab, context: Path, registry: Registry) -> bytes:
    """Builds everything on an emptied builder and exports its cache; the cache's manifest."""
    ref = f"{registry.access.addresses[0]}/cache/app:v1"
    with emptied(lab) as address:
        done = build(
            lab,
            address,
            context,
            registry.access,
            "--export-cache",
            f"type=registry,ref={ref},mode=max,compression=zstd",
        )
    assert done.returncode == 0, done.stderr
    assert "CACHED" not in done.stderr
    manifest = registry.manifest("cache/app", "v1")
    assert manifest
    return manifest


def restore(lab: Lab, context: Path, registry: Registry) -> tuple[int, subprocess.CompletedProcess[str]]:
    """On an emptied builder that takes the cache from the registry: how many steps are cached, and a build that reads
    all layers of the result."""
    taken = ("--import-cache", f"type=registry,ref={registry.access.addresses[0]}/cache/app:v1")
    output = ("--output", f"type=oci,dest={context.parent / 'image.tar'}")
    with emptied(lab) as address:
        found = build(lab, address, context, registry.access, *taken)
        return found.stderr.count("CACHED"), build(lab, address, context, registry.access, *taken, *output)


def move(manifest: bytes, source: Registry, store: LocalStore, target: Registry) -> None:
    """As a save and the next run's restore do it: blobs go into the store and are offered out of it."""
    value = json.loads(manifest)
    blobs = [descriptor_of(each) for each in (value["config"], *value["layers"])]
    for blob in blobs:
        path = source.uploaded(blob.digest)
        assert path
        with store.new_blob(blob.media_type) as writer:
            writer.write(path.read_bytes())
            writer.commit(blob.digest)
    target.offer(blobs)
    target.put_manifest("cache/app", "v1", manifest, value["mediaType"])


def test_an_emptied_buildkit_finds_every_step(lab: Lab, context: Path, registry: Registry) -> None:
    export(lab, context, registry)
    cached, done = restore(lab, context, registry)
    assert cached == STEPS
    assert done.returncode == 0, done.stderr
    assert registry.status().faults == ()


def test_the_same_out_of_the_store_and_with_damage(
    lab: Lab, context: Path, start_registry: StartRegistry, store: LocalStore
) -> None:
    first, second = start_registry(), start_registry()
    manifest = export(lab, context, first)
    move(manifest, first, store, second)
    cached, done = restore(lab, context, second)
    assert cached == STEPS
    assert done.returncode == 0, done.stderr
    assert second.status().faults == ()
    assert second.status().bytes_served > 20_000_000

    largest = max(json.loads(manifest)["layers"], key=lambda each: each["size"])
    path = store.blob_file(descriptor_of(largest))
    assert path
    with path.open("r+b") as file:
        file.seek(10_000_000)
        file.write(b"altered")
    third = start_registry()
    value = json.loads(manifest)
    third.offer([descriptor_of(each) for each in (value["config"], *value["layers"])])
    third.put_manifest("cache/app", "v1", manifest, value["mediaType"])
    _, done = restore(lab, context, third)
    assert done.returncode != 0
    assert [fault.partition(": ")[0] for fault in third.status().faults] == [largest["digest"]]


def test_skopeo_copies_an_image_to_it_and_back(lab: Lab, registry: Registry, tmp_path: Path) -> None:
    access = registry.access
    login = f"{access.user}:{access.password}"
    image = f"docker://{access.addresses[0]}/some/image:v1"
    plain = ["skopeo", "copy", "--insecure-policy", "--src-tls-verify=false"]
    # Both without changing the image, so that its digest can be compared.
    there = [*plain, "--preserve-digests", "--dest-tls-verify=false", "--dest-creds", login]
    subprocess.run([*there, f"docker://{lab.busybox}", image], check=True, capture_output=True)
    back = [*plain, "--preserve-digests", "--src-creds", login, image, f"dir:{tmp_path / 'image'}"]
    subprocess.run(back, check=True, capture_output=True)
    assert (tmp_path / "image/manifest.json").read_bytes() == registry.manifest("some/image", "v1")
    assert registry.status().bytes_served > 500_000
