"""Which results the daemon pulls, from where, and what is left of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from layercache_ci.dockerfile.platform import host_platform
from layercache_ci.engines.buildkit.builders import Builder
from layercache_ci.engines.buildkit.command import build_words
from layercache_ci.engines.buildkit.dockerd import Dockerd
from layercache_ci.engines.buildkit.forms import Form
from layercache_ci.engines.buildkit.load import Pull, as_of_the_daemons_own, loads_only, may_pull, normalized, pull_of
from layercache_ci.engines.buildkit.session import Reached
from layercache_ci.engines.buildkit.transport import LayoutTransport
from layercache_ci.errors import CacheError
from layercache_ci.registry.model import Access
from layercache_ci.settings import BuildSettings

CONTAINER = Builder(
    name="ci", driver="docker-container", node="ci0", endpoint="default", version="v0.34.2", exports_cache=True
)
CLASSIC = Builder(
    name="default", driver="docker", node="default", endpoint="default", version="v0.23.2", exports_cache=False
)
CONTAINERD = Builder(
    name="default", driver="docker", node="default", endpoint="default", version="v0.23.2", exports_cache=True
)
DIGEST = "sha256:" + "a" * 64


def settings(*options: str, **changes: Any) -> BuildSettings:
    return BuildSettings(context=".", engine_options=options, **{"tags": ("app",), "load": True, **changes})


@pytest.mark.parametrize(
    ("build", "pulled"),
    [
        pytest.param(settings(), True, id="--load"),
        pytest.param(settings("--allow=network.host", "--cgroup-parent", "c"), True, id="options of other matters"),
        pytest.param(settings(tags=("a:1", "example.com:5000/b/c:2", "docker.io/library/d")), True, id="many names"),
        pytest.param(settings(load=False, outputs=("type=docker",)), True, id="type=docker"),
        pytest.param(settings(provenance="false"), True, id="no provenance"),
        pytest.param(settings(tags=()), False, id="no name"),
        pytest.param(settings(tags=("App",)), False, id="a name that buildx refuses"),
        pytest.param(settings(tags=("a b",)), False, id="no name at all"),
        pytest.param(settings(tags=("",)), False, id="empty name"),
        pytest.param(settings(push=True), False, id="pushed too"),
        pytest.param(settings(outputs=("type=local,dest=out",)), False, id="a folder too"),
        pytest.param(settings(outputs=("type=docker",)), False, id="twice"),
        pytest.param(settings(load=False, outputs=("type=docker,dest=x.tar",)), False, id="an archive"),
        pytest.param(settings(load=False, outputs=("type=docker,context=other",)), False, id="another daemon"),
        pytest.param(settings(load=False, outputs=("type=docker", "type=docker")), False, id="two outputs"),
        pytest.param(settings(platform=host_platform()), True, id="the platform that it is for anyway"),
        pytest.param(settings(platform="linux/s390x"), False, id="another platform"),
        pytest.param(settings(platform="linux/amd64,linux/arm64"), False, id="two platforms"),
        pytest.param(settings(build_args={"BUILDKIT_MULTI_PLATFORM": "1"}), False, id="a list of one platform"),
        pytest.param(settings(provenance="mode=max"), False, id="provenance by the Action"),
        pytest.param(settings("--provenance", "true"), False, id="provenance"),
        pytest.param(settings("--sbom=true"), False, id="an SBOM"),
        pytest.param(settings("--annotation=a=b"), False, id="annotations"),
        pytest.param(settings("-tother"), False, id="a name among the options"),
        pytest.param(settings("--call=check"), False, id="no build"),
    ],
)
def test_what_is_pulled(build: BuildSettings, *, pulled: bool) -> None:
    assert loads_only(build) is pulled


@pytest.mark.parametrize(
    ("builder", "load", "pulled"),
    [
        pytest.param(CONTAINER, True, True, id="a builder in a container"),
        pytest.param(CONTAINER, False, False, id="which leaves nothing unless asked"),
        pytest.param(CLASSIC, False, True, id="one that stands in for the daemon's own"),
        pytest.param(CONTAINERD, True, False, id="a daemon that builds for itself"),
    ],
)
def test_by_which_builder(builder: Builder, *, load: bool, pulled: bool) -> None:
    assert may_pull(settings(load=load), builder) is pulled


def test_what_the_action_attests_by_default_is_nothing_to_a_builder_that_stands_in() -> None:
    """It asks for it where no input speaks of the daemon, and `build_words` does not."""
    assert may_pull(settings(load=False, provenance="mode=max"), CLASSIC)
    assert not may_pull(settings("--provenance=mode=max", load=False), CLASSIC)


def reached(
    address: str, *addresses: str, daemon: Dockerd | None = None, environment: Mapping[str, str] | None = None
) -> Reached:
    access = Access(addresses, "layercache", "secret", Path("/run"), 1)
    return Reached(CONTAINER, LayoutTransport(Path("/l"), 1), environment or {}, access, address, daemon)


def fields(output: str) -> set[str]:
    return set(output.split(","))


def test_on_the_loopback_builder_and_daemon_use_one_address() -> None:
    pull = pull_of(settings(), reached("127.0.0.1:5000", "127.0.0.1:5000", daemon=Dockerd("/d")), CONTAINER)

    assert pull is not None
    assert {"type=image", "push=true", "name=127.0.0.1:5000/loaded:latest"} < fields(pull.output(Form.ZSTD))
    assert "registry.insecure=true" not in fields(pull.output(Form.ZSTD))
    assert pull.pulled == "127.0.0.1:5000/loaded"


def test_on_a_bridge_the_builder_has_the_gateway_and_the_daemon_the_loopback() -> None:
    there = reached("172.17.0.1:5000", "172.17.0.1:5000", "127.0.0.1:5001", daemon=Dockerd("/d"))

    pull = pull_of(settings(), there, CONTAINER)

    assert pull is not None
    assert {"name=172.17.0.1:5000/loaded:latest", "registry.insecure=true"} < fields(pull.output(Form.ZSTD))
    assert pull.pulled == "127.0.0.1:5001/loaded"


@pytest.mark.parametrize(("containerd", "compressed"), [(False, True), (True, False)], ids=["classic", "containerd"])
def test_layers_that_the_store_keeps_are_compressed_as_in_a_tarball(*, containerd: bool, compressed: bool) -> None:
    there = reached("127.0.0.1:5000", "127.0.0.1:5000", daemon=Dockerd("/d", containerd))
    pull = pull_of(settings(), there, CONTAINER)

    assert pull is not None
    assert ("compression=zstd" in fields(pull.output(Form.ZSTD))) is compressed
    assert not [each for form in (Form.GZIP, Form.ONLY_GZIP) for each in fields(pull.output(form)) if "zstd" in each]


@pytest.mark.parametrize(("platform", "pulled"), [(host_platform(), True), ("", True), ("linux/s390x", False)])
def test_the_platform_that_docker_has_by_default(platform: str, *, pulled: bool) -> None:
    environment = {"DOCKER_DEFAULT_PLATFORM": platform}
    there = reached("127.0.0.1:5000", "127.0.0.1:5000", daemon=Dockerd("/d"), environment=environment)

    assert (pull_of(settings(), there, CONTAINER) is not None) is pulled


def test_attestations_that_nobody_asked_for_are_left_out_as_of_a_tarball() -> None:
    pull = pull_of(settings(), reached("127.0.0.1:5000", "127.0.0.1:5000", daemon=Dockerd("/d")), CONTAINER)

    assert pull is not None
    assert "attestation-inline=false" in fields(pull.output(Form.ZSTD))


@pytest.mark.parametrize(
    ("build", "stands_in"),
    [
        pytest.param(settings(tags=("app", "b")), False, id="--load"),
        pytest.param(settings(load=False), True, id="in the place of the daemon's own"),
        pytest.param(settings(load=False, outputs=("type=docker",)), False, id="type=docker"),
    ],
)
def test_the_build_has_one_output_and_no_name_but_ours(build: BuildSettings, *, stands_in: bool) -> None:
    words = build_words(
        build,
        builder="ci",
        environment={},
        cache_from=("type=registry,ref=r",),
        metadata=None,
        stands_in=stands_in,
        pushed="type=image,push=true",
    )

    assert [word for word in words if word.startswith(("--output", "--load", "--tag", "--push"))] == [
        "--output=type=image,push=true"
    ]
    assert "--cache-from=type=registry,ref=r" in words


@pytest.mark.parametrize(
    "there",
    [
        pytest.param(reached("127.0.0.1:5000", "127.0.0.1:5000"), id="no daemon near"),
        pytest.param(Reached(CONTAINER, LayoutTransport(Path("/l"), 1), {}, daemon=Dockerd("/d")), id="a layout"),
        pytest.param(reached("172.17.0.1:5000", "172.17.0.1:5000", daemon=Dockerd("/d")), id="no loopback"),
    ],
)
def test_a_tarball_where_either_does_not_reach_the_registry(there: Reached) -> None:
    assert pull_of(settings(), there, CONTAINER) is None


@dataclass(frozen=True, slots=True)
class Recorder(Dockerd):
    """A daemon that only writes down what it is asked; what `fails` it refuses."""

    socket: str = "/d"
    fails: str = ""
    by: type[BaseException] = CacheError
    done: list[tuple[str, ...]] = field(default_factory=list)

    def pull(self, repository: str, digest: str, access: Access) -> None:
        self._do_it("pull", repository, digest, access.password)

    def tag(self, image: str, name: str) -> None:
        self._do_it("tag", image, name)

    def untag(self, image: str) -> None:
        self._do_it("untag", image)

    def _do_it(self, *words: str) -> None:
        self.done.append(words)
        if words[0] == self.fails:
            raise self.by(f"no {words[0]}")


def bring(daemon: Recorder, metadata: Path, told: Mapping[str, object], iidfile: Path | None = None) -> None:
    metadata.write_text(json.dumps(told))
    pull = pull_of(
        settings(tags=("app", "ghcr.io/x/app:1")),
        reached("127.0.0.1:5000", "127.0.0.1:5000", daemon=daemon),
        CONTAINER,
    )
    assert isinstance(pull, Pull)
    pull.bring(metadata, iidfile)


TOLD = {"containerimage.digest": DIGEST, "image.name": "127.0.0.1:5000/loaded:latest", "buildx.build.ref": "b/n/r"}
OURS = f"127.0.0.1:5000/loaded@{DIGEST}"


def test_the_image_gets_the_users_names_and_loses_ours(tmp_path: Path) -> None:
    daemon, metadata = Recorder(), tmp_path / "metadata.json"

    bring(daemon, metadata, TOLD)

    assert daemon.done == [
        ("pull", "127.0.0.1:5000/loaded", DIGEST, "secret"),
        ("tag", OURS, "app"),
        ("tag", OURS, "ghcr.io/x/app:1"),
        ("untag", OURS),
    ]
    assert json.loads(metadata.read_text()) == {
        **TOLD,
        "image.name": "docker.io/library/app:latest,ghcr.io/x/app:1",
    }


@pytest.mark.parametrize(
    ("fails", "left"), [("pull", ["pull", "untag"]), ("tag", ["pull", "tag", "untag"])], ids=["pull", "tag"]
)
def test_what_fails_leaves_no_name_of_ours(tmp_path: Path, fails: str, left: list[str]) -> None:
    daemon = Recorder(fails=fails)

    with pytest.raises(CacheError, match=f"no {fails}"):
        bring(daemon, tmp_path / "metadata.json", TOLD)

    assert [words[0] for words in daemon.done] == left


@pytest.mark.parametrize("containerd", [True, False], ids=["containerd", "classic"])
def test_the_id_is_what_the_store_knows_the_image_by(tmp_path: Path, *, containerd: bool) -> None:
    """buildx writes the config's digest where it pushes, and the manifest's where it loads into containerd's store."""
    config = "sha256:" + "c" * 64
    (tmp_path / "iid").write_text(config)

    told = {**TOLD, "containerimage.config.digest": config}
    bring(Recorder(containerd=containerd), tmp_path / "metadata.json", told, tmp_path / "iid")

    assert (tmp_path / "iid").read_text() == (DIGEST if containerd else config)
    after = json.loads((tmp_path / "metadata.json").read_text())
    assert after.get("containerimage.config.digest") == (None if containerd else config)
    assert after["containerimage.digest"] == DIGEST


class Asked(BaseException):
    """As a signal's handler raises."""


def test_an_interrupted_pull_leaves_no_name_of_ours(tmp_path: Path) -> None:
    daemon = Recorder(fails="pull", by=Asked)
    with pytest.raises(Asked):
        bring(daemon, tmp_path / "metadata.json", TOLD)

    assert [words[0] for words in daemon.done] == ["pull", "untag"]


LEFT = {**TOLD, "containerimage.config.digest": "sha256:c", "containerimage.descriptor": {"digest": DIGEST}}


@pytest.mark.parametrize(
    ("build", "says"),
    [
        pytest.param(
            settings(load=False, tags=("app", "me/app:1")),
            {"containerimage.digest": "sha256:c", "image.name": "docker.io/library/app,docker.io/me/app:1"},
            id="in the daemon",
        ),
        pytest.param(
            settings(load=False, tags=()),
            {"containerimage.digest": "sha256:c", "image.name": TOLD["image.name"]},
            id="without a name",
        ),
        pytest.param(settings(load=False, push=True), None, id="pushed"),
        pytest.param(settings("--push", load=False), None, id="pushed by an option"),
        pytest.param(settings(load=False, outputs=("type=oci,dest=x",)), None, id="an archive"),
    ],
)
def test_who_stands_in_for_the_daemons_own_says_what_that_one_says(
    tmp_path: Path, build: BuildSettings, says: Mapping[str, str] | None
) -> None:
    file = tmp_path / "metadata.json"
    file.write_text(json.dumps(LEFT))

    as_of_the_daemons_own(build, file)

    kept = {"containerimage.config.digest": "sha256:c", "buildx.build.ref": "b/n/r"}
    assert json.loads(file.read_text()) == (LEFT if says is None else {**kept, **says})


def test_a_name_that_stays_is_no_fault(tmp_path: Path) -> None:
    bring(Recorder(fails="untag"), tmp_path / "metadata.json", TOLD)


def test_nothing_is_pulled_where_buildx_names_no_image(tmp_path: Path) -> None:
    daemon = Recorder()

    with pytest.raises(CacheError, match="what it pushed"):
        bring(daemon, tmp_path / "metadata.json", {"buildx.build.ref": "b/n/r"})

    assert daemon.done == []


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("app", "docker.io/library/app:latest"),
        ("me/app:1", "docker.io/me/app:1"),
        ("ghcr.io/x/app", "ghcr.io/x/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("host:5000/app", "host:5000/app:latest"),
        ("docker.io/app", "docker.io/library/app:latest"),
        ("index.docker.io/me/app", "docker.io/me/app:latest"),
    ],
)
def test_names_in_full(name: str, full: str) -> None:
    assert normalized(name) == full
