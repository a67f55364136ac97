"""What an image holds, read straight from an engine's storage: config, and files with owner, mode and content."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e.archives import read_archive
from tests.e2e.image import Image
from tests.lab.engines import Engine

OPAQUE = "trusted.overlay.opaque"


def read_image(engine: Engine, name: str = "localhost/app:latest") -> Image:
    """The image of that name in the engine's storage; of BuildKit, the one in the daemon or in the file asked for."""
    if engine.program == "buildkit":
        archive = engine.folder / "image.tar"
        if "BUILDX_BUILDER" not in engine.environment:
            engine.run("save", "--output", archive, name.removeprefix("localhost/"))
        return read_archive(archive)
    root = engine.folder / "graph"
    found = next(image for image in entries(root, "images") if name in (image.get("names") or ()))
    config = json.loads(read_big_data(root / "overlay-images" / found["id"], f"sha256:{found['id']}"))
    parents = {layer["id"]: layer.get("parent") for layer in entries(root, "layers")}
    chain: list[Path] = []
    at = found.get("layer")
    while at:
        chain.insert(0, root / "overlay" / at / "diff")
        at = parents[at]
    files: dict[str, tuple[object, ...]] = {}
    for layer in chain:
        apply(layer, files)
    history = tuple(entry.get("created_by", "") for entry in config["history"])
    return Image(found["id"], config["config"], history, files)


def entries(root: Path, kind: str) -> Iterator[dict[str, Any]]:
    path = root / f"overlay-{kind}" / f"{kind}.json"
    if path.exists():
        yield from json.loads(path.read_bytes())


def read_big_data(folder: Path, name: str) -> bytes:
    return (folder / f"={base64.b64encode(name.encode()).decode()}").read_bytes()


def apply(layer: Path, files: dict[str, tuple[object, ...]]) -> None:
    """Put a layer's files, with overlayfs's whiteouts, over what is there."""
    for parent, folders, names in os.walk(layer):
        for name in (*folders, *names):
            full = os.path.join(parent, name)  # noqa: PTH118 - as os.walk gives it
            path, status = full.removeprefix(str(layer)), os.lstat(full)
            whiteout = stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
            if whiteout or not stat.S_ISDIR(status.st_mode) or is_opaque(full):
                for below in [known for known in files if known == path or known.startswith(f"{path}/")]:
                    del files[below]
            if not whiteout:
                files[path] = (oct(status.st_mode), status.st_uid, status.st_gid, content(full, status))


def is_opaque(folder: str) -> bool:
    return OPAQUE in os.listxattr(folder, follow_symlinks=False)


def content(path: str, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)  # noqa: PTH115 - Path.readlink() tidies up
    if stat.S_ISREG(status.st_mode):
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return ""
