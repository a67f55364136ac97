"""What root saved is restored by an ordinary user, in a user namespace of the engine's."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from layercache_ci.engines.containers.ship import ship_layers
from layercache_ci.engines.containers.storage import Storage
from layercache_ci.store.local import LocalStore
from tests.lab.engines import Engine
from tests.lab.lab import Lab
from tests.lab.paths import CHECKOUT, USER

RESTORE = """
import json, sys
from pathlib import Path
from layercache_ci.engines.containers.image_store import RestoredImage, StoredImage, write_image_store
from layercache_ci.layers.model import Descriptor, Layer
from layercache_ci.store.local import LocalStore

def layer(value):
    blobs = {name: Descriptor(**value.pop(name)) for name in ("blob", "tar_split")}
    return Layer(**value, **blobs)

images = [
    RestoredImage(StoredImage.from_json(value["image"]), tuple(map(layer, value["layers"])))
    for value in json.load(open("images.json"))
]
restored = write_image_store(Path("images"), images, LocalStore(Path("store")), workers=2, rootless=True)
print(restored.images, restored.layers, dict(restored.damaged))
"""

DOCKERFILE = """FROM localhost/base
RUN rm -rf /etc/d && mkdir /etc/d && echo new > /etc/d/new && rm /etc/gone && chown 7:8 /etc/owned
"""


def make_base(engine: Engine) -> None:
    container = engine.run("from", "scratch").stdout.strip()
    root = Path(engine.run("mount", container).stdout.strip())
    for folder in (root / "bin", root / "etc/d/deep", root / "dev"):
        folder.mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for applet in ("sh", "rm", "mkdir", "echo", "chown"):
        (root / "bin" / applet).symlink_to("/bin/busybox")
    for name in ("gone", "owned", "d/old", "d/deep/old", "capable"):
        (root / "etc" / name).write_text(name)
    os.chown(root / "etc/owned", 1234, 4321)
    os.setxattr(root / "etc/capable", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    os.mknod(root / "dev/device\n", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    engine.run("umount", container)
    engine.run("commit", "--rm", container, "base")


def build(engine: Engine, context: Path) -> str:
    done = engine.run("build", "--isolation", "chroot", "--layers", "-t", "app", context)
    return done.stdout + done.stderr


def files_of(engine: Engine, image: str) -> dict[str, list[object]]:
    program = shutil.copy(CHECKOUT / "tests/snapshot.py", engine.folder)
    script = f"c=$(buildah from --pull-never {image}) && m=$(buildah mount $c) && python3 {program} $m"
    unshare = ("unshare",) if engine.prefix else ()
    return json.loads(run_shell(engine, script, *unshare))  # type: ignore[no-any-return]


def run_shell(engine: Engine, script: str, *unshare: str) -> str:
    if unshare:
        return engine.run(*unshare, "sh", "-c", script).stdout
    return subprocess.run(
        ["sh", "-c", script], env=engine.environment, capture_output=True, text=True, check=True
    ).stdout  # fmt: skip


def test_a_user_restores_what_root_saved(lab: Lab, make_engine: Callable[[str], Engine]) -> None:
    root, user, folder = make_engine("buildah-1.28"), make_engine("buildah-rootless"), lab.scratch()
    context = lab.scratch()
    (context / "Dockerfile").write_text(DOCKERFILE)
    make_base(root)
    build(root, context)
    storage, store = Storage(root.folder / "graph"), LocalStore(folder / "store")
    chains = {name: storage.image_by_name(f"localhost/{name}:latest") for name in ("app", "base")}
    layers = [layer for image in chains.values() for layer in storage.layers(image.top_layer)]
    shipped = ship_layers(storage, layers, store, held={}, workers=2)
    (folder / "images.json").write_text(
        json.dumps([
            {"image": image.to_json(), "layers": [asdict(shipped[diff_id]) for diff_id in image.diff_ids]}
            for image in chains.values()
        ])
    )  # fmt: skip
    owner = pwd.getpwnam(USER)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner.pw_uid, owner.pw_gid)

    done = user.run("unshare", f"{owner.pw_dir}/venv/bin/python", "-c", RESTORE, cwd=folder)
    assert done.stdout.splitlines() == ["2 2 {}"]
    options = Path(user.environment["HOME"]) / ".config/containers/storage.conf"
    with options.open("a") as configuration:
        configuration.write(f'[storage.options]\nadditionalimagestores = ["{folder / "images"}"]\n')

    assert build(user, context).count("--> Using cache") == 1
    expected = files_of(root, "app")
    del expected["dev/device\n"]
    found = files_of(user, "app")
    assert found == expected
    assert "etc/d/new" in found
    assert not {"etc/d/old", "etc/d/deep", "etc/gone"} & found.keys()
