"""Into the Docker daemon by a pull: BuildKit pushes the result to our registry, where it reads no layer that the store
has, and the daemon pulls what it lacks. The usual way has BuildKit read each layer, whether it needs it or not, write
all of them into one archive and send that through its client; the daemon writes it down before it unpacks.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layercache_ci.dockerfile.platform import host_platform
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.dockerd import Dockerd, split
from layercache_ci.engines.buildkit.forms import Form
from layercache_ci.engines.buildkit.result import fields_of
from layercache_ci.engines.buildkit.session import Reached
from layercache_ci.errors import CacheError
from layercache_ci.registry.model import Access
from layercache_ci.settings import BuildSettings

REPOSITORY: Final = "loaded"
HUB: Final = "docker.io"
FIELDS: Final = "push=true,oci-mediatypes=true,attestation-inline=false"
"""Of the output: attestations that nobody asked for are left out, as they are of a tarball."""
UNSEEN: Final = ",compression=zstd"
"""Besides, where nobody sees the layers any more, as in the classic store: what the cache is kept in, so that no layer
is compressed twice. Containerd's store shows the manifest, which is to be what a tarball has."""
AS_A_LIST: Final = "BUILDKIT_MULTI_PLATFORM"
"""A build argument that makes one platform a list of platforms, which no archive for the classic store can hold."""
DIGEST: Final = "containerimage.digest"
CONFIG: Final = "containerimage.config.digest"
DESCRIPTOR: Final = "containerimage.descriptor"
NAME: Final = "image.name"
"""What buildx writes of an image into its metadata file."""
SAYS_MORE: Final = (
    "--annotation", "--attest", "--call", "--check", "--iidfile", "--load", "--metadata-file", "--output", "--platform",
    "--print", "--provenance", "--push", "--quiet", "--sbom", "--tag", "-o", "-q", "-t",
)  # fmt: skip
"""Options that say more of the result than we read of them."""
_WORD: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME: Final = re.compile(rf"(?:[a-zA-Z0-9.-]+(?::\d+)?/)?{_WORD}(?:/{_WORD})*(?::\w[\w.-]{{0,127}})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pull:
    """The way of one build's result: BuildKit pushes it to `pushed`, `host:port/repository`, and the daemon finds it
    at `pulled`, which is the same as it reaches it."""

    daemon: Dockerd
    reached: Reached
    access: Access
    pushed: str
    pulled: str
    tags: tuple[str, ...]

    def output(self, form: Form) -> str:
        """What `--output` takes, where the cache is exported in this form."""
        insecure = "" if self.pushed.startswith("127.") else ",registry.insecure=true"
        unseen = UNSEEN if form is Form.ZSTD and not self.daemon.containerd else ""
        return f"type=image,name={self.pushed}:latest,{FIELDS}{unseen}{insecure}"

    def bring(self, metadata: Path | None, iidfile: Path | None = None) -> None:
        """Pull what was built and give it its names, and leave of ours nothing, in the daemon and in what buildx wrote
        down. Raises CacheError."""
        try:
            about = json.loads(b"" if metadata is None else metadata.read_bytes())
            digest = str(about[DIGEST])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise CacheError(f"buildx does not tell what it pushed: {error!r}") from error
        ours = f"{self.pulled}@{digest}"
        try:
            self.daemon.pull(self.pulled, digest, self.access)
            for tag in self.tags:
                self.daemon.tag(ours, tag)
        finally:
            with suppress(CacheError):
                self.daemon.untag(ours)
        about[NAME] = ",".join(map(normalized, self.tags))
        if self.daemon.containerd:
            about.pop(CONFIG, None)
        with suppress(OSError):
            (metadata or Path(os.devnull)).write_text(json.dumps(about, indent=2))
            if self.daemon.containerd and iidfile is not None:
                iidfile.write_text(digest)


def loads_only(settings: BuildSettings, *, stands_in: bool = False) -> bool:
    """Whether all that the build is to leave is an image in the daemon, with names that we can give it. An image
    without a name goes by tarball: a pulled one would be gone with ours. What a builder that `stands_in` makes has no
    provenance (`command.build_words`)."""
    if not settings.tags or not all(map(_NAME.fullmatch, settings.tags)) or not _one_in_daemon(settings):
        return False
    # a daemon pulls for its own platform alone
    if settings.platform not in {None, host_platform()} or AS_A_LIST in settings.build_args:
        return False
    return stands_in or settings.provenance in {None, "false"}


def _one_in_daemon(settings: BuildSettings) -> bool:
    if any(option.partition("=")[0] in SAYS_MORE or _joined(option) for option in settings.engine_options):
        return False
    to_daemon = all(fields_of(output) == {"type": "docker"} for output in settings.outputs)
    return to_daemon and not settings.push and len(settings.outputs) + settings.load <= 1


def may_pull(settings: BuildSettings, builder: Builder) -> bool:
    """Whether the result of this build goes into a daemon from a builder that is not the daemon's own: by request, or
    because the builder stands in for a daemon's (`builder` is the user's)."""
    stands_in = builder.driver == "docker" and not builder.exports_cache
    asked = builder.driver != "docker" and (settings.load or bool(settings.outputs))
    return (stands_in or asked) and loads_only(settings, stands_in=stands_in)


def pull_of(settings: BuildSettings, reached: Reached, builder: Builder) -> Pull | None:
    """How the daemon gets the image of this build by a pull; None where it is to be sent as a tarball."""
    access = reached.access
    if reached.daemon is None or access is None or not may_pull(settings, builder):
        return None
    if reached.environment.get("DOCKER_DEFAULT_PLATFORM") not in {None, "", host_platform()}:
        return None
    near = next((address for address in access.addresses if address.startswith("127.")), None)
    if near is None:
        return None
    pushed = f"{reached.address}/{REPOSITORY}"
    return Pull(reached.daemon, reached, access, pushed, f"{near}/{REPOSITORY}", settings.tags)


def as_of_the_daemons_own(settings: BuildSettings, metadata: Path) -> None:
    """Have buildx's `metadata` file of a builder that stood in for a daemon's own, and left an image in the daemon and
    nothing else, say what that one says: with the classic store a digest is the image's ID. Never raises."""
    if not _one_in_daemon(settings):
        return
    with suppress(OSError, ValueError, AttributeError):
        about = json.loads(metadata.read_bytes())
        about.pop(DESCRIPTOR, None)
        about |= {DIGEST: about[CONFIG]} if CONFIG in about else {}
        about |= {NAME: ",".join(map(_as_given, settings.tags))} if settings.tags else {}
        metadata.write_text(json.dumps(about, indent=2))


def normalized(name: str) -> str:
    """As docker writes an image's name in full."""
    path, tag = split(name)
    first, slash, rest = path.partition("/")
    domain = slash and (first == "localhost" or "." in first or ":" in first or first != first.lower())
    host, path = (first, rest) if domain else (HUB, path)
    if host in {HUB, f"index.{HUB}"}:
        host, path = HUB, path if "/" in path else f"library/{path}"
    return f"{host}/{path}:{tag}"


def _as_given(name: str) -> str:
    """The same without a tag that the user did not write."""
    return normalized(name) if ":" in name.rpartition("/")[2] else normalized(name).removesuffix(":latest")


def _joined(option: str) -> bool:
    """`-tNAME`, `-oDEST`."""
    return option[:2] in {"-t", "-o"} and len(option) > 2
