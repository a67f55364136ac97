"""The images that the lab's builds start from, in the data of a loopback registry: busybox:latest, debian:bookworm."""

from __future__ import annotations

import configparser
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.lab.configuration import write_configuration
from tests.lab.paths import LARGE, LabPaths
from tests.lab.registry import serve
from tests.lab.run import run, say

BUSYBOX: Final = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p -m 1777 /tmp && mkdir -p /root && echo root:x:0:0:root:/root:/bin/sh > /etc/passwd
CMD ["sh"]
"""
DEBIAN: Final = """FROM scratch
ADD debian.tar /
CMD ["bash"]
"""
CA_BUNDLE: Final = Path("/etc/ssl/certs/ca-certificates.crt")
CA_INSIDE: Final = "/etc/ssl/machine-ca.crt"
"""No package's file, so that none overwrites it."""
PIP_SETTINGS: Final = frozenset({"index-url", "extra-index-url", "trusted-host", "proxy", "timeout"})


def pip_configuration() -> str:
    """A pip.conf for inside: the machine's index settings and its certificates."""
    inside = configparser.ConfigParser(interpolation=None)
    inside["global"] = {"cert": CA_INSIDE} if CA_BUNDLE.is_file() else {}
    listed = run([sys.executable, "-m", "pip", "config", "list"])
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        setting = name.rpartition(".")[2]
        if setting in PIP_SETTINGS:
            inside["global"][setting] = value.strip("'\"").replace("\\n", "\n")
    with tempfile.TemporaryFile("w+") as file:
        inside.write(file)
        file.seek(0)
        return file.read()


def equip(tree: Path) -> None:
    """Lets apt and pip inside reach what they reach on this machine, with --network host."""
    if CA_BUNDLE.is_file():
        bundle = tree / CA_INSIDE.lstrip("/")
        bundle.parent.mkdir(exist_ok=True)
        shutil.copyfile(CA_BUNDLE, bundle)
    (tree / "etc/pip.conf").write_text(pip_configuration())
    proxies = [f'Acquire::{name}::Proxy "{os.environ[key]}";\n'
               for name in ("http", "https") if (key := f"{name}_proxy") in os.environ]  # fmt: skip
    settings = [f'Acquire::https::CAInfo "{CA_INSIDE}";\n', 'Acquire::Retries "5";\n', *proxies]
    (tree / "etc/apt/apt.conf.d/90lab").write_text("".join(settings))


def make_base_images(paths: LabPaths) -> None:
    """Builds and pushes both images; the registry's data appear when they are complete."""
    if paths.registry.is_dir():
        return
    say("lab: base images")
    partial = paths.registry.with_name("registry.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="layercache-lab-", dir=LARGE) as name:
        scratch = Path(name)
        busybox, debian = scratch / "busybox", scratch / "debian"
        busybox.mkdir()
        debian.mkdir()
        shutil.copy("/bin/busybox", busybox / "busybox")
        (busybox / "Dockerfile").write_text(BUSYBOX)
        equip(paths.bookworm)
        run(["tar", "-C", paths.bookworm, "--one-file-system", "-cf", debian / "debian.tar", "."])
        (debian / "Dockerfile").write_text(DEBIAN)
        with serve(partial, scratch) as address:
            environment = {**os.environ, **write_configuration(scratch, scratch / "state", [address], newer=False)}
            for context, image in ((busybox, "busybox:latest"), (debian, "debian:bookworm")):
                tag = f"{address}/{image}"
                run(["/usr/bin/buildah", "build", "--network", "host", "--tag", tag, context], env=environment)
                run(["/usr/bin/buildah", "push", tag], env=environment)
    partial.rename(paths.registry)
