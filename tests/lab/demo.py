"""`make demo`: one application built cold, again on an emptied engine, and again with one source file changed.

Every build here starts on an engine whose storage is new, as on a CI runner that keeps nothing; what a build finds
again comes out of layercache's store. Nothing of this machine's own images is read or changed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab.base_images import make_base_images
from tests.lab.configuration import write_configuration, write_home
from tests.lab.install import debootstrap, install_packages
from tests.lab.paths import CHECKOUT, LARGE, LabPaths
from tests.lab.registry import copy_data, serve
from tests.lab.removal import unmount_below
from tests.lab.run import CommandFailed, run, say
from tests.lab.summary import Summary, side_by_side

PUBLIC_BASE: Final = "docker.io/library/debian:bookworm"
BASE_PACKAGES: Final = ("buildah", "busybox-static", "debootstrap", "docker-registry", "runc")


@dataclass(frozen=True, slots=True)
class Demo:
    """What all the builds have in common."""

    folder: Path
    engine: str
    base: str
    registries: Sequence[str]

    def emptied(self, name: str) -> Mapping[str, str]:
        """The environment of an engine that has nothing in its storage."""
        folder = self.folder / f"engine-{name}"
        (folder / "tmp").mkdir(parents=True)
        newer = engine_version(self.engine) >= ((1, 33) if self.engine == "buildah" else (4, 8))
        if os.geteuid() == 0:
            settings = write_configuration(folder, folder, self.registries, newer=newer)
        else:
            settings = write_home(folder, self.registries, newer=newer)
        return {**os.environ, **settings, "TMPDIR": str(folder / "tmp")}

    def build(self, name: str, title: str) -> Summary:
        """Builds the application on an emptied engine. Raises CommandFailed when that fails."""
        report = self.folder / f"{name}.json"
        argv = [
            str(CHECKOUT / ".venv/bin/layercache"), "build", "--engine", self.engine,
            "--store", f"local:{self.folder / 'store'}", "--report", str(report), "--network", "host",
            "--build-arg", f"BASE={self.base}", "-t", "app", str(self.folder / "app"),
        ]  # fmt: skip
        headline(title, argv)
        if subprocess.run(argv, env=self.emptied(name), check=False).returncode:
            raise CommandFailed(f"the build {title!r} failed")
        return Summary.read(title, report)


def headline(title: str, argv: Sequence[str]) -> None:
    print(f"\n=== {title}: {' '.join(argv)}", flush=True)


def engine_version(program: str) -> tuple[int, int]:
    found = re.search(r"(\d+)\.(\d+)", run([program, "--version"]))
    if found is None:
        raise CommandFailed(f"{program} --version prints no version")
    return int(found[1]), int(found[2])


def find_engine() -> str:
    """The engine that is here, or Debian's Buildah, and skopeo beside it, by which layercache asks registries."""
    found = next((program for program in ("buildah", "podman") if shutil.which(program)), None)
    wanted: tuple[str, ...] = ("buildah", "runc", "ca-certificates") if found is None else ()
    if shutil.which("skopeo") is None:
        wanted = (*wanted, "skopeo")
    if wanted:
        install_packages(wanted)
    return found or "buildah"


@contextlib.contextmanager
def base_image(engine: str, folder: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """A real Debian: the public image or, where no registry can be reached, one made here by debootstrap.

    Gives the image's name and the registries that are spoken to without TLS.
    """
    environment = {**os.environ, **Demo(folder, engine, "", ()).emptied("pull")}
    pulled = subprocess.run(
        ["timeout", "300", engine, "pull", "--quiet", PUBLIC_BASE], env=environment, capture_output=True, check=False
    )
    if pulled.returncode == 0:
        yield PUBLIC_BASE, ()
        return
    say(f"demo: {PUBLIC_BASE} can't be pulled here: making a base image by debootstrap")
    paths = LabPaths.here()
    paths.folder.mkdir(parents=True, exist_ok=True)
    install_packages(BASE_PACKAGES)
    debootstrap("bookworm", paths.bookworm)
    make_base_images(paths)
    copy_data(paths.registry, folder / "registry")
    with serve(folder / "registry", folder) as address:
        yield f"{address}/debian:bookworm", (address,)


def show(demo: Demo) -> bool:
    """Runs the builds and prints what they say; whether the cache did what it promises."""
    app = demo.folder / "app"
    shutil.copytree(CHECKOUT / "examples/app", app)
    cold = demo.build("cold", "cold")
    warm = demo.build("warm", "emptied, nothing changed")
    with (app / "src/main.py").open("a") as source:
        source.write("\n# changed\n")
    changed = demo.build("changed", "emptied, src/main.py changed")
    version = run([demo.engine, "--version"]).strip()
    print(f"\n{version}, base image {demo.base}\n")
    print(side_by_side([cold, warm, changed]))
    print("\nbuilt again because src/main.py changed:")
    for step in changed.misses:
        print(f"  {step.text}{f'  ({step.reason})' if step.reason else ''}")
    return warm.hits == warm.steps and 0 < len(changed.misses) < changed.steps


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="layercache-demo-", dir=LARGE))
    try:
        engine = find_engine()
        with base_image(engine, folder) as (base, registries):
            worked = show(Demo(folder, engine, base, registries))
    except CommandFailed as failure:
        say(f"demo: {failure}")
        return 1
    finally:
        unmount_below(folder)
        remove(folder)
    if not worked:
        say("demo: the cache did not do what it promises, see above")
    return 0 if worked else 1


def remove(folder: Path) -> None:
    """Deletes the demonstration's files; an ordinary user's engine owns some by its subordinate ids."""
    # not rmtree: layercache may be removing a part of it at the same time
    command = ["rm", "-rf", "--", str(folder)]
    subprocess.run(command if os.geteuid() == 0 else [find_engine(), "unshare", *command], check=True)


if __name__ == "__main__":
    sys.exit(main())
