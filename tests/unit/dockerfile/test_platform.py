from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from layercache_ci.dockerfile.platform import host_platform, normalize, parse, platform_args, runs
from layercache_ci.errors import InputError


@pytest.fixture
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=request.param))


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/X86-64/V1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/arm/v5", "linux/arm/v5"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel/v9", "linux/arm/v6"),
        ("linux/i386/x", "linux/386"),
        ("linux/386/x", "linux/386/x"),
        ("macos/arm64", "darwin/arm64"),
        ("plan10/unheard", "plan10/unheard"),
        ("windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"),
        ("windows(10.0+win32k+a+a)/amd64", "windows(10.0+a+win32k)/amd64"),
        ("windows(+a)/amd64", "windows(+a)/amd64"),
        ("s390x", "linux/s390x"),
        ("arm", "linux/arm/v7"),
    ],
)
def test_normalize(written: str, canonical: str) -> None:
    assert normalize(written) == canonical
    assert normalize(canonical) == canonical


@pytest.mark.parametrize(
    ("platform", "served"),
    [
        ("linux/amd64", ["linux/386"]),
        ("linux/amd64/v3", ["linux/amd64/v2", "linux/amd64", "linux/386"]),
        ("linux/arm64", ["linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        ("linux/arm/v7", ["linux/arm/v6", "linux/arm/v5"]),
        ("linux/arm/v5", []),
        ("linux/s390x", []),
        ("linux/386", []),
    ],
)
def test_which_platforms_images_serve_another(platform: str, served: list[str]) -> None:
    assert list(runs(platform)) == [platform, *served]


@pytest.mark.parametrize(
    "written", ["", "/", "linux/", "a/b/c/d", "unheard", "linux/*", "linux /amd64", "linux()x/amd64"]
)
def test_what_is_no_platform_is_refused_with_the_remedy(written: str) -> None:
    with pytest.raises(InputError, match=r"^platform .*: write OS/ARCHITECTURE"):
        normalize(written)


@pytest.mark.parametrize(
    ("machine", "platform"),
    [
        ("x86_64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("armv7l", "linux/arm/v7"),
        ("armv6l", "linux/arm/v6"),
        ("i686", "linux/386"),
        ("ppc64le", "linux/ppc64le"),
        ("riscv64", "linux/riscv64"),
        ("loongarch64", "linux/loong64"),
    ],
    indirect=["machine"],
)
@pytest.mark.usefixtures("machine")
def test_the_host_is_named_by_its_kernel(platform: str) -> None:
    assert host_platform() == platform
    assert normalize("linux") == platform


def test_platform_args() -> None:
    assert platform_args("linux/x86_64", "linux/arm", "") == {
        "BUILDPLATFORM": "linux/amd64",
        "BUILDOS": "linux",
        "BUILDOSVERSION": "",
        "BUILDARCH": "amd64",
        "BUILDVARIANT": "",
        "TARGETPLATFORM": "linux/arm/v7",
        "TARGETOS": "linux",
        "TARGETOSVERSION": "",
        "TARGETARCH": "arm",
        "TARGETVARIANT": "v7",
        "TARGETSTAGE": "default",
    }


def test_only_the_target_platform_names_the_version_of_its_system() -> None:
    args = platform_args("windows(10.0)/amd64", "windows(10.0)/amd64", "final")
    assert (args["BUILDPLATFORM"], args["BUILDOSVERSION"]) == ("windows/amd64", "10.0")
    assert (args["TARGETPLATFORM"], args["TARGETOSVERSION"]) == ("windows(10.0)/amd64", "10.0")
    assert args["TARGETSTAGE"] == "final"


def test_a_platform_has_parts() -> None:
    platform = parse("linux/arm/v6")
    assert (platform.system, platform.architecture, platform.variant) == ("linux", "arm", "v6")
