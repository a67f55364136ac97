"""Each engine finds its own steps in an image store that was made from its storage, and others get its layers whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from layercache_ci.engines.containers.image_store import RestoredImage, write_image_store
from layercache_ci.engines.containers.ship import ship_layers
from layercache_ci.engines.containers.storage import Storage
from tests.fakes.memory_store import MemoryStore
from tests.lab.engines import Engine
from tests.lab.lab import Lab

DOCKERFILE = """FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
FROM base AS builder
RUN mkdir -p /d/deep && echo old > /d/old && echo o > /out
FROM base
ENV SHOWN=yes
COPY --from=builder /out /d /d/
RUN rm -rf /d && mkdir /d && echo new > /d/new && rm /bin/vi
RUN true
CMD ["sh"]
"""
STEPS = 8


def build(engine: Engine, context: Path) -> str:
    done = engine.run("build", "--layers", "--network", "host", "-t", "app", context)
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", ["podman-4.3", "buildah-sid", "podman-sid"])
def test_an_emptied_engine_hits_every_step(lab: Lab, make_engine: Callable[[str], Engine], name: str) -> None:
    engine, emptied, folder = make_engine(name), make_engine(name), lab.scratch()
    context = lab.scratch()
    (context / "Dockerfile").write_text(DOCKERFILE)
    shutil.copy("/bin/busybox", context)
    build(engine, context)
    storage, store = Storage(engine.folder / "graph"), MemoryStore()
    final = storage.image_by_name("localhost/app:latest")
    ids = [path.name for path in (engine.folder / "graph/overlay-images").iterdir() if path.is_dir()]
    images = [final, *(storage.image(image_id) for image_id in ids)]
    layers = [layer for image in images for layer in storage.layers(image.top_layer)]
    shipped = ship_layers(storage, layers, store, held={}, workers=2)
    chains = [RestoredImage(image, tuple(shipped[diff_id] for diff_id in image.diff_ids)) for image in images]

    restored = write_image_store(folder / "images", chains, store, workers=2)

    assert (restored.images, restored.damaged) == (len(ids), {})
    with Path(emptied.environment["CONTAINERS_STORAGE_CONF"]).open("a") as configuration:
        configuration.write(f'[storage.options]\nadditionalimagestores = ["{folder / "images"}"]\n')
    assert build(emptied, context).count("--> Using cache") == STEPS
    emptied.run("copy", f"containers-storage:{final.id}", f"oci:{folder / 'oci'}", program="skopeo")
    assert (folder / "oci/blobs/sha256" / final.id).read_bytes() == final.big_data[f"sha256:{final.id}"]
