"""BuildKit's part of the lab: Debian sid's Docker, unpacked; BuildKit from its source; the image of a builder."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.lab.configuration import write_configuration
from tests.lab.paths import CHECKOUT, LARGE, LabPaths
from tests.lab.programs import STRIPPED, run_go
from tests.lab.registry import copy_data, serve
from tests.lab.run import run, say

DOCKER: Final = ("containerd", "docker-buildx", "docker-cli", "docker-compose", "docker.io")
COMPOSE: Final = "usr/libexec/docker/docker-compose"
"""Apart from the plugins, each of which docker starts to ask what it is."""
SID: Final = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian sid main\n"
BUILDKIT: Final = "v0.34.2"
BUILDER_IMAGE: Final = "docker.io/moby/buildkit:buildx-stable-1"
"""The image that buildx runs builders in: it tries to pull it, and takes the daemon's own where that fails."""
DOCKERFILE: Final = """FROM {base} AS full
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates git libseccomp2
RUN rm -rf /var/lib/apt /var/lib/dpkg /var/cache/* /usr/lib/x86_64-linux-gnu/perl* /usr/lib/x86_64-linux-gnu/gconv \\
    /usr/share/doc /usr/share/i18n /usr/share/locale /usr/share/man /usr/share/perl* /usr/share/zoneinfo
FROM scratch
COPY --from=full / /
COPY buildkitd buildctl buildkit-runc /usr/bin/
ENTRYPOINT ["buildkitd"]
"""
"""Small, since every daemon of a test loads it."""


@contextlib.contextmanager
def complete_when_there(target: Path) -> Iterator[Path]:
    """A new folder that takes the name of target when nothing went wrong."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    yield partial
    partial.rename(target)


def unpack_docker(paths: LabPaths) -> None:
    """Debian sid's Docker, which runs on Debian 12's libraries and is not installed there; apt verifies it by Debian's
    keys. Its runc wants newer libraries: the machine's is used."""
    if (paths.docker / COMPOSE).is_file():
        return
    shutil.rmtree(paths.docker, ignore_errors=True)
    say("lab: Docker of Debian sid")
    with complete_when_there(paths.docker) as tree, tempfile.TemporaryDirectory(prefix="layercache-lab-") as name:
        scratch = Path(name)
        scratch.chmod(0o755)  # apt downloads as a user of its own
        (scratch / "sid.list").write_text(SID)
        (scratch / "lists/partial").mkdir(parents=True)
        (scratch / "archives").mkdir()
        options = {
            "Dir::Etc::sourcelist": scratch / "sid.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State::Lists": scratch / "lists",
            "Dir::Cache": scratch / "cache",
            "Acquire::Languages": "none",
            "APT::Sandbox::User": "root",
        }
        apt = ["apt-get", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
        run([*apt, "update"])
        run([*apt, "download", *DOCKER], cwd=scratch / "archives")
        for archive in sorted((scratch / "archives").glob("*.deb")):
            run(["dpkg-deb", "--extract", archive, tree])
        (tree / "usr/libexec/docker/cli-plugins/docker-compose").rename(tree / COMPOSE)
        # what docker-init links to is another package's
        shutil.copy("/usr/bin/tini-static", tree / "usr/bin/tini-static")


def build_buildkit(paths: LabPaths) -> None:
    """buildkitd and buildctl, each module checked against its hash."""
    if paths.buildkit.is_dir():
        return
    say(f"lab: BuildKit {BUILDKIT} from its source")
    with complete_when_there(paths.buildkit) as folder:
        flags = f"{STRIPPED} -X github.com/moby/buildkit/version.Version={BUILDKIT}"
        run_go("build", "-ldflags", flags, "-o", f"{folder}/", "tool", cwd=CHECKOUT / "tests/lab/buildkitd")


def make_builder_image(paths: LabPaths) -> None:
    """The image of a builder as an archive for `docker load`; the base images and BuildKit must be there."""
    if paths.builder_image.is_dir():
        return
    say("lab: the image of a builder")
    with complete_when_there(paths.builder_image) as folder, tempfile.TemporaryDirectory(dir=LARGE) as name:
        scratch = Path(name)
        context = scratch / "context"
        context.mkdir()
        for program in ("buildkitd", "buildctl"):
            shutil.copy(paths.buildkit / program, context)
        shutil.copy(shutil.which("runc") or "/usr/sbin/runc", context / "buildkit-runc")
        copy_data(paths.registry, scratch / "registry")
        with serve(scratch / "registry", scratch) as address:
            (context / "Dockerfile").write_text(DOCKERFILE.format(base=f"{address}/debian:bookworm"))
            environment = {**os.environ, **write_configuration(scratch, scratch / "state", [address], newer=False)}
            build: list[str | Path] = [
                "/usr/bin/buildah",
                "build",
                "--network",
                "host",
                "--tag",
                BUILDER_IMAGE,
                context,
            ]
            run(build, env=environment)
        push = ["/usr/bin/buildah", "push", BUILDER_IMAGE, f"docker-archive:{folder / 'image.tar'}:{BUILDER_IMAGE}"]
        run(push, env=environment)
